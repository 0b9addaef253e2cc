"""Errands: audits and estimates that a page asks for, each carried out by a process of its own.

An errand is a folder `$UNDERSTUDY_HOME/errands/KIND-SUBJECT-TIME/`. What is to be known of it
stands there, and a lock is held while a process works on it, so that a reloaded page, a second
browser and a restarted app see the same, and killing the app ends no errand.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

from core.errors import InputError, NotFoundError, StorageError
from core.settings import PROJECT, Settings
from training.errand_folder import (
    LOG,
    ORDER,
    Errand,
    Kind,
    Order,
    finish,
    has_ended,
    new_name,
    prefix,
    read_errand,
    write_order,
)
from training.job_lock import is_held

MODULE = "training.errand"
START_S = 30.0
"""How long a process that another app has started may take to begin."""
KEPT = 20
"""Errands of each kind that stay on the disk."""


class Child(Protocol):
    """A process that was started."""

    def poll(self) -> int | None:
        """Return the exit code; None: it has not ended."""
        ...


class Errands:
    """The errands of one home; safe to share between threads."""

    def __init__(self, settings: Settings, start: Callable[[Path], Child] | None = None) -> None:
        """`start` begins the process that works on a folder; None: a Python of its own."""
        self._folder = settings.home / "errands"
        self._start = start or (lambda folder: start_process(folder, settings))
        self._children: dict[str, Child] = {}
        self._turn = threading.Lock()

    def ask(self, order: Order) -> Errand:
        """Begin an errand; if the same is at work already, return that one.

        Raises:
            InputError: another of this kind is at work.
            StorageError: it can't be written or started.
        """
        with self._turn:
            last = self.newest(order.kind)
            if last is not None and last.status == "working":
                if last.order == order:
                    return last
                raise InputError(f"another {order.kind} is at work; wait for it or stop it")
            folder = self._folder / new_name(order)
            try:
                write_order(folder, order)
                self._children = {folder.name: self._start(folder)}
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise StorageError(f"no {order.kind} can be begun: {error.strerror}") from error
            for old in self._folders(order.kind)[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        return self._read(folder)

    def newest(self, kind: Kind, subject: str | None = None) -> Errand | None:
        """Return the newest errand of a kind, of one subject if it is given; None: there is none.

        Raises:
            StorageError: it can't be read.
        """
        folders = self._folders(kind, subject)
        return self._read(folders[-1]) if folders else None

    def stop(self, kind: Kind) -> None:
        """Kill what works on the newest errand of a kind, if it is at work.

        Raises:
            NotFoundError: nothing of this kind is at work.
            StorageError: the disk refuses.
        """
        last = self.newest(kind)
        if last is None or last.status != "working":
            raise NotFoundError(f"no {kind} is at work")
        folder = self._folder / last.id
        for process in _processes(folder):
            _kill(process)
        if not has_ended(folder):
            try:
                finish(folder, "stopped")
            except OSError as error:
                raise StorageError(f"{str(folder)!r} can't be written: {error}") from error

    def _read(self, folder: Path) -> Errand:
        return read_errand(folder, is_working=self._is_working(folder))

    def _is_working(self, folder: Path) -> bool:
        child = self._children.get(folder.name)
        if child is not None:
            return child.poll() is None
        begun = int(folder.name.rpartition("-")[2]) / 1e9
        return is_held(folder) or 0 <= time.time() - begun < START_S

    def _folders(self, kind: Kind, subject: str | None = None) -> list[Path]:
        """Return the folders of errands, oldest first."""
        found = self._folder.glob(f"{prefix(kind, subject)}*")
        whole = [folder for folder in found if (folder / ORDER).is_file()]
        return sorted(whole, key=lambda folder: folder.name.rpartition("-")[2])


def start_process(folder: Path, settings: Settings) -> "subprocess.Popen[bytes]":
    """Start a process that outlives this one and works on an errand.

    Raises:
        OSError: it can't be started.
    """
    environment = {
        **os.environ,
        **settings.environment,
        "UNDERSTUDY_HOME": str(settings.home),
        "UNDERSTUDY_DATABASE_URL": settings.database_url,
    }
    with (folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(folder)],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    # The system keeps what ended until its parent has asked.
    threading.Thread(target=process.wait, daemon=True).start()
    return process


def _processes(folder: Path) -> Iterator[psutil.Process]:
    """Yield the processes that work on an errand; a number used again for another is none."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cmdline()[-2:] == [MODULE, str(folder)]:
                yield process


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        for child in process.children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
        process.kill()
