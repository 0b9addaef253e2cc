"""The tables of blind battles; texts stand in `messages`, `answer`, `tool_calls` and `text`.

`voter` is a pseudonym that changes with the salt, so no row leads back to a visitor.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
)

from core.store.columns import UtcTime, metadata

battles = Table(
    "battles",
    metadata,
    Column("id", Text, primary_key=True),
    Column("created_at", UtcTime, nullable=False),
    Column("voter", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("process", Text, nullable=False),
    Column("started_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("task", Text),
    Column("item", Text),
    Column("experiment", Text),
    Column("prompt", Text, nullable=False),
    Column("messages", JSON, nullable=False),
    Column("tools", JSON, nullable=False),
    Column("params", JSON, nullable=False),
    Index("battles_by_source", "source", "experiment", "status"),
    Index("battles_by_voter", "voter", "created_at"),
    Index("battles_by_prompt", "voter", "prompt"),
)

# The long texts come last: SQLite reads past them to get at what stands behind.
battle_sides = Table(
    "battle_sides",
    metadata,
    Column("battle_id", Text, ForeignKey("battles.id"), primary_key=True),
    Column("side", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("adapter", Text),
    Column("error", Text),
    Column("names_itself", Boolean, nullable=False),
    Column("length", Integer),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("cost_usd", Float),
    Column("first_token_s", Float),
    Column("queue_s", Float),
    Column("total_s", Float),
    Column("tokens_per_s", Float),
    Column("answer", Text, nullable=False),
    Column("tool_calls", JSON, nullable=False),
    Column("facts", JSON(none_as_null=True)),
)

votes = Table(
    "votes",
    metadata,
    Column("battle_id", Text, ForeignKey("battles.id"), primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("voted_at", UtcTime, nullable=False),
    Column("excluded_because", Text),
    Index("votes_by_time", "voted_at"),
)

battle_corrections = Table(
    "battle_corrections",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("battle_id", Text, ForeignKey("battles.id"), nullable=False),
    Column("side", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index("battle_corrections_by_battle", "battle_id"),
)
