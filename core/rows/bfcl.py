"""Rows of BFCL, the Berkeley Function-Calling Leaderboard: a question, functions, allowed calls.

    {"id": "multiple_0", "question": [[{"role": "user", ...}]], "function": [{...}]}
    {"id": "multiple_0", "ground_truth": [{"triangle.area": {"base": [10], "unit": ["m", ""]}}]}

A file is called `BFCL_v4_CATEGORY.json` and is JSON Lines; the second row, the answer, stands in a
file of the same name in `possible_answer/` beside it.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from core.errors import InputError, NotFoundError
from core.messages import JsonObject, JsonValue
from core.rows.records import records

FILE = re.compile(r"BFCL_v\d+_([a-z_]+)\.jsonl?")
CATEGORIES = ("simple", "simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance")
"""The single-turn categories without code in other languages, which alone are read."""
LIVE = "live_"
"""Begins the names of those categories that users wrote; judged as their namesakes are."""
READ = f"{', '.join(CATEGORIES)}, or live_ and one of them"
TYPES: Mapping[str, str] = {"dict": "object", "float": "number", "tuple": "array"}
JSON_TYPES = ("object", "number", "array", "string", "integer", "boolean", "null")
KEPT = (
    *("description", "enum", "default", "format", "required"),
    *("minimum", "maximum", "minItems", "maxItems"),
)
"""Keywords of BFCL's schemas that mean in JSON Schema what they mean there."""


def bfcl_category(path: Path) -> str:
    """Return the category that a file's name tells, without `live_`.

    Raises:
        InputError: the name is not one of BFCL's, or its category is not one of `CATEGORIES`.
    """
    match = FILE.fullmatch(path.name)
    category = match[1].removeprefix(LIVE) if match else None
    if category not in CATEGORIES:
        raise InputError(
            f"{path.name!r} is not a file of BFCL's that can be read; its name must be "
            f"BFCL_v4_CATEGORY.json with one of: {READ}"
        )
    return category


def answers_file(path: Path) -> Path:
    """Return where the answers to the rows of a file stand."""
    return path.parent / "possible_answer" / path.name


def bfcl_answers(path: Path) -> Mapping[str, JsonValue]:
    """Return the answers to the rows of a file by the rows' ids; they are held in memory.

    Raises:
        NotFoundError: there is no file of them.
        InputError, StorageError: it can't be read.
    """
    beside = answers_file(path)
    if not beside.is_file():
        raise NotFoundError(f"the answers are missing: no file {str(beside)!r}")
    rows = [record.value for record in records(beside) if record.problem is None]
    return {str(row.get("id")): row.get("ground_truth") for row in rows}


def bfcl_messages(turns: JsonValue) -> JsonValue:
    """Return the messages of a row's question.

    Raises:
        InputError: it is no list of one turn.
    """
    if not isinstance(turns, list) or len(turns) != 1:
        raise InputError("question must be a list of one turn; several turns are not supported")
    messages: JsonValue = turns[0]
    return messages


def bfcl_functions(given: JsonValue) -> list[JsonObject]:
    """Return the functions of a row as BFCL describes them.

    Raises:
        InputError: they are no list of objects.
    """
    if not isinstance(given, list) or not all(isinstance(each, Mapping) for each in given):
        raise InputError("function must be a list of functions")
    return given


def bfcl_tool(function: JsonObject) -> JsonObject:
    """Return a function as a tool in OpenAI's shape."""
    name = offered_name(str(function.get("name") or ""))
    described = {"name": name, "description": function.get("description") or ""}
    parameters = json_schema(function.get("parameters"))
    return {"type": "function", "function": {**described, "parameters": parameters}}


def offered_name(name: str) -> str:
    """Return a function's name as a tool's: OpenAI allows no dots in names."""
    return name.replace(".", "_")


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
