"""Version 3: what was used of each allowance, and models that their servers closed."""

from sqlalchemy import Connection

from core.store.migrations.m001_initial import TYPES

STATEMENTS = (
    """CREATE TABLE budget_buckets (
        owner TEXT NOT NULL,
        unit TEXT NOT NULL,
        window_s INTEGER NOT NULL,
        capacity {FLOAT} NOT NULL,
        used {FLOAT} NOT NULL,
        at {FLOAT} NOT NULL,
        serial BIGINT NOT NULL,
        synced_at {FLOAT},
        PRIMARY KEY (owner, unit, window_s)
    )""",
    """CREATE TABLE budget_closures (
        key TEXT NOT NULL PRIMARY KEY,
        closed_until {FLOAT} NOT NULL,
        is_day BOOLEAN NOT NULL,
        is_dead BOOLEAN NOT NULL,
        strikes INTEGER NOT NULL,
        reason TEXT NOT NULL
    )""",
)


def apply(connection: Connection) -> None:
    """Create the tables of version 3."""
    for statement in STATEMENTS:
        connection.exec_driver_sql(statement.format_map(TYPES[connection.dialect.name]))
