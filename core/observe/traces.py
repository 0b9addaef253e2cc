"""What the ledger hands out: traces and their spans."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import RowMapping

from core.messages import JsonObject, JsonValue
from core.observe.liveness import has_ended

EndStatus = Literal["ok", "error", "cancelled"]
Status = Literal["running", "ok", "error", "cancelled", "interrupted"]
"""Interrupted: its process died before it could record an end."""


@dataclass(frozen=True, slots=True)
class Span:
    """One timed step of a trace."""

    number: int
    """From 1, in the order the steps started."""
    parent: int | None
    """Number of the step that this one is part of; None directly under the trace."""
    name: str
    kind: str
    status: EndStatus
    error_code: str | None
    offset_s: float
    """From the start of the trace."""
    duration_s: float
    input: JsonValue = field(hash=False)
    """None when there was none, or when its conversation was deleted."""
    output: JsonValue = field(hash=False)
    attributes: JsonObject = field(hash=False)


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """One request, without its steps."""

    id: str
    name: str
    caller: str
    conversation_id: str | None
    status: Status
    error_code: str | None
    started_at: datetime
    duration_s: float | None
    """None until it ended."""

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as JSON."""
        return {**asdict(self), "started_at": self.started_at.isoformat()}


@dataclass(frozen=True, slots=True)
class Trace(TraceSummary):
    """One request with its steps."""

    spans: tuple[Span, ...]


def summary_from_row(row: RowMapping) -> TraceSummary:
    """Make a trace from its row, seeing whether its process still lives."""
    return TraceSummary(
        id=row["id"],
        name=row["name"],
        caller=row["caller"],
        conversation_id=row["conversation_id"],
        status=status_from_row(row),
        error_code=row["error_code"],
        started_at=row["started_at"],
        duration_s=row["duration_s"],
    )


def status_from_row(row: RowMapping) -> Status:
    """Return the stored status, or `interrupted` for a trace that nobody will end."""
    status: Status = row["status"]
    age = datetime.now(UTC) - row["started_at"]
    return "interrupted" if status == "running" and has_ended(row["process"], age) else status


def trace_from_rows(row: RowMapping, steps: Sequence[RowMapping]) -> Trace:
    """Make a trace from its row and those of its spans."""
    summary = asdict(summary_from_row(row))
    spans = tuple(Span(**{key: each[key] for key in each if key != "trace_id"}) for each in steps)
    return Trace(**summary, spans=spans)
