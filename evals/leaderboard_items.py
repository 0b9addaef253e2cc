"""The items behind a cell, and two models beside each other on the same items.

Grades are read whole and kept; answers, which may be long, only for the page that is shown.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from core.errors import InputError, StorageError
from evals.leaderboard import LOWER_IS_BETTER
from evals.leaderboard_files import FileMemory, json_object
from evals.leaderboard_runs import RunSummary
from evals.sample import Sample

PAGE = 50
"""Items of a page."""
REMEMBERED = 16
"""Runs whose grades stay in memory."""
FULL = 1.0 - 1e-9
Outcome = Literal["only_a", "only_b", "both", "none", "missing"]
OUTCOMES: tuple[Outcome, ...] = ("only_a", "only_b", "both", "none", "missing")
Key = tuple[str, int]
"""Id of a sample, and the repeat."""
SampleSource = Callable[[RunSummary], Mapping[str, Sample]]
"""The samples of a run's task; empty where its dataset is gone or has changed."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The grade of one answer, without the answer."""

    value: float | None
    """The primary metric, 0.0 to 1.0; None: no answer was graded."""
    is_right: bool | None
    """Whether it has full marks; None: not graded."""
    failure: str | None
    repaired: float | None
    """The primary metric after repairs; None where none apply."""
    notes: str
    """What the scorer says of it, as JSON; empty for nothing."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model said to an item."""

    status: str
    """ok, error, timeout, truncated, or missing."""
    text: str
    """The completion, with tool calls that came apart from it as JSON below."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """One model's answer to an item, and its grade."""

    mark: Mark
    answer: Answered


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a page."""

    id: str
    repeat: int
    prompt: str | None
    """None: the dataset is gone or has changed."""
    target: str | None
    outcome: Outcome | None
    """None where only one model is looked at."""
    sides: tuple[Side, ...]


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Some items, and how many there are."""

    items: tuple[Item, ...]
    page: int
    """From 1."""
    pages: int
    total: int
    """Items that the filter lets through."""
    failures: Mapping[str, int] = field(hash=False)
    """Label to items of the first model, before any filter."""
    outcomes: Mapping[str, int] = field(hash=False)
    """Outcome to items, before any filter; empty for one model."""


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items are wanted."""

    failure: str | None = None
    """Label that either model's answer has; None: any."""
    outcome: Outcome | None = None
    """None: all."""
    page: int = 1


@dataclass(frozen=True, slots=True)
class Marks:
    """The grades of a run, and the order of its items."""

    order: tuple[Key, ...]
    marks: Mapping[Key, Mark] = field(hash=False)


UNGRADED = Mark(None, None, None, None, "")
UNANSWERED = Answered("missing", "")


