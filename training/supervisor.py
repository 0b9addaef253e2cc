"""`python -m training.supervisor`: starts workers, stops them, and tries again; one per home.

It outlives the app, and ends when no job is left to look after. All it knows is in the store and in
the runs' folders, so another one can go on where it was killed.
"""

import logging
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from core.errors import AppError, InputError, StorageError, UnavailableError
from core.settings import Settings
from core.store import open_store
from training.job_course import Look, failed_here, is_overdue, launched
from training.job_lock import held
from training.job_rows import Job
from training.job_states import ACTIVE, WORKING
from training.jobs import Jobs
from training.launch import Executor

TICK_S = 0.5
TROUBLE_S = 5.0
"""How long it waits when the store or an executor can't be used."""
log = logging.getLogger("understudy.supervisor")


def supervise(jobs: Jobs) -> None:
    """Look after the jobs of a home until there is nothing to do, or another one does."""
    while jobs.rows.list(ACTIVE):
        with ExitStack() as holding:
            try:
                holding.enter_context(held(jobs.folder))
            except InputError:
                log.info("another supervisor is there")
                return
            while _tick(jobs):
                time.sleep(TICK_S)
        # Who queued a job while the lock was still held relies on another look.


def _tick(jobs: Jobs) -> bool:
    """Do what is due; say whether anything is left to look after."""
    try:
        working = jobs.tending.look_at_all()
        for job in working:
            if job.status == "stopping":
                jobs.tending.guarded(job, partial(_signal, jobs))
        _launch_due(jobs)
        return bool(jobs.rows.list(ACTIVE))
    except (StorageError, UnavailableError) as error:
        log.warning("%s", error)
        time.sleep(TROUBLE_S)
        return True


def _signal(jobs: Jobs, job: Job) -> Job:
    """Ask a worker to save and end, once; kill one that does not."""
    now, executor = datetime.now(UTC), jobs.tending.executors[job.executor]
    order = jobs.tending.order(job)
    if job.signalled_at is None:
        log.info("%s: asked to save and end", job.id)
        executor.stop(order)
        return jobs.rows.change(job.id, lambda current: (replace(current, signalled_at=now),))
    if is_overdue(job, now):
        log.warning("%s: killed, for it did not end", job.id)
        executor.stop(order, is_forced=True)
    return job


def _launch_due(jobs: Jobs) -> None:
    now = datetime.now(UTC)
    due = [j for j in jobs.rows.list(["queued"]) if j.not_before is None or j.not_before <= now]
    for job in due:
        jobs.tending.guarded(job, partial(_launch_if_room, jobs))


def _launch_if_room(jobs: Jobs, job: Job) -> Job:
    executor = jobs.tending.executors[job.executor]
    if not _has_room(executor, jobs.rows.list(WORKING), job):
        return job
    return _launch(jobs, job, executor)


def _has_room(executor: Executor, working: Sequence[Job], job: Job) -> bool:
    """Say whether another worker may run where this job's would; its own may be there already."""
    mine = {other.id for other in working if other.executor == job.executor}
    return len(mine) < executor.slots and len({*mine, *executor.list()} - {job.id}) < executor.slots


def _launch(jobs: Jobs, job: Job, executor: Executor) -> Job:
    """Start a job's worker, or take over one that somebody else has started."""
    tending = jobs.tending
    look = tending.look(job)
    job = jobs.rows.change(job.id, lambda current: _launched(current, look))
    if job.status != "starting" or look.worker.presence != "absent":
        return job
    log.info("%s: attempt %d", job.id, job.attempt)
    try:
        executor.submit(tending.order(job))
    except AppError as error:
        reason, may_pass = str(error), isinstance(error, UnavailableError)
        log.warning("%s: %s", job.id, reason)
        return jobs.rows.change(
            job.id, lambda now: failed_here(now, look, reason, may_pass=may_pass)
        )
    return job


def _launched(job: Job, look: Look) -> tuple[Job, ...]:
    """Return a job as it starts, unless it was taken out of the queue meanwhile."""
    return (launched(job, look.facts, look.now),) if job.status == "queued" else ()


def main() -> int:
    """Supervise the home that the environment names."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO, stream=sys.stderr)
    settings = Settings.from_env(os.environ)
    with closing(open_store(settings.database_url)) as store:
        log.info("supervisor %d of %s begins", os.getpid(), settings.home)
        supervise(Jobs.of(settings, store))
        log.info("nothing left to look after")
    return 0


if __name__ == "__main__":
    sys.exit(main())
