"""Single flight: of several threads that want the same answer at once, one asks the model.

Processes do not share flights: each asks once.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

CANCEL_S = 0.05
"""How often a wait looks whether its caller has cancelled."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a thread is to do about a key."""

    role: Literal["hit", "lead", "gave_up"]
    """`hit`: the value is there. `lead`: ask the model, and store the answer if it may be kept.
    `gave_up`: the caller has cancelled or its deadline has passed."""
    value: bytes | None = None
    """The stored answer; only for `hit`, and never None there."""


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a follower waits."""

    cancel: threading.Event | None = None
    deadline: float | None = None
    """Moment of `time.monotonic`; None: as long as it takes."""

    def until(self, done: threading.Event) -> bool:
        """Wait for the event; return False when cancelled or too late."""
        while True:
            if self.cancel is not None and self.cancel.is_set():
                return False
            left = None if self.deadline is None else self.deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            slices = [s for s in (left, CANCEL_S if self.cancel else None) if s is not None]
            if done.wait(min(slices, default=None)):
                return True


@dataclass(slots=True)
class Flight:
    """One question to the model that others wait for."""

    done: threading.Event = field(default_factory=threading.Event)
    value: bytes | None = None
    has_failed: bool = False
    thread: int = field(default_factory=threading.get_ident)
    """Where the leader began."""


class Flights:
    """The questions that are with a model now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Flight] = {}

    def land(self, key: str, value: bytes) -> None:
        """Give the answer to those who wait for it; they go on at once."""
        with self._lock:
            flight = self._open.get(key)
            if flight is not None:
                flight.value = value
                flight.done.set()

    @contextmanager
    def join(self, key: str, look: Callable[[str], bytes | None], wait: Wait) -> Iterator[Turn]:
        """Lead, or wait for who leads; `look` must be quick and is asked once more before leading.

        After a leader that raised or was closed, one follower leads. After one that ended without
        storing, its answer was not one to keep: all followers lead at once instead of queueing.
        """
        entered = self._enter(key, wait)
        if isinstance(entered, Turn):
            yield entered
            return
        try:
            # Between the caller's own look and now, another flight may have ended.
            value = look(key)
            if value is None:
                yield Turn("lead")
            else:
                entered.value = value
                yield Turn("hit", value)
        except BaseException:
            entered.has_failed = True
            raise
        finally:
            with self._lock:
                del self._open[key]
            entered.done.set()

    def _enter(self, key: str, wait: Wait) -> Flight | Turn:
        """Return the flight that the caller now leads, or what else it is to do."""
        while True:
            with self._lock:
                flight = self._open.get(key)
                if flight is None:
                    return self._open.setdefault(key, Flight())
            if flight.value is not None:
                return Turn("hit", flight.value)
            # A generator of this thread leads: it could never go on while this thread waits.
            if flight.thread == threading.get_ident():
                return Turn("lead")
            if not wait.until(flight.done):
                return Turn("gave_up")
            if flight.value is not None:
                return Turn("hit", flight.value)
            if not flight.has_failed:
                return Turn("lead")
