"""Files that are read once, and again only when they have changed."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

T = TypeVar("T")
MAX_FILE_BYTES = 64_000_000
"""Largest summary or manifest that is read."""


class FileMemory(Generic[T]):
    """What was made of files, kept until they change; holds at most `limit` entries."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, ...], tuple[tuple[int, ...], T]] = OrderedDict()
        self.reads = 0
        """How often files had to be read."""

    def get(self, paths: tuple[Path, ...], read: Callable[..., T]) -> T:
        """Return `read(*paths)`, from memory if time and size of every file are the same."""
        key, stamp = tuple(str(path) for path in paths), _stamp(paths)
        with self._lock:
            known = self._known.get(key)
            if known is not None and known[0] == stamp:
                self._known.move_to_end(key)
                return known[1]
            self.reads += 1
        made = read(*paths)
        with self._lock:
            self._known[key] = (stamp, made)
            self._known.move_to_end(key)
            while len(self._known) > self._limit:
                self._known.popitem(last=False)
        return made


def json_object(path: Path) -> dict[str, Any]:
    """Return the object that a file holds.

    Raises:
        OSError: it can't be read.
        TypeError: it holds JSON of another kind.
        ValueError: it is too large, or no JSON.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path.name} is larger than {MAX_FILE_BYTES} bytes")
    try:
        read = orjson.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path.name} is no JSON: {error}") from error
    if not isinstance(read, dict):
        raise TypeError(f"{path.name} holds no object")
    return read


def _stamp(paths: tuple[Path, ...]) -> tuple[int, ...]:
    stamp: list[int] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            stamp += [-1, -1, -1]
        else:
            stamp += [status.st_mtime_ns, status.st_size, status.st_ino]
    return tuple(stamp)
