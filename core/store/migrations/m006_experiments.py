"""Version 6: planned experiments of two arms."""

from sqlalchemy import Connection

from core.store.migrations.m001_initial import TYPES

STATEMENT = """CREATE TABLE experiments (
    name TEXT NOT NULL PRIMARY KEY,
    model_a TEXT NOT NULL,
    digest_a TEXT NOT NULL,
    adapter_a TEXT,
    model_b TEXT NOT NULL,
    digest_b TEXT NOT NULL,
    adapter_b TEXT,
    metric TEXT NOT NULL,
    plan TEXT NOT NULL,
    n INTEGER,
    alpha {FLOAT} NOT NULL,
    delta {FLOAT} NOT NULL,
    task TEXT,
    judge TEXT,
    rubric TEXT,
    made_at {TIME} NOT NULL,
    ended_at {TIME},
    result JSON
)"""


def apply(connection: Connection) -> None:
    """Create the table of version 6."""
    connection.exec_driver_sql(STATEMENT.format_map(TYPES[connection.dialect.name]))
