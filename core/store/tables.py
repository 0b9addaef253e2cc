"""The tables as the code sees them; `migrations/` is what creates and changes them.

Texts that people or models wrote stand in `messages`, `corrections`, `feedback.reason`,
`conversations.title`, `spans.input`, `spans.output` and `cached_answers.value`, in what
`battle_tables.py` names, and nowhere else.
Deleting a conversation leaves the cached answers: they belong to no visitor, hold no prompt, and
go when they are too old.
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
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)

from core.store import battle_tables, experiment_tables
from core.store.columns import UtcTime, metadata

__all__ = [
    "adapters",
    "battle_tables",
    "budget_buckets",
    "budget_closures",
    "cache_totals",
    "cached_answers",
    "conversations",
    "corrections",
    "experiment_tables",
    "feedback",
    "jobs",
    "messages",
    "metadata",
    "schema_version",
    "secrets",
    "spans",
    "traces",
]


schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("applied_at", UtcTime, nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("visitor", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Index("conversations_by_visitor", "visitor", "updated_at"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("conversation_id", Text, ForeignKey("conversations.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("role", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("tool_calls", JSON, nullable=False),
    Column("tool_call_id", Text),
    Column("generation", JSON(none_as_null=True)),
    Column("created_at", UtcTime, nullable=False),
    Column("withdrawn_at", UtcTime),
    UniqueConstraint("conversation_id", "position"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("message_id", Text, ForeignKey("messages.id"), nullable=False),
    Column("liked", Boolean),
    Column("reason", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index("feedback_by_message", "message_id"),
)

corrections = Table(
    "corrections",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("message_id", Text, ForeignKey("messages.id"), nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index("corrections_by_message", "message_id"),
)

traces = Table(
    "traces",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("conversation_id", Text),
    Column("status", Text, nullable=False),
    Column("error_code", Text),
    Column("started_at", UtcTime, nullable=False),
    Column("duration_s", Float),
    Column("process", Text, nullable=False),
    Column("is_blanked", Boolean, nullable=False),
    Index("traces_by_time", "started_at"),
    Index("traces_by_caller", "caller", "started_at"),
    Index("traces_by_conversation", "conversation_id"),
    Index("traces_by_status", "status"),
)

spans = Table(
    "spans",
    metadata,
    Column("trace_id", Text, ForeignKey("traces.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("parent", Integer),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("error_code", Text),
    Column("offset_s", Float, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("input", JSON(none_as_null=True)),
    Column("output", JSON(none_as_null=True)),
    Column("attributes", JSON, nullable=False),
)

cached_answers = Table(
    "cached_answers",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("checksum", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("used_at", UtcTime, nullable=False),
    Index("cached_answers_by_use", "used_at"),
    Index("cached_answers_by_age", "created_at"),
)

cache_totals = Table(
    "cache_totals",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("clears", BigInteger, nullable=False),
    Column("hits", BigInteger, nullable=False),
    Column("misses", BigInteger, nullable=False),
    Column("saved_tokens", BigInteger, nullable=False),
    Column("saved_usd", Float),
)

budget_buckets = Table(
    "budget_buckets",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("window_s", Integer, primary_key=True, autoincrement=False),
    Column("capacity", Float, nullable=False),
    Column("used", Float, nullable=False),
    Column("at", Float, nullable=False),
    Column("serial", BigInteger, nullable=False),
    Column("synced_at", Float),
)

budget_closures = Table(
    "budget_closures",
    metadata,
    Column("key", Text, primary_key=True),
    Column("closed_until", Float, nullable=False),
    Column("is_day", Boolean, nullable=False),
    Column("is_dead", Boolean, nullable=False),
    Column("strikes", Integer, nullable=False),
    Column("reason", Text, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("home", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("executor", Text, nullable=False),
    Column("processes", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("events_from", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("failed_step", Integer),
    Column("committed_step", Integer),
    Column("error", Text),
    Column("created_at", UtcTime, nullable=False),
    Column("queued_at", UtcTime, nullable=False),
    Column("not_before", UtcTime),
    Column("started_at", UtcTime),
    Column("signalled_at", UtcTime),
    Column("seen_at", UtcTime),
    Column("ended_at", UtcTime),
    Index("jobs_by_home", "home", "status", "queued_at"),
)

adapters = Table(
    "adapters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("base_digest", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("run", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("dataset_digest", Text, nullable=False),
    Column("figures", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    UniqueConstraint("model", "purpose", "number"),
    UniqueConstraint("run", "digest"),
)
