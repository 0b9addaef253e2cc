"""Format `bfcl`: the Berkeley Function-Calling Leaderboard's single-turn files.

A file `BFCL_v4_CATEGORY.json` is JSON Lines, its answers stand in `possible_answer/` beside it; a
folder stands for all of its files. Rows are their own groups: within a category each was written
about a matter of its own.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from core.errors import InputError, NotFoundError
from core.messages import JsonObject, JsonValue
from core.rows.records import Record, records
from core.rows.refusals import Refusal
from evals.importers.items import Item, Row, converted
from evals.importers.recipes import BFCL
from evals.scorers.bfcl import CATEGORIES

FILE = re.compile(r"BFCL_v\d+_([a-z_]+)\.jsonl?")
TYPES: Mapping[str, str] = {"dict": "object", "float": "number", "tuple": "array"}
JSON_TYPES = ("object", "number", "array", "string", "integer", "boolean", "null")
KEPT = (
    *("description", "enum", "default", "format", "required"),
    *("minimum", "maximum", "minItems", "maxItems"),
)
"""Keywords of BFCL's schemas that mean in JSON Schema what they mean there."""
LIVE = "live_"
"""Begins the names of those categories that users wrote; judged as their namesakes are."""
Answers = Mapping[str, JsonValue]


def from_bfcl(path: Path) -> Iterator[Item]:
    """Yield the samples of a file, or of each file in a folder.

    Raises:
        NotFoundError: there is no such file, or the answers to it are missing.
        InputError: no file has a name of BFCL's, or its category is not one of `CATEGORIES`.
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


def json_schema(given: JsonValue) -> JsonValue:
    """Return a schema of BFCL's as JSON Schema: its types are Python's."""
    if not isinstance(given, Mapping):
        return {}
    schema: dict[str, JsonValue] = {}
    kind = given.get("type")
    named = TYPES.get(kind, kind) if isinstance(kind, str) else None
    if named in JSON_TYPES:  # `any` and what is no type at all allow everything.
        schema["type"] = named
    schema.update({key: given[key] for key in KEPT if key in given})
    properties = given.get("properties")
    if isinstance(properties, Mapping):
        schema["properties"] = {name: json_schema(each) for name, each in properties.items()}
    for key in ("items", "additionalProperties"):
        if isinstance(given.get(key), Mapping):
            schema[key] = json_schema(given[key])
    return schema


def _file(path: Path) -> Iterator[Item]:
    category = _category(path)
    needs_answers = not category.endswith("irrelevance")
    answers = _answers(path.parent / "possible_answer" / path.name) if needs_answers else None

    def convert(record: Record) -> Row:
        return _row(record, category, answers)

    for record in records(path):
        yield converted(replace(record, place=f"{path.name}, {record.place}"), convert)


def _category(path: Path) -> str:
    match = FILE.fullmatch(path.name)
    category = match[1].removeprefix(LIVE) if match else None
    if category not in CATEGORIES:
        raise InputError(
            f"{path.name!r} is not a file of BFCL's that can be read; its name must be "
            f"BFCL_v4_CATEGORY.json with one of: {', '.join(CATEGORIES)}, or live_ and one of them"
        )
    return category


def _answers(path: Path) -> Answers:
    if not path.is_file():
        raise NotFoundError(f"the answers are missing: no file {str(path)!r}")
    rows = [record.value for record in records(path) if record.problem is None]
    return {str(row.get("id")): row.get("ground_truth") for row in rows}


def _row(record: Record, category: str, answers: Answers | None) -> Row:
    value = record.value
    functions, turns = value.get("function"), value.get("question")
    if not isinstance(turns, list) or len(turns) != 1:
        raise InputError("question must be a list of one turn; several turns are not supported")
    if not isinstance(functions, list) or not all(isinstance(each, Mapping) for each in functions):
        raise InputError("function must be a list of functions")
    calls: JsonValue = []
    if answers is not None:
        calls = answers.get(str(value.get("id")))
        if not isinstance(calls, list) or not calls:
            raise InputError("there is no possible answer to it")
    row = {
        "id": value.get("id"),
        "input": turns[0],
        "target": {"calls": calls},
        "tools": [_tool(each) for each in functions],
        "details": {"category": category, "functions": functions},
    }
    return row, BFCL


def _tool(function: JsonObject) -> JsonValue:
    """Return a function as a tool: OpenAI allows no dots in names, the scorer allows for it."""
    name = str(function.get("name") or "").replace(".", "_")
    described = {"name": name, "description": function.get("description") or ""}
    parameters = json_schema(function.get("parameters"))
    return {"type": "function", "function": {**described, "parameters": parameters}}
