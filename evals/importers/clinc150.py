"""Format `clinc150`: intents of CLINC's out-of-scope evaluation, its validation part.

The file is one JSON object of `{part: [[text, intent], ...]}`. The group is the intent: what is
said for one intent was written by people who saw the same example.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from core.errors import InputError
from core.messages import JsonObject, JsonValue
from core.rows.records import Record, json_document
from evals.importers.items import Item, Recipe, Row, converted
from evals.importers.recipes import LABELS

PARTS = ("val", "oos_val")
OUT_OF_SCOPE = "oos"


def from_clinc150(path: Path) -> Iterator[Item]:
    """Yield the samples of the validation part, those that no intent fits among them.

    Raises:
        NotFoundError: there is no such file.
        InputError: the file is not CLINC's.
    """
    document = json_document(path)
    if not isinstance(document, Mapping) or not isinstance(document.get("val"), list):
        raise InputError(f"{path.name} must be an object with a list 'val', as data_full.json is")
    labels = _labels(document)
    listed = ", ".join(labels[:-1])
    recipe = replace(
        LABELS,
        system=(
            f"Name the intent of the message; answer with its name alone. Intents: {listed}. "
            f"If none fits, answer {OUT_OF_SCOPE}."
        ),
    )

    def convert(record: Record) -> Row:
        return _row(record, labels, recipe)

    for part in PARTS:
        rows = document.get(part)
        for number, pair in enumerate(rows if isinstance(rows, list) else [], start=1):
            value = {"id": f"{part}-{number}", "pair": pair}
            yield converted(Record(f"{part}, item {number}", number, value), convert)


def _labels(document: JsonObject) -> list[str]:
    """Return every intent of the file in alphabetical order, the one for none of them last."""
    pairs = [pair for rows in document.values() if isinstance(rows, list) for pair in rows]
    intents = {str(pair[1]) for pair in pairs if isinstance(pair, list) and len(pair) == 2}
    return [*sorted(intents - {OUT_OF_SCOPE}), OUT_OF_SCOPE]


def _row(record: Record, labels: Sequence[str], recipe: Recipe) -> Row:
    pair: JsonValue = record.value["pair"]
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(p, str) for p in pair):
        raise InputError("each item must be a pair of text and intent")
    row = {
        "id": record.value["id"],
        "input": pair[0],
        "target": pair[1],
        "group": pair[1],
        "details": {"labels": labels, "out_of_scope": OUT_OF_SCOPE},
    }
    return row, recipe
