"""A new run: its folder first, then its place in the queue."""

from dataclasses import dataclass
from datetime import UTC, datetime

from core.catalog import Catalog
from core.messages import new_id
from training.config import TrainConfig
from training.job_view import JobView
from training.jobs import Jobs
from training.mirror_files import open_store
from training.registry import purpose_of, slug
from training.run_folder import create_run


@dataclass(frozen=True, slots=True)
class NewRun:
    """What is to be carried out, and where."""

    config: TrainConfig
    name: str | None = None
    """None: one is made of model, purpose and time."""
    executor: str = "local"
    processes: int = 1
    """Processes that train together, one for each GPU."""


def queue_run(jobs: Jobs, catalog: Catalog, new: NewRun) -> JobView:
    """Make a run's folder and queue it.

    Raises:
        AppError: as `Jobs.check`, `create_run` and, of its mirror, `open_store`; then there is no
            folder either.
    """
    jobs.check(new.executor, new.processes)
    name = new.name or run_name(new.config, datetime.now(UTC))
    if new.config.mirror is not None:
        open_store(new.config.mirror, name)
    create_run(jobs.home, name, new.config, catalog)
    return jobs.submit(name, new.executor, new.processes)


def run_name(config: TrainConfig, now: datetime) -> str:
    """Return a name for a run that no other has."""
    model = slug(config.model)[:60]
    return f"{model}-{purpose_of(config)}-{now:%Y%m%d-%H%M%S}-{new_id()[:4]}"
