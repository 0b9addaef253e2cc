"""Loaded weights: bounded by bytes, least recently used out first, loaded once, unloaded when idle.

Room is made before anything is loaded. A model that is generating is never unloaded. Two threads
that want the same model load it once; two that want different models load side by side.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from core.errors import NotFoundError, UnavailableError


class Loaded(Protocol):
    """Weights in memory."""

    @property
    def size_bytes(self) -> int:
        """Return how many bytes the weights take."""
        ...

    def close(self) -> None:
        """Free the weights; called once, when nobody uses them."""
        ...


L = TypeVar("L", bound=Loaded)
R = TypeVar("R")


@dataclass(slots=True)
class Slot(Generic[L]):
    """One model of the pool; `users` count keeps it from being unloaded."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    model: L | None = None
    users: int = 0
    awaited_bytes: int = 0
    """What is being loaded for it will take."""
    idle_since: float = math.inf
    """`time.monotonic` when the last user left."""


class ModelPool(Generic[L]):
    """The loaded models of this process."""

    def __init__(self, limit_bytes: int, idle_s: float = math.inf) -> None:
        """A model that nobody has used for `idle_s` seconds is unloaded."""
        self._limit = limit_bytes
        self._idle_s = idle_s
        self._slots: OrderedDict[str, Slot[L]] = OrderedDict()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        """Runs while a model is loaded that may become idle."""

    @contextmanager
    def use(self, key: str, load: Callable[[], L], awaited_bytes: int = 0) -> Iterator[L]:
        """Lend the model of this key, loading it first where needed.

        `awaited_bytes` is what it is expected to take; what it does take is counted once loaded.

        Raises:
            UnavailableError: it can't fit beside the models that are in use.
        """
        with self._lock:
            slot = self._slots.setdefault(key, Slot())
            self._slots.move_to_end(key)
            slot.users += 1
        try:
            with slot.lock:
                model = slot.model
                if model is None:
                    model = self._load(key, slot, load, awaited_bytes)
            yield model
        finally:
            with self._lock:
                slot.users -= 1
                slot.idle_since = time.monotonic()
                self._look_later(self._idle_s)
                if slot.model is None and slot.users == 0 and self._slots.get(key) is slot:
                    del self._slots[key]

    @contextmanager
    def growing(self, key: str, awaited_bytes: int) -> Iterator[None]:
        """Keep room for what is loaded meanwhile for this key, which is in use.

        Raises:
            UnavailableError: it can't fit beside the models that are in use.
        """
        with self._lock:
            slot = self._slots[key]
        self._make_room(key, slot, awaited_bytes)
        try:
            yield
        finally:
            with self._lock:
                slot.awaited_bytes -= awaited_bytes

    def unload(self, key: str) -> None:
        """Free one model's weights.

        Raises:
            NotFoundError: it is not loaded.
            UnavailableError: it is generating.
        """
        with self._lock:
            slot = self._slots.get(key)
            if slot is None or slot.model is None:
                raise NotFoundError(f"{key!r} is not loaded")
            if slot.users:
                raise UnavailableError(f"{key!r} is generating; try again when it is done")
            del self._slots[key]
        slot.model.close()

    def has(self, key: str) -> bool:
        """Say whether the model of this key is loaded."""
        with self._lock:
            return key in self._slots and self._slots[key].model is not None

    def look(self, key: str, ask: Callable[[L], R]) -> R | None:
        """Return what is asked of a loaded model, which must be quick; None: it is not loaded."""
        with self._lock:
            slot = self._slots.get(key)
            return None if slot is None or slot.model is None else ask(slot.model)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each loaded model, least recently used first."""
        with self._lock:
            return {k: s.model.size_bytes for k, s in self._slots.items() if s.model is not None}

    def close(self) -> None:
        """Free everything; for the end of the process."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            slots = list(self._slots.values())
            self._slots.clear()
        for slot in slots:
            if slot.model is not None:
                slot.model.close()

    def _look_later(self, seconds: float) -> None:
        """Look for idle models after so long; the lock is held."""
        if self._timer is None and seconds < math.inf:
            self._timer = threading.Timer(seconds, self._unload_idle)
            self._timer.daemon = True
            self._timer.start()

    def _unload_idle(self) -> None:
        out: list[L] = []
        with self._lock:
            self._timer = None
            latest = time.monotonic() - self._idle_s
            for key, slot in [(k, s) for k, s in self._slots.items() if s.users == 0]:
                if slot.idle_since <= latest:
                    out += self._taken(self._slots.pop(key))
            idle = [slot.idle_since for slot in self._slots.values() if slot.users == 0]
            if idle:
                self._look_later(min(idle) - latest)
        for model in out:
            model.close()

    @staticmethod
    def _taken(slot: Slot[L]) -> list[L]:
        """Take the model out of its slot; it is closed when the lock is free again."""
        model, slot.model = slot.model, None
        return [] if model is None else [model]

    def _load(self, key: str, slot: Slot[L], load: Callable[[], L], awaited_bytes: int) -> L:
        """Load the model where room was made for it; the slot's lock is held."""
        self._make_room(key, slot, awaited_bytes)
        model: L | None = None
        try:
            model = loaded = load()
        finally:
            with self._lock:
                slot.awaited_bytes -= awaited_bytes
                slot.model = model
        self._make_room(key, slot)
        return loaded

    def _make_room(self, key: str, slot: Slot[L], awaited_bytes: int | None = None) -> None:
        """Unload idle models until the bound holds with so much more, which is then kept free.

        None: the model was just loaded; it is given back where the bound can't hold.
        """
        out: list[L] = []
        with self._lock:
            sizes = {n: s.model.size_bytes for n, s in self._slots.items() if s.model is not None}
            idle = [name for name in sizes if self._slots[name].users == 0]
            awaited = sum(s.awaited_bytes for s in self._slots.values()) + (awaited_bytes or 0)
            excess = sum(sizes.values()) + awaited - self._limit
            fits = sum(sizes[name] for name in idle) >= excess
            while fits and excess > 0:
                name = idle.pop(0)
                excess -= sizes[name]
                out += self._taken(self._slots.pop(name))
            if fits:
                slot.awaited_bytes += awaited_bytes or 0
            elif awaited_bytes is None:
                out += self._taken(slot)
        for model in out:
            model.close()
        if not fits:
            raise UnavailableError(self._refusal(key, awaited_bytes))

    def _refusal(self, key: str, awaited_bytes: int | None) -> str:
        more = "" if not awaited_bytes else f" with {awaited_bytes / 1e9:,.2g} GB more"
        return (
            f"{key!r} does not fit{more}: loaded models and adapters may take "
            f"{self._limit / 1e9:g} GB together; raise loaded_gb in the catalog, or choose a "
            "smaller precision"
        )
