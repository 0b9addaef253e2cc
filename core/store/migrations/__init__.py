"""Ordered changes of the schema, each applied once and recorded in `schema_version`."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection, func, insert, select

from core.errors import StorageError
from core.store.migrations import (
    m001_initial,
    m002_cached_answers,
    m003_budgets,
    m004_jobs,
    m005_battles,
    m006_experiments,
    m007_jobs_by_home,
)
from core.store.tables import schema_version

MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {
    1: m001_initial.apply,
    2: m002_cached_answers.apply,
    3: m003_budgets.apply,
    4: m004_jobs.apply,
    5: m005_battles.apply,
    6: m006_experiments.apply,
    7: m007_jobs_by_home.apply,
}
"""By the version that each one leads to, in order."""

NEWEST = max(MIGRATIONS)

LOCK = 0x756E6465
"""Key of PostgreSQL's advisory lock; SQLite's write transaction is a lock already."""


def migrate(connection: Connection) -> None:
    """Bring the database to the newest version, inside the caller's write transaction.

    Processes that start at once wait for each other.

    Raises:
        StorageError: a newer Understudy has written this database.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
    schema_version.create(connection, checkfirst=True)
    version = connection.scalar(select(func.max(schema_version.c.version))) or 0
    if version > NEWEST:
        raise StorageError(
            f"the database has schema version {version} but this Understudy knows only up to "
            f"version {NEWEST}; update Understudy, or set UNDERSTUDY_DATABASE_URL to another "
            "database"
        )
    for number in range(version + 1, NEWEST + 1):
        MIGRATIONS[number](connection)
        now = datetime.now(UTC)
        connection.execute(insert(schema_version).values(version=number, applied_at=now))
