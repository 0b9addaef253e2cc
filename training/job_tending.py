"""Bringing a job's row up to what its worker did; done by the supervisor, or in its absence."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from core.errors import AppError, StorageError, UnavailableError
from training.job_course import Look, broken, course, failed_here
from training.job_facts import log_end, run_facts
from training.job_rows import Job, JobRows
from training.job_states import WORKING
from training.launch import Executor, Order

log = logging.getLogger("understudy.jobs")


@dataclass(frozen=True, slots=True)
class Means:
    """What jobs are carried out with."""

    executors: Mapping[str, Executor]
    """By name."""
    finish: Callable[[str], None]
    """Makes something of a completed run; may be called again for the same one."""
    start: Callable[[], None]
    """Starts a supervisor and returns at once."""


class Tending:
    """Looks at workers and their folders; used by one thread at a time."""

    def __init__(self, rows: JobRows, runs: Path, means: Means) -> None:
        """`runs` holds the runs' folders."""
        self.rows = rows
        self.executors = means.executors
        self._finish = means.finish
        self._runs = runs

    def look_at_all(self) -> tuple[Job, ...]:
        """Bring all jobs that have or had a worker up to date; return them as they are then."""
        return tuple(self.guarded(job, self._look_at) for job in self.rows.list(WORKING))

    def guarded(self, job: Job, work: Callable[[Job], Job]) -> Job:
        """Do something about a job; what nobody foresaw ends this job and no other.

        Raises:
            StorageError: the store can't be used now.
            UnavailableError: an executor can't be used now.
        """
        try:
            return work(job)
        except (StorageError, UnavailableError):
            raise
        except Exception as error:
            log.exception("%s", job.id)
            now, reason = datetime.now(UTC), error
            return self.rows.change(job.id, lambda current: broken(current, reason, now))

    def order(self, job: Job) -> Order:
        """Return a job's newest attempt as its executor takes it."""
        folder = self._runs / job.id
        return Order(folder=folder, attempt=job.attempt, processes=job.processes)

    def look(self, job: Job) -> Look:
        """Look at a job's newest attempt.

        The worker comes first: what one wrote that is gone now is in the folder.

        Raises:
            UnavailableError: its executor can't tell now.
        """
        order = self.order(job)
        worker = self.executors[job.executor].status(order)
        facts = run_facts(order.folder, job.events_from)
        return Look(worker, facts, datetime.now(UTC), log_end(order.folder))

    def _look_at(self, job: Job) -> Job:
        with suppress(UnavailableError):
            look = self.look(job)
            states = course(job, look)
            if states and states[-1].status == "completed":
                states = self._finished(job, look, states)
            return self.rows.change(job.id, lambda now: states if now == job else ())
        return job

    def _finished(self, job: Job, look: Look, states: tuple[Job, ...]) -> tuple[Job, ...]:
        """Do what is left to do when a worker is done, before anybody is told that it is."""
        try:
            self._finish(job.id)
        except AppError as error:
            may_pass = isinstance(error, StorageError | UnavailableError)
            return failed_here(job, look, str(error), may_pass=may_pass)
        return states