class ItemReader:
    """Reads items on demand."""

    def __init__(self, samples: SampleSource) -> None:
        self._samples = samples
        self.memory: FileMemory[Marks] = FileMemory(REMEMBERED)

    def page(self, runs: Sequence[RunSummary], wanted: ItemFilter) -> ItemPage:
        """Return a page of the items of one run, or of two runs beside each other.

        Raises:
            InputError: the two runs are not of the same items, task and grader.
            StorageError: a file can't be read.
        """
        if len({(run.task, run.version) for run in runs}) > 1:
            raise InputError("the two runs differ in items, task or grader; choose another model")
        found = [self._marks(run) for run in runs]
        outcomes = {key: _outcome(found, key) for key in found[0].order} if len(runs) == 2 else {}
        keys = [
            key for key in found[0].order
            if (wanted.outcome is None or not outcomes or outcomes[key] == wanted.outcome)
            and (wanted.failure is None or wanted.failure in _failures(found, key))
        ]  # fmt: skip
        pages = max(1, -(-len(keys) // PAGE))
        page = min(max(1, wanted.page), pages)
        shown = keys[(page - 1) * PAGE : page * PAGE]
        labels = [mark.failure for mark in found[0].marks.values() if mark.failure]
        return ItemPage(
            items=tuple(self._items(runs, found, shown, outcomes)),
            page=page,
            pages=pages,
            total=len(keys),
            failures=dict(Counter(labels).most_common()),
            outcomes=Counter(outcomes.values()),
        )

    def _items(
        self,
        runs: Sequence[RunSummary],
        found: Sequence[Marks],
        keys: Sequence[Key],
        outcomes: Mapping[Key, Outcome],
    ) -> Iterator[Item]:
        samples = self._samples(runs[0]) if keys else {}
        answers = [_answers(run.folder / "generations.jsonl", frozenset(keys)) for run in runs]
        for key in keys:
            sample = samples.get(key[0])
            sides = (
                Side(marks.marks.get(key, UNGRADED), answered.get(key, UNANSWERED))
                for marks, answered in zip(found, answers, strict=True)
            )
            yield Item(
                id=key[0],
                repeat=key[1],
                prompt=_prompt(sample) if sample else None,
                target=as_json(sample.target) if sample else None,
                outcome=outcomes.get(key),
                sides=tuple(sides),
            )

    def _marks(self, run: RunSummary) -> Marks:
        def read(manifest: Path, grades: Path) -> Marks:
            return _read_marks(manifest, grades, run.primary)

        return self.memory.get((run.folder / "manifest.json", run.folder / "grades.jsonl"), read)


def as_json(value: Any) -> str:
    """Return a JSON value for people: a text as it is, all else indented."""
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=1, ensure_ascii=False)


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSONL file; a line that is none (a killed run's last) is left out.

    Raises:
        StorageError: the file can't be read.
    """
    try:
        with path.open("rb") as lines:
            for line in lines:
                if isinstance(row := _row(line), dict):
                    yield row
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{path.name} can't be read: {error.strerror}") from error


def _row(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:
        pass
    try:  # Halves of surrogate pairs, which models do write, are no JSON to orjson.
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _key(row: Mapping[str, Any]) -> Key | None:
    name, repeat = row.get("id"), row.get("repeat") or 0
    return (name, repeat) if isinstance(name, str) and isinstance(repeat, int) else None


def _read_marks(manifest: Path, grades: Path, primary: str) -> Marks:
    try:
        about = json_object(manifest)
        repeats = range(int(about.get("repeats") or 1))
        order = tuple((str(name), repeat) for name in about["items"] for repeat in repeats)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise StorageError(f"the run's manifest can't be read: {error}") from error
    marks = {key: _mark(row, primary) for row in rows_of(grades) if (key := _key(row))}
    return Marks(order, marks)


def _mark(row: Mapping[str, Any], primary: str) -> Mark:
    value = _number((row.get("values") or {}).get(primary))
    is_right = None
    if value is not None:
        is_right = value <= 1 - FULL if primary in LOWER_IS_BETTER else value >= FULL
    failure, notes = row.get("failure"), row.get("notes")
    return Mark(
        value=value,
        is_right=is_right,
        failure=str(failure) if failure else None,
        repaired=_number((row.get("repaired") or {}).get(primary)),
        notes=as_json(notes) if notes else "",
    )


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None


def _answers(path: Path, wanted: frozenset[Key]) -> dict[Key, Answered]:
    """Return the last answer to each wanted item; a retried one replaces what failed."""
    return {key: _answered(row) for row in rows_of(path) if (key := _key(row)) and key in wanted}


def _answered(row: Mapping[str, Any]) -> Answered:
    text, calls = row.get("text") or "", row.get("tool_calls")
    parts = [str(text)] if text else []
    parts += [as_json(calls)] if calls else []
    return Answered(str(row.get("status")), "\n".join(parts), str(row.get("error") or ""))


def _outcome(found: Sequence[Marks], key: Key) -> Outcome:
    a, b = (marks.marks.get(key, UNGRADED).is_right for marks in found)
    if a is None or b is None:
        return "missing"
    if a == b:
        return "both" if a else "none"
    return "only_a" if a else "only_b"


def _failures(found: Sequence[Marks], key: Key) -> set[str | None]:
    return {marks.marks.get(key, UNGRADED).failure for marks in found}


def _prompt(sample: Sample) -> str:
    said = [f"{message.role}: {message.text}" for message in sample.messages]
    offered = [f"tools: {', '.join(tool.name for tool in sample.tools)}"] if sample.tools else []
    return "\n".join([*offered, *said])
