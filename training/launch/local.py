"""Workers on this machine: one process, or several that torchrun starts together.

A worker is known by its command line, which names its run's folder, and by the folder's lock; a
number that the system used again for another process is never signalled.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from core.errors import TrainingError, UnavailableError
from core.settings import PROJECT
from training.job_facts import LOG
from training.job_lock import is_held
from training.launch.base import Order, WorkerStatus

WORKER, RANK, AGENT = "training.worker", "training.launch.rank", "torch.distributed.run"


class LocalExecutor:
    """Starts workers as sessions of their own; used by one thread."""

    slots = 1
    """Two runs on one machine would take each other's memory and cores."""

    def __init__(self, runs: Path, worker: str = WORKER) -> None:
        """`runs` holds the runs' folders; `worker` is the module that carries one out."""
        self._runs = runs.resolve()
        self._worker = worker
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, order: Order) -> None:
        """Start a worker, whose output goes to the run's log.

        Raises:
            TrainingError: the folder is missing, or the worker can't be started.
            UnavailableError: the machine has no process or memory left for it.
        """
        try:
            with (order.folder / LOG).open("ab") as log:
                child = subprocess.Popen(
                    self._command(order),
                    cwd=PROJECT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except BlockingIOError as error:
            raise UnavailableError(f"no process for run {order.run!r}: {error.strerror}") from error
        except OSError as error:
            raise TrainingError(
                f"run {order.run!r} can't be started: {error.strerror} ({error.filename})"
            ) from error
        self._children[order.run] = child

    def status(self, order: Order) -> WorkerStatus:
        """Say whether a worker is on the run: at work once it holds the folder."""
        if is_held(order.folder):
            return WorkerStatus("running")
        child = self._children.get(order.run)
        code = None if child is None else child.poll()
        # A child that is just ending has no command line any more, and no exit code yet.
        is_child = child is not None and code is None
        if is_child or next(self._found(order.folder), None) is not None:
            return WorkerStatus("starting")
        return WorkerStatus("absent", code)

    def logs(self, order: Order, start: int = 0) -> bytes:
        """Return what the run's workers printed, from byte `start` on."""
        try:
            with (order.folder / LOG).open("rb") as log:
                log.seek(start)
                return log.read()
        except OSError:
            return b""

    def stop(self, order: Order, *, is_forced: bool = False) -> None:
        """Signal the run's workers: to save and end, or killed with all that they started."""
        found = list(self._found(order.folder))
        if is_forced:
            for process in found:
                _kill(process)
            return
        ranks = [process for process in found if AGENT not in _command_of(process)]
        pids = {process.pid for process in ranks}
        for process in ranks:
            # What a worker forked to read examples looks like it, and is its own to end.
            with suppress(psutil.Error):
                if process.ppid() not in pids:
                    process.terminate()

    def list(self) -> tuple[str, ...]:
        """Return the runs of this home that have a worker."""
        folders = (self._folder_of(process) for process in psutil.process_iter())
        return tuple(sorted({f.name for f in folders if f is not None and f.parent == self._runs}))

    def _command(self, order: Order) -> Sequence[str]:
        python, folder = [sys.executable, "-u"], str(order.folder.resolve())
        if order.processes == 1:
            return [*python, "-m", self._worker, folder]
        count = str(order.processes)
        together = ["-m", AGENT, "--standalone", "--nproc-per-node", count, "-m", RANK]
        return [*python, *together, self._worker, folder, count]

    def _found(self, folder: Path) -> Iterator[psutil.Process]:
        """Yield the processes on a run."""
        wanted = folder.resolve()
        return (p for p in psutil.process_iter() if self._folder_of(p) == wanted)

    def _folder_of(self, process: psutil.Process) -> Path | None:
        """Return which run's folder a process works on; None for any other process."""
        words = _command_of(process)
        if self._worker not in words[:-1]:
            return None
        folder = words[words.index(self._worker) + 1]
        with suppress(psutil.Error):
            return Path(process.cwd(), folder).resolve()
        return None


def _command_of(process: psutil.Process) -> list[str]:
    """Return a live process's command line; empty for what is gone, a zombie or not ours."""
    with suppress(psutil.Error):
        words: list[str] = process.cmdline()
        return words
    return []


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        for child in process.children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
        process.kill()
