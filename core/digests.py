"""Digests of files on disk: what an answer names as the weights that gave it."""

import hashlib
import os
import threading
import time
from pathlib import Path

from core.errors import StorageError

MODEL_FILES = (".safetensors", ".json", ".jinja", ".txt", ".model")
"""Ends of the names of what makes a model or an adapter: weights, settings, tokenizer, template."""
SETTLED_NS = 100_000_000
"""Age from which the time of a file tells of every change: file systems have coarse clocks."""
Stamp = tuple[tuple[str, int, int, int, int], ...]
"""Name, size, times of change and inode of each file."""


def folder_digest(folder: Path) -> str:
    """Return `sha256:...` over the names and contents of a model's or an adapter's files.

    Raises:
        StorageError: a file can't be read.
    """
    total = hashlib.sha256()
    try:
        for name in _names(folder):
            with (folder / name).open("rb") as handle:
                content = hashlib.file_digest(handle, "sha256").hexdigest()
            total.update(f"{name} {content}\n".encode())
    except OSError as error:
        raise _unreadable(folder, error) from error
    return f"sha256:{total.hexdigest()}"


class FolderDigests:
    """Digests of a catalog's folders; a folder is read again only when a file has changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[Stamp, str]] = {}

    def of(self, folder: Path) -> str:
        """Return `folder_digest`, from memory if names, sizes, times and inodes are the same.

        Raises:
            StorageError: a file can't be read.
        """
        if (known := self._remembered(folder)) is not None:
            return known
        with self._lock:
            if (known := self._remembered(folder)) is not None:
                return known
            began_ns, stamp = time.time_ns(), _stamp(folder)
            digest = folder_digest(folder)
            newest_ns = max((changed for *_, changed, _ in stamp), default=began_ns)
            if newest_ns < began_ns - SETTLED_NS and _stamp(folder) == stamp:
                self._known[folder] = (stamp, digest)
            return digest

    def _remembered(self, folder: Path) -> str | None:
        known = self._known.get(folder)
        return known[1] if known is not None and known[0] == _stamp(folder) else None


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(MODEL_FILES))
    except OSError as error:
        raise _unreadable(folder, error) from error


def _stamp(folder: Path) -> Stamp:
    """Describe the files without reading them."""
    try:
        stats = [(name, os.stat(f"{folder}/{name}")) for name in _names(folder)]
    except OSError as error:
        raise _unreadable(folder, error) from error
    return tuple((n, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for n, s in stats)


def _unreadable(folder: Path, error: OSError) -> StorageError:
    return StorageError(f"{str(folder)!r} can't be read: {error.strerror}")
