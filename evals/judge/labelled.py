"""Answers that people labelled as good or not: what a judge is calibrated on.

A row is `{"id", "question", "answer", "label"}`, and `"group"` where rows share a source. Rows
without question and answer, `{"id", "label"}`, are labels for answers of a run. HaluEval's own rows
are read as they are: an answer without hallucination is good.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError
from core.messages import JsonObject, JsonValue
from core.rows.json_lines import json_lines
from evals.judge.pointwise import Item

ANSWER_KEYS = frozenset({"id", "question", "answer", "label", "group"})
LABEL_KEYS = frozenset({"id", "label", "repeat"})


@dataclass(frozen=True, slots=True)
class Labelled:
    """An answer, and whether people found it good."""

    item: Item
    is_good: bool


@dataclass(frozen=True, slots=True)
class Label:
    """What people said of one answer of a run."""

    id: str
    is_good: bool
    repeat: int = 0


def read_labelled(path: Path) -> list[Labelled]:
    """Return the labelled answers of a file.

    Raises:
        NotFoundError, StorageError: the file is missing or can't be read.
        InputError: a line is no such row, or an id comes twice; the text names the line.
    """
    found: dict[str, Labelled] = {}
    for number, row in _rows(path):
        try:
            labelled = _halueval(row) if "chatgpt_response" in row else _labelled(row)
        except InputError as error:
            raise InputError(f"{path.name}, line {number}: {error}") from error
        if found.setdefault(labelled.item.id, labelled) is not labelled:
            raise InputError(f"{path.name}, line {number}: the id {labelled.item.id!r} comes twice")
    return list(found.values())


def read_labels(path: Path) -> list[Label]:
    """Return a file's labels for the answers of a run.

    Raises:
        NotFoundError, StorageError: the file is missing or can't be read.
        InputError: a line is no such row, or an answer comes twice; the text names the line.
    """
    found: dict[tuple[str, int], Label] = {}
    for number, row in _rows(path):
        try:
            _check_keys(row, LABEL_KEYS)
            label = Label(_text(row, "id"), _flag(row.get("label")), _repeat(row.get("repeat", 0)))
        except InputError as error:
            raise InputError(f"{path.name}, line {number}: {error}") from error
        if found.setdefault((label.id, label.repeat), label) is not label:
            raise InputError(f"{path.name}, line {number}: the answer {label.id!r} comes twice")
    return list(found.values())


def _rows(path: Path) -> Iterator[tuple[int, JsonObject]]:
    for line in json_lines(path):
        if line.problem is not None or not isinstance(line.value, Mapping):
            problem = line.problem or "a row must be a JSON object"
            raise InputError(f"{path.name}, line {line.number}: {problem}")
        yield line.number, line.value


def _labelled(row: JsonObject) -> Labelled:
    _check_keys(row, ANSWER_KEYS)
    item = Item(
        id=_text(row, "id"),
        conversation=f"user: {_text(row, 'question')}",
        answer=_text(row, "answer"),
        group=_text(row, "group") if "group" in row else "",
    )
    return Labelled(item, _flag(row.get("label")))


def _halueval(row: JsonObject) -> Labelled:
    verdict = row.get("hallucination")
    if verdict not in ("yes", "no"):
        raise InputError(f"hallucination must be 'yes' or 'no', got {str(verdict)[:40]!r}")
    item = Item(
        id=_text(row, "ID"),
        conversation=f"user: {_text(row, 'user_query')}",
        answer=_text(row, "chatgpt_response"),
    )
    return Labelled(item, verdict == "no")


def _check_keys(row: JsonObject, known: frozenset[str]) -> None:
    for key in row:
        if key not in known:
            raise InputError(f"unknown key {key[:80]!r}; a row has {', '.join(sorted(known))}")


def _text(row: JsonObject, key: str) -> str:
    value = row.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InputError(f"{key} must be a text")
    return value


def _flag(value: JsonValue) -> bool:
    if value not in (True, False):  # 1 and 0 are equal to them
        raise InputError(f"label must be true or false, got {str(value)[:40]!r}")
    return bool(value)


def _repeat(value: JsonValue) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"repeat must be a whole number from 0, got {str(value)[:40]!r}")
    return value
