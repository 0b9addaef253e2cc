"""The table of experiments: a row is written before the first item, and ended once.

`result` is NULL, or `{"runs": [...]}` of a running experiment on a task once the runs that decide
it are chosen; of an ended one it is the panel.
"""

from sqlalchemy import JSON, Column, Float, Integer, Table, Text

from core.store.columns import UtcTime, metadata

experiments = Table(
    "experiments",
    metadata,
    Column("name", Text, primary_key=True),
    Column("model_a", Text, nullable=False),
    Column("digest_a", Text, nullable=False),
    Column("adapter_a", Text),
    Column("model_b", Text, nullable=False),
    Column("digest_b", Text, nullable=False),
    Column("adapter_b", Text),
    Column("metric", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("n", Integer),
    Column("alpha", Float, nullable=False),
    Column("delta", Float, nullable=False),
    Column("task", Text),
    Column("judge", Text),
    Column("rubric", Text),
    Column("made_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("result", JSON(none_as_null=True)),
)
