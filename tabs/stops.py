"""What is being written in this process, by a key that only its own page knows."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import InputError


class Stops:
    """The events that end what is being written; safe to share between threads."""

    def __init__(self) -> None:
        self._running: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    @contextmanager
    def running(self, key: str) -> Iterator[threading.Event]:
        """Hold the key while something is written; yield the event that ends it.

        Raises:
            InputError: something is being written under this key.
        """
        stop = threading.Event()
        with self._lock:
            if key in self._running:
                raise InputError("answers are still being written; stop them or wait for them")
            self._running[key] = stop
        try:
            yield stop
        finally:
            with self._lock:
                del self._running[key]

    def stop(self, key: str) -> None:
        """End what is being written under this key, if anything is."""
        with self._lock:
            stop = self._running.get(key)
        if stop:
            stop.set()
