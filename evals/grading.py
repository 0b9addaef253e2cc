"""Grades answers in processes that can be killed: a hostile answer costs its own grade, no more.

Workers are started with a bare environment and speak JSON over pipes; nothing is pickled, and the
program that grades is not imported by them. One that hangs, crashes or takes too much memory is
replaced, and its answer becomes a `GradingFailure`.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock, Semaphore, Thread
from types import TracebackType
from typing import Self, TypeVar

from core.errors import UnavailableError
from evals.grading_process import WorkerProcess
from evals.grading_wire import GradingFailure, Limits, ScorerSpec
from evals.sample import Answer, Sample, Score

__all__ = ["GradingFailure", "GradingPool", "Limits", "ScorerSpec", "grade_all"]

Outcome = Score | GradingFailure
K = TypeVar("K")

MOST_WORKERS = 4
READ_AHEAD = 64
"""Answers that wait for a worker, or for one before them, at a time."""


def grade_all(
    spec: ScorerSpec,
    pairs: Iterable[tuple[K, Sample, Answer]],
    workers: int | None = None,
    limits: Limits | None = None,
) -> Iterator[tuple[K, Outcome]]:
    """Grade answers and yield what came out, in the order of the input.

    The input is read in a thread of its own, so it may wait for answers still being generated;
    each result is yielded once it and all before it are there. Closing the iterator ends the
    workers. An error of the input is raised where the results are read.

    Raises:
        InputError: there is no such scorer, or the arguments are not for it.
        ScoringError: the scorers can't be loaded.
    """
    waiting: SimpleQueue[tuple[K, Future[Outcome]] | BaseException | None] = SimpleQueue()
    room = Semaphore(READ_AHEAD)

    def feed() -> None:
        try:
            for key, sample, answer in pairs:
                room.acquire()
                waiting.put((key, pool.submit(sample, answer)))
            waiting.put(None)
        except BaseException as error:  # noqa: BLE001  raised again where the results are read
            waiting.put(error)

    with GradingPool(spec, workers, limits) as pool:
        Thread(target=feed, name="grading-input", daemon=True).start()
        try:
            while (item := waiting.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item[0], item[1].result()
                room.release()
        finally:
            pool.close()
            # Whoever feeds may be waiting for room; the closed pool then sends it home.
            room.release()


class GradingPool:
    """Workers of one scorer, kept warm between answers; close it when done.

    A worker is started for the first answer (0.2 to 0.5 seconds), more when answers wait.
    """

    def __init__(
        self, spec: ScorerSpec, workers: int | None = None, limits: Limits | None = None
    ) -> None:
        """Prepare the pool; `workers` is by default one less than the cores, 1 to 4."""
        count = workers or max(1, min(MOST_WORKERS, (os.cpu_count() or 1) - 1))
        self._spec = spec
        self._limits = limits or Limits()
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="grading")
        self._lock = Lock()
        self._idle: list[WorkerProcess] = []
        self._all: set[WorkerProcess] = set()
        self._is_closed = False

    def submit(self, sample: Sample, answer: Answer) -> Future[Outcome]:
        """Return what will hold the score, or why there is none.

        Raises:
            UnavailableError: the pool is closed.
        """
        try:
            return self._executor.submit(self._grade, sample, answer)
        except RuntimeError as error:
            raise UnavailableError("the grading pool is closed") from error

    def close(self) -> None:
        """End all workers at once; answers that still wait are not graded."""
        with self._lock:
            self._is_closed = True
            workers = list(self._all)
        self._executor.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.kill()
        self._executor.shutdown(wait=True)
        for worker in workers:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _grade(self, sample: Sample, answer: Answer) -> Outcome:
        worker = self._take()
        try:
            outcome = worker.grade(sample, answer)
        finally:
            self._give_back(worker)
        if self._is_closed:
            raise CancelledError
        return outcome

    def _take(self) -> WorkerProcess:
        """Return an idle worker, or a new one."""
        with self._lock:
            if self._is_closed:
                raise CancelledError
            while self._idle:
                if (worker := self._idle.pop()).is_alive():
                    return worker
                self._all.discard(worker)
                worker.close()
            worker = WorkerProcess(self._spec, self._limits)
            self._all.add(worker)
        return worker

    def _give_back(self, worker: WorkerProcess) -> None:
        with self._lock:
            if worker.is_alive() and not self._is_closed:
                self._idle.append(worker)
                return
            self._all.discard(worker)
        worker.close()
