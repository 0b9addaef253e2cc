"""Version 4: training jobs, and the adapters that came of them."""

from sqlalchemy import Connection

from core.store.migrations.m001_initial import TYPES

STATEMENTS = (
    """CREATE TABLE jobs (
        id TEXT NOT NULL PRIMARY KEY,
        home TEXT NOT NULL,
        status TEXT NOT NULL,
        executor TEXT NOT NULL,
        processes INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        events_from BIGINT NOT NULL,
        failures INTEGER NOT NULL,
        failed_step INTEGER,
        committed_step INTEGER,
        error TEXT,
        created_at {TIME} NOT NULL,
        queued_at {TIME} NOT NULL,
        not_before {TIME},
        started_at {TIME},
        signalled_at {TIME},
        seen_at {TIME},
        ended_at {TIME}
    )""",
    "CREATE INDEX jobs_by_home ON jobs (home, status, queued_at)",
    """CREATE TABLE adapters (
        name TEXT NOT NULL PRIMARY KEY,
        model TEXT NOT NULL,
        purpose TEXT NOT NULL,
        number INTEGER NOT NULL,
        digest TEXT NOT NULL,
        base_digest TEXT NOT NULL,
        size_bytes BIGINT NOT NULL,
        run TEXT NOT NULL,
        dataset TEXT NOT NULL,
        dataset_digest TEXT NOT NULL,
        figures JSON NOT NULL,
        created_at {TIME} NOT NULL,
        UNIQUE (model, purpose, number),
        UNIQUE (run, digest)
    )""",
)


def apply(connection: Connection) -> None:
    """Create the tables of version 4."""
    for statement in STATEMENTS:
        connection.exec_driver_sql(statement.format_map(TYPES[connection.dialect.name]))
