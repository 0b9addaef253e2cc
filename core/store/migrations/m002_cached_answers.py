"""Version 2: the answer cache's second level, and what it has saved so far."""

from sqlalchemy import Connection

from core.store.migrations.m001_initial import TYPES

STATEMENTS = (
    """CREATE TABLE cached_answers (
        key TEXT NOT NULL PRIMARY KEY,
        value {BYTES} NOT NULL,
        checksum TEXT NOT NULL,
        created_at {TIME} NOT NULL,
        used_at {TIME} NOT NULL
    )""",
    "CREATE INDEX cached_answers_by_use ON cached_answers (used_at)",
    "CREATE INDEX cached_answers_by_age ON cached_answers (created_at)",
    """CREATE TABLE cache_totals (
        id INTEGER NOT NULL PRIMARY KEY,
        clears BIGINT NOT NULL,
        hits BIGINT NOT NULL,
        misses BIGINT NOT NULL,
        saved_tokens BIGINT NOT NULL,
        saved_usd {FLOAT}
    )""",
    "INSERT INTO cache_totals (id, clears, hits, misses, saved_tokens) VALUES (1, 0, 0, 0, 0)",
)


def apply(connection: Connection) -> None:
    """Create the tables of version 2."""
    for statement in STATEMENTS:
        connection.exec_driver_sql(statement.format_map(TYPES[connection.dialect.name]))
