"""One process at a time works on a run: a lock on a file that ends with its holder.

A POSIX record lock (`fcntl.lockf`): children do not inherit it, so a loader's orphan can't hold a
run that its worker was killed over. The price: a process that holds a folder must not open its lock
file again, for closing that would free the lock; ask about other processes' folders only.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import InputError, StorageError

NAME = "lock"
PATIENCE_S = 0.5
"""Longest wait for a lock: who only asks has it for an instant."""
LOOK_S = 0.02


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the run in this folder until the end of the block; a kill of this process frees it.

    Raises:
        InputError: another process holds it.
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
    """Say whether a live process other than this one holds the run in this folder."""
    try:
        file = os.open(folder / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def _take(file: int, name: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() >= until:
                raise InputError(
                    f"run {name!r} is held by another process; wait for it or stop it"
                ) from error
            time.sleep(LOOK_S)
        else:
            return
