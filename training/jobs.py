"""Training jobs: queued in the store, carried out by processes that outlive whoever asked.

A run's folder says what its worker did; the row says what is wanted of it. One supervisor per home
brings the two together, and anybody may start it. While it is not there, whoever asks brings rows
up to date, so no state is older than the question.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from core.errors import AppError, InputError, NotFoundError
from core.settings import Settings
from core.store import Store
from core.store.adapters import StoredAdapters
from training.job_course import requeued
from training.job_facts import run_facts
from training.job_home import home_name, start_supervisor
from training.job_lock import held, is_held
from training.job_rows import Job, JobRows
from training.job_states import ACTIVE
from training.job_tending import Means, Tending
from training.job_view import JobView, job_view
from training.launch import EXECUTORS
from training.mirror_state import mirror_state
from training.registry import Registry

START_S = 5.0
"""How long a supervisor that was started may take before another one is."""


class Jobs:
    """The jobs of one home; safe to share between threads."""

    def __init__(self, store: Store, home: Path, means: Means) -> None:
        """Read and change the jobs of this home.

        Raises:
            StorageError: the home can't be written.
        """
        self.home = home
        self.folder = home / "jobs"
        self._runs = home / "runs"
        self._start, self._finish = means.start, means.finish
        self._started_at = -START_S
        self.rows = JobRows(store, home_name(self.folder))
        self._adapters = StoredAdapters(store)
        self._ended: dict[str, JobView] = {}
        """Of jobs that have ended, as they were seen then; only their mirrors may still change."""
        self.tending = Tending(self.rows, self._runs, means)
        self._own_turn = threading.Lock()
        """The lock of the home is the process's, so its threads take turns."""

    @staticmethod
    def of(settings: Settings, store: Store) -> "Jobs":
        """Return the jobs of the settings' home; a completed run's adapter is registered.

        Raises:
            StorageError: the home can't be written.
        """
        runs = settings.home / "runs"
        means = Means(
            executors={name: make(runs) for name, make in EXECUTORS.items()},
            finish=Registry(store, settings.home).register_if_any,
            start=lambda: start_supervisor(settings),
        )
        return Jobs(store, settings.home, means)

    def submit(self, run: str, executor: str = "local", processes: int = 1) -> JobView:
        """Queue a run whose folder is complete, and see to it that somebody starts it.

        Raises:
            InputError: there is no such executor, or a job of this name is there already.
            NotFoundError: there is no folder of this run.
        """
        self.check(executor, processes)
        self.rows.add(self._new(run, executor, processes))
        return self.show(run)

    def adopt(self, run: str, processes: int = 1) -> JobView:
        """Make a job of a run whose folder came here without one; `resume` goes on with it.

        One that was completed is finished, as it would have been after its worker's end.

        Raises:
            InputError: a job of this name is there already.
            NotFoundError: there is no folder of this run.
        """
        job = replace(self._new(run, "local", processes), status="interrupted")
        ending = run_facts(self._runs / run).ending
        error: str | None = "its folder came here without its job; resume it to go on"
        if ending is not None and ending.kind == "completed":
            try:
                self._finish(run)
                job, error = replace(job, status="completed"), None
            except AppError as reason:
                error = str(reason)
        self.rows.add(replace(job, error=error, ended_at=job.created_at))
        return self.show(run)

    def check(self, executor: str, processes: int) -> None:
        """Refuse what no job can be carried out with.

        Raises:
            InputError: there is no such executor, or there are no processes.
        """
        if executor not in self.tending.executors:
            known = ", ".join(self.tending.executors)
            raise InputError(f"no executor named {executor!r}; choose one of: {known}")
        if processes < 1:
            raise InputError(f"processes must be at least 1, got {processes}")

    def list(self) -> tuple[JobView, ...]:
        """Return all jobs, those that were queued first at the front."""
        self.look_after()
        rows = self.rows.list()
        waiting = [job.id for job in rows if job.status == "queued"]
        return tuple(self._view(job, waiting) for job in rows)

    def show(self, name: str) -> JobView:
        """Return one job as it is now.

        Raises:
            NotFoundError: there is none of this name.
        """
        self.look_after()
        job = self.rows.get(name)
        waiting = self.rows.list(["queued"]) if job.status == "queued" else ()
        return self._view(job, [each.id for each in waiting])

    def stop(self, name: str) -> JobView:
        """Take a job out of the queue, or ask its worker to save and end.

        Raises:
            NotFoundError: there is none of this name.
            InputError: it has ended.
        """
        self.rows.change(name, _stopped)
        return self.show(name)

    def resume(self, name: str) -> JobView:
        """Queue a job again that ended before its last step; it goes on at its checkpoint.

        Raises:
            NotFoundError: there is none of this name.
            InputError: it is completed, or has not ended.
        """
        self.rows.change(name, lambda job: (requeued(job, datetime.now(UTC)),))
        return self.show(name)

    def look_after(self) -> None:
        """Bring the rows up to date where no supervisor does, and start one if there is work.

        Raises:
            StorageError: the store or the home can't be used now.
        """
        with self._own_turn:
            if is_held(self.folder):
                return
            # InputError: a supervisor has just begun.
            with suppress(InputError), held(self.folder):
                self.tending.look_at_all()
            has_waited = time.monotonic() - self._started_at >= START_S
            if has_waited and self.rows.list(ACTIVE) and not is_held(self.folder):
                self._started_at = time.monotonic()
                self._start()

    def _new(self, run: str, executor: str, processes: int) -> Job:
        if not (self._runs / run / "run.yaml").is_file():
            raise NotFoundError(f"no run {run[:80]!r} in {str(self._runs)!r}")
        now = datetime.now(UTC)
        return Job(
            id=run,
            home=self.rows.home,
            status="queued",
            executor=executor,
            processes=processes,
            created_at=now,
            queued_at=now,
        )

    def _view(self, job: Job, waiting: Sequence[str]) -> JobView:
        known = self._ended.get(job.id)
        if known is not None and known.job == job:
            return replace(known, mirror=mirror_state(known.folder))
        made = self._adapters.of_run(job.id) if job.status == "completed" else None
        view = replace(
            job_view(job, self._runs / job.id),
            place=waiting.index(job.id) + 1 if job.id in waiting else None,
            adapter=None if made is None else f"{made.model}@{made.name}",
        )
        if job.status not in ACTIVE:
            self._ended[job.id] = view
        return view


def _stopped(job: Job) -> tuple[Job, ...]:
    if job.status == "stopping":
        return ()
    if job.status == "queued":
        return (replace(job, status="stopped", ended_at=datetime.now(UTC), not_before=None),)
    return (replace(job, status="stopping"),)
