"""Format `bfcl`: the Berkeley Function-Calling Leaderboard's single-turn files.

A file `BFCL_v4_CATEGORY.json` is JSON Lines, its answers stand in `possible_answer/` beside it; a
folder stands for all of its files. Rows are their own groups: within a category each was written
about a matter of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from core.errors import InputError, NotFoundError
from core.messages import JsonObject, JsonValue
from core.rows.bfcl import (
    FILE,
    bfcl_answers,
    bfcl_category,
    bfcl_functions,
    bfcl_messages,
    bfcl_tool,
)
from core.rows.records import Record, records
from core.rows.refusals import Refusal
from evals.importers.items import Item, Row, converted
from evals.importers.recipes import BFCL

Answers = Mapping[str, JsonValue]


def from_bfcl(path: Path) -> Iterator[Item]:
    """Yield the samples of a file, or of each file in a folder.

    Raises:
        NotFoundError: there is no such file, or the answers to it are missing.
        InputError: no file has a name of BFCL's, or its category is not one that is read.
    """
    if not path.is_dir():
        yield from _file(path)
        return
    files = [file for file in sorted(path.iterdir()) if FILE.fullmatch(file.name)]
    if not files:
        raise InputError(f"{str(path)!r} has no file named BFCL_v4_CATEGORY.json")
    for file in files:
        try:
            yield from _file(file)
        except (InputError, NotFoundError) as error:
            yield Refusal(file.name, str(error))


def _file(path: Path) -> Iterator[Item]:
    category = bfcl_category(path)
    needs_answers = not category.endswith("irrelevance")
    answers = bfcl_answers(path) if needs_answers else None

    def convert(record: Record) -> Row:
        return _row(record, category, answers)

    for record in records(path):
        yield converted(replace(record, place=f"{path.name}, {record.place}"), convert)


def _row(record: Record, category: str, answers: Answers | None) -> Row:
    value = record.value
    messages = bfcl_messages(value.get("question"))
    functions = bfcl_functions(value.get("function"))
    calls: JsonValue = []
    if answers is not None:
        calls = answers.get(str(value.get("id")))
        if not isinstance(calls, list) or not calls:
            raise InputError("there is no possible answer to it")
    row: JsonObject = {
        "id": value.get("id"),
        "input": messages,
        "target": {"calls": calls},
        "tools": [bfcl_tool(each) for each in functions],
        "details": {"category": category, "functions": functions},
    }
    return row, BFCL
