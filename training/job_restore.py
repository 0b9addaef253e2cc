"""A run whose disk was lost: back from its mirror, and a job of this home again."""

from contextlib import suppress
from pathlib import Path

from core.errors import InputError, NotFoundError
from training.checkpoints import committed, read_manifest
from training.job_view import JobView
from training.jobs import Jobs
from training.mirror_files import restore
from training.run_folder import CHECKPOINTS, check_run_name

RNG = "rng_state"
"""Begins the name of what each process of a run saves of its own."""


def restore_job(jobs: Jobs, url: str, run: str) -> JobView:
    """Bring a run's folder back from its mirror and make it a job that can be resumed.

    A restore that was killed half-way can be asked for again.

    Raises:
        InputError: the name can't be one, the run is here already, or the URL can't be used.
        NotFoundError: the mirror has no such run.
        StorageError: the disk or the store fails.
    """
    check_run_name(run)
    folder, is_known = jobs.home / "runs" / run, _is_known(jobs, run)
    if not folder.exists():
        restore(url, run, folder.parent)
    elif is_known:
        raise InputError(f"run {run!r} is here already; go on with: jobs resume {run}")
    return jobs.show(run) if is_known else jobs.adopt(run, processes_of(folder))


def processes_of(folder: Path) -> int:
    """Return how many processes trained a run together, by what its newest checkpoint holds."""
    for step in reversed(committed(folder / CHECKPOINTS)):
        with suppress(ValueError):
            names = read_manifest(folder / CHECKPOINTS / f"step-{step}").files
            return max(1, sum(name.startswith(RNG) for name in names))
    return 1


def _is_known(jobs: Jobs, run: str) -> bool:
    try:
        jobs.rows.get(run)
    except NotFoundError:
        return False
    return True
