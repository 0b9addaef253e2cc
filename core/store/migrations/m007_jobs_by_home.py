"""Version 7: names of training jobs are each home's own, also where homes share a database."""

from sqlalchemy import Connection

from core.store.migrations.m001_initial import TYPES

COLUMNS = (
    "id, home, status, executor, processes, attempt, events_from, failures, failed_step, "
    "committed_step, error, created_at, queued_at, not_before, started_at, signalled_at, "
    "seen_at, ended_at"
)
STATEMENTS = (
    """CREATE TABLE jobs_of_homes (
        home TEXT NOT NULL,
        id TEXT NOT NULL,
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
        ended_at {TIME},
        PRIMARY KEY (home, id)
    )""",
    f"INSERT INTO jobs_of_homes ({COLUMNS}) SELECT {COLUMNS} FROM jobs",
    "DROP TABLE jobs",
    "ALTER TABLE jobs_of_homes RENAME TO jobs",
    "CREATE INDEX jobs_by_home ON jobs (home, status, queued_at)",
)


def apply(connection: Connection) -> None:
    """Make the jobs' table anew: SQLite can't change a primary key."""
    for statement in STATEMENTS:
        connection.exec_driver_sql(statement.format_map(TYPES[connection.dialect.name]))
