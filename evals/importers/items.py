"""What an importer makes of a file: samples, each with how it is asked and judged, and refusals."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import InputError
from core.messages import JsonObject
from core.rows.records import Record, records
from core.rows.refusals import Refusal
from evals.dataset import sample_of
from evals.sample import Sample


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the samples of an imported task are asked and judged."""

    kind: str
    """What the answers are, for people: `tool calls`, `texts`."""
    scorer: str
    metrics: tuple[str, ...]
    max_tokens: int
    arguments: JsonObject = field(default_factory=dict, hash=False)
    system: str = ""


@dataclass(frozen=True, slots=True)
class Imported:
    """One row that was read."""

    place: str
    sample: Sample
    recipe: Recipe


Item = Imported | Refusal
Read = Callable[[Path], Iterator[Item]]
Row = tuple[JsonObject, Recipe]
"""A row of a dataset, still to be checked, and its recipe."""


def by_row(convert: Callable[[Record], Row]) -> Read:
    """Return a reader of files in which each record is a sample."""

    def read(path: Path) -> Iterator[Item]:
        for record in records(path):
            yield converted(record, convert)

    return read


def converted(record: Record, convert: Callable[[Record], Row]) -> Item:
    """Return what the record is as a sample, or why it is none."""
    if record.problem is not None:
        return Refusal(record.place, record.problem)
    try:
        row, recipe = convert(record)
        return Imported(record.place, sample_of(row), recipe)
    except InputError as error:
        return Refusal(record.place, str(error))
