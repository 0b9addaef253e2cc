"""Version 5: blind battles, their sides, the votes on them, and answers that people edited."""

from sqlalchemy import Connection

from core.store.migrations.m001_initial import TYPES

STATEMENTS = (
    """CREATE TABLE battles (
        id TEXT NOT NULL PRIMARY KEY,
        created_at {TIME} NOT NULL,
        voter TEXT NOT NULL,
        source TEXT NOT NULL,
        status TEXT NOT NULL,
        process TEXT NOT NULL,
        started_at {TIME},
        ended_at {TIME},
        task TEXT,
        item TEXT,
        experiment TEXT,
        prompt TEXT NOT NULL,
        messages JSON NOT NULL,
        tools JSON NOT NULL,
        params JSON NOT NULL
    )""",
    "CREATE INDEX battles_by_source ON battles (source, experiment, status)",
    "CREATE INDEX battles_by_voter ON battles (voter, created_at)",
    "CREATE INDEX battles_by_prompt ON battles (voter, prompt)",
    """CREATE TABLE battle_sides (
        battle_id TEXT NOT NULL REFERENCES battles (id),
        side TEXT NOT NULL,
        model TEXT NOT NULL,
        digest TEXT NOT NULL,
        adapter TEXT,
        error TEXT,
        names_itself BOOLEAN NOT NULL,
        length INTEGER,
        input_tokens INTEGER,
        output_tokens INTEGER,
        cost_usd {FLOAT},
        first_token_s {FLOAT},
        queue_s {FLOAT},
        total_s {FLOAT},
        tokens_per_s {FLOAT},
        answer TEXT NOT NULL,
        tool_calls JSON NOT NULL,
        facts JSON,
        PRIMARY KEY (battle_id, side)
    )""",
    """CREATE TABLE votes (
        battle_id TEXT NOT NULL PRIMARY KEY REFERENCES battles (id),
        outcome TEXT NOT NULL,
        reasons JSON NOT NULL,
        voted_at {TIME} NOT NULL,
        excluded_because TEXT
    )""",
    "CREATE INDEX votes_by_time ON votes (voted_at)",
    """CREATE TABLE battle_corrections (
        id {NUMBERED},
        battle_id TEXT NOT NULL REFERENCES battles (id),
        side TEXT NOT NULL,
        text TEXT NOT NULL,
        created_at {TIME} NOT NULL
    )""",
    "CREATE INDEX battle_corrections_by_battle ON battle_corrections (battle_id)",
)


def apply(connection: Connection) -> None:
    """Create the tables of version 5."""
    for statement in STATEMENTS:
        connection.exec_driver_sql(statement.format_map(TYPES[connection.dialect.name]))
