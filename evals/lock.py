"""One process at a time carries out a run: a lock on a file that ends with its holder."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import InputError, StorageError

NAME = "lock"
PATIENCE_S = 0.5
"""Longest wait for a lock: who only asks `is_held` has it for an instant."""
LOOK_S = 0.02


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the run in this folder; a kill of this process frees it.

    Raises:
        InputError: another process, or another thread of this one, holds it.
        StorageError: the folder can't be written.
    """
    path = folder / NAME
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be opened: {error.strerror}") from error
    try:
        _take(file, folder.name)
        yield
    finally:
        os.close(file)


def is_held(folder: Path) -> bool:
    """Say whether a live process carries out the run in this folder."""
    try:
        file = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _take(file: int, run: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise InputError(
                    f"run {run!r} is being carried out by another process; wait for it or stop it"
                ) from error
            time.sleep(LOOK_S)
        else:
            return
