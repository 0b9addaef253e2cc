"""The rows of a run's files: one for each attempt at an answer, and one for each grade."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from core.errors import FailureKind, StorageError
from core.messages import JsonObject, JsonValue, ToolCall
from core.store.text import clean_json
from evals.manifest import Key
from evals.sample import Answer, Grade, Score

RowStatus = Literal["ok", "error", "timeout", "truncated"]
ErrorKind = FailureKind | Literal["internal", "batch", "abstained", "no_answer"]
"""`internal`: a bug of ours. `batch`: another request of its planned batch failed. `abstained`: an
ensemble with a failed member gave no answer. `no_answer`: a predictions file has none."""
LASTING: frozenset[str] = frozenset({"refused", "context_too_long"})
"""Failures that a planned batch would have again."""


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt at one answer."""

    id: str
    repeat: int
    status: RowStatus
    """`ok`: whole, or as long as the run's own `max_tokens` allows. `truncated`: cut before."""
    attempt: int
    """From 1; the last one counts."""
    text: str = ""
    tool_calls: tuple[Mapping[str, str], ...] | None = field(default=None, hash=False)
    """Name and arguments (JSON text) of calls that came apart from the text; None: none did."""
    finish_reason: str | None = None
    usage: JsonObject | None = field(default=None, hash=False)
    timings: JsonObject | None = field(default=None, hash=False)
    cost_usd: float | None = None
    """What this attempt cost; None: not known."""
    full_cost_usd: float | None = None
    """What it would have cost without the cache."""
    model: JsonObject | None = field(default=None, hash=False)
    adapter: JsonObject | None = field(default=None, hash=False)
    cache: str | None = None
    error: str | None = None
    """Why there is no answer to grade, for people."""
    error_kind: ErrorKind | None = None
    began: float | None = None
    """Seconds since 1970."""
    ended: float | None = None

    @property
    def key(self) -> Key:
        """Return which answer it is an attempt at."""
        return Key(self.id, self.repeat)

    @property
    def output_tokens(self) -> int | None:
        """Return the tokens of the answer; None: not known."""
        count = self.usage.get("output_tokens") if self.usage else None
        return count if isinstance(count, int) else None

    @property
    def is_settled(self) -> bool:
        """Whether a planned batch with this row need not be run again."""
        return self.status in ("ok", "truncated") or self.error_kind in LASTING

    def answer(self) -> Answer:
        """Return what a scorer judges."""
        if self.tool_calls is None:
            return Answer(self.text)
        calls = [
            ToolCall(f"call-{place}", call["name"], call["arguments"])
            for place, call in enumerate(self.tool_calls)
        ]
        return Answer(self.text, tuple(calls))

    def to_line(self) -> bytes:
        """Return the row as a line of JSON."""
        return as_line(asdict(self))

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> "Row":
        """Read what `to_line` wrote.

        Raises:
            StorageError: a key is missing or unknown.
        """
        names = {each.name for each in fields(Row)}
        if odd := sorted(names ^ value.keys()):
            raise StorageError(f"generations.jsonl: {odd[0]!r} is missing or unknown")
        calls = value["tool_calls"]
        return Row(**{**value, "tool_calls": None if calls is None else tuple(calls)})


def grade_line(grade: Grade) -> bytes:
    """Return a grade as a line of JSON; notes that are no JSON are left out and said to be."""
    score = grade.score
    row: dict[str, JsonValue] = {
        "id": grade.id,
        "repeat": grade.repeat,
        "group": grade.group,
        "values": dict(score.values),
        "repaired": dict(score.repaired),
        "failure": score.failure,
        "counts": dict(score.counts),
    }
    try:
        return as_line({**row, "notes": clean_json(score.notes)})
    except (ValueError, RecursionError, TypeError):
        return as_line({**row, "notes": {"left_out": "what the scorer noted is no JSON"}})


def grade_from_dict(value: Mapping[str, Any]) -> Grade:
    """Read what `grade_line` wrote.

    Raises:
        StorageError: a key is missing.
    """
    try:
        score = Score(
            values=value["values"],
            repaired=value["repaired"],
            failure=value["failure"],
            counts=value["counts"],
            notes=value["notes"],
        )
        return Grade(value["id"], value["group"], score, value["repeat"])
    except KeyError as error:
        raise StorageError(f"grades.jsonl: {error} is missing") from error


def as_line(value: Mapping[str, Any]) -> bytes:
    """Return JSON in one line; text with half of a surrogate pair is escaped, not lost."""
    try:
        return json.dumps(value, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value).encode() + b"\n"
