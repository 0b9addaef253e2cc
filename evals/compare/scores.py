"""Scores of items, and the JSONL files of `{"id", "score", "group"}` that they come in.

Ids, groups and labels are texts or whole numbers, which count as their digits; true is 1, false 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError
from core.messages import JsonValue
from core.rows.json_lines import Line, json_lines
from evals.stats.paired import LARGEST
from evals.stats.paired_ratio import Part


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One item's score."""

    id: str
    score: float
    """0.0 to 1.0 of runs; of a file any number between -1e15 and 1e15."""
    group: str | None = None
    """The source that items share; None: its own."""
    label: str | None = None
    """What slices are made by; None: in no slice, or by group where no row has a label."""
    absent: float = 0.0
    """Share of the item's planned answers that have no score, 0.0 to below 1.0."""
    part: Part | None = None
    """What the item adds to a ratio of sums; None: the metric is the mean of the scores."""


@dataclass(frozen=True, slots=True)
class Scores:
    """One side of a comparison; ids are unique."""

    name: str
    """What the side is called: a run, or a file."""
    metric: str
    rows: tuple[ScoredRow, ...]
    missing: frozenset[str] = frozenset()
    """Planned items without a score."""


def read_scores(path: Path) -> Scores:
    """Return the scores of a JSONL file; keys beside `id`, `score`, `group`, `label` are ignored.

    Raises:
        NotFoundError: there is no such file.
        StorageError: the file can't be read.
        InputError: a line is no scored item, or repeats an id; the text names the line. Or there
            are none.
    """
    lines: dict[str, int] = {}
    rows = []
    for line in json_lines(path):
        row = _row(path, line)
        if row.id in lines:
            where = f"{path.name}, line {line.number}"
            raise InputError(f"{where}: id {row.id[:100]!r} is on line {lines[row.id]} already")
        lines[row.id] = line.number
        rows.append(row)
    if not rows:
        raise InputError(f"{path.name} holds no scores; it needs one JSON object on each line")
    return Scores(str(path), "score", tuple(rows))


def _row(path: Path, line: Line) -> ScoredRow:
    try:
        if line.problem is not None:
            raise InputError(line.problem)
        if not isinstance(line.value, dict):
            raise InputError('a row must be a JSON object like {"id": "q1", "score": 1}')
        return _from_dict(line.value)
    except InputError as error:
        raise InputError(f"{path.name}, line {line.number}: {error}") from error


def _from_dict(value: Mapping[str, JsonValue]) -> ScoredRow:
    key, score = _text(value, "id"), value.get("score")
    if not key:
        raise InputError(f"'id' must be a number or a text that is not empty, got {_shown(key)}")
    if not isinstance(score, int | float) or not -LARGEST <= score <= LARGEST:
        raise InputError(
            f"'score' must be true, false or a number from {-LARGEST:g} to {LARGEST:g}, got "
            f"{_shown(score)}"
        )
    return ScoredRow(key, float(score), _text(value, "group"), _text(value, "label"))


def _text(value: Mapping[str, JsonValue], key: str) -> str | None:
    found = value.get(key)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if found is not None and not isinstance(found, str):
        raise InputError(f"{key!r} must be a text or a whole number, got {_shown(found)}")
    return found


def _shown(found: JsonValue) -> str:
    """Return a value for a message, never more than a line of it."""
    return "nothing" if found is None else repr(found)[:100]
