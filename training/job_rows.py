"""The jobs in the store: one row each, changed only along the legal transitions."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import Connection, RowMapping, Select, insert, select, update

from core.errors import InputError, NotFoundError
from core.store.database import Store
from core.store.tables import jobs
from training.job_states import Status, moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is known of one run's way through queue and workers."""

    id: str
    """The run's name."""
    home: str
    """Which disk holds the run's folder; see `Jobs`."""
    status: Status
    executor: str
    """Where its workers run, by name in `training.launch`."""
    processes: int
    """Worker processes that train together, one for each GPU."""
    created_at: datetime
    queued_at: datetime
    """Since when it waits, or waited; the queue's order."""
    attempt: int = 0
    """Workers started so far."""
    events_from: int = 0
    """Bytes of `events.jsonl` that were there before the newest worker."""
    failures: int = 0
    """Attempts in a row that ended early without a new checkpoint."""
    failed_step: int | None = None
    """Step at which the last of them failed; -1: before the first one."""
    committed_step: int | None = None
    """Step of the newest checkpoint when the newest worker started."""
    error: str | None = None
    """Why the last attempt ended early."""
    not_before: datetime | None = None
    """When a retry may start."""
    started_at: datetime | None = None
    """When the newest worker started."""
    signalled_at: datetime | None = None
    """When the newest worker was asked to save and end."""
    seen_at: datetime | None = None
    """When the supervisor last saw the newest worker alive, to some seconds."""
    ended_at: datetime | None = None


class JobRows:
    """The rows of one home; safe to share between threads and processes."""

    def __init__(self, store: Store, home: str) -> None:
        self._store = store
        self.home = home

    def add(self, job: Job) -> None:
        """Store a new job.

        Raises:
            InputError: there is one of this name.
        """
        with self._store.write() as connection:
            if connection.execute(self._all().where(jobs.c.id == job.id)).first():
                raise InputError(f"there is a job {job.id!r} already")
            connection.execute(insert(jobs).values(asdict(job)))

    def get(self, name: str) -> Job:
        """Return one job.

        Raises:
            NotFoundError: there is none of this name.
        """
        with self._store.read() as connection:
            return self._one(connection, name, self._all())

    def list(self, statuses: Sequence[Status] | None = None) -> tuple[Job, ...]:
        """Return the jobs in these states, or all, in the queue's order."""
        query = self._all() if statuses is None else self._all().where(jobs.c.status.in_(statuses))
        with self._store.read() as connection:
            return tuple(_job(row) for row in connection.execute(query).mappings())

    def change(self, name: str, course: Callable[[Job], Sequence[Job]]) -> Job:
        """Let a job go through states, all or none; return it as it is then.

        `course` gets the job as it is now, which nobody else changes meanwhile, and returns what
        it becomes, one after the other; nothing when it stays as it is.

        Raises:
            NotFoundError: there is no job of this name.
            InputError: a state may not follow the one before.
        """
        with self._store.write() as connection:
            job = now = self._one(connection, name, self._all().with_for_update())
            for new in course(job):
                if new.status != now.status:
                    moved(name, now.status, new.status)
                now = new
            if now != job:
                values = {key: value for key, value in asdict(now).items() if key != "id"}
                connection.execute(update(jobs).filter_by(home=self.home, id=name).values(values))
        return now

    def _all(self) -> Select[*tuple[object, ...]]:
        return select(jobs).filter_by(home=self.home).order_by(jobs.c.queued_at, jobs.c.id)

    def _one(self, connection: Connection, name: str, query: Select[*tuple[object, ...]]) -> Job:
        row = connection.execute(query.where(jobs.c.id == name)).mappings().first()
        if row is None:
            raise NotFoundError(f"no job named {name[:80]!r}; `jobs list` names them all")
        return _job(row)


def _job(row: RowMapping) -> Job:
    return Job(**{field.name: row[field.name] for field in fields(Job)})
