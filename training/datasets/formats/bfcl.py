"""Format `bfcl`: a question, functions, and calls with the values that each argument may have.

What is learnt is one right answer: of each argument the first allowed value, `""` being none. An
argument whose list begins with `""` is left out, unless its function requires it.

The category stands in a row's id, `simple_python_0`. With the tool that is called first it is the
group, as requests for the same tool are alike.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from core.errors import InputError
from core.messages import JsonObject, JsonValue
from core.rows.bfcl import (
    FILE,
    READ,
    answers_file,
    bfcl_answers,
    bfcl_category,
    bfcl_functions,
    bfcl_messages,
    bfcl_tool,
    offered_name,
)
from core.rows.records import Record, id_of, json_cell, records
from core.rows.turns import openai_call

ID = re.compile(r"([a-z_]+)_\d[\d-]*")
UNREAD = re.compile(r"multi_turn(_.*)?|(.*_)?java(script)?")
"""Categories whose files are refused by name, in files with other names."""
NAME_LENGTH = 200
EVALUATION = (
    "bfcl is an evaluation: a model that learns these rows can't be measured by them; don't "
    "evaluate it on bfcl, and audit with --against what you do evaluate it on"
)
Call = tuple[str, JsonObject]
"""A function's name as BFCL has it, and the values that each argument may have."""


def with_answers(path: Path) -> Iterator[Record]:
    """Yield the rows of a file, each with its answer where that stands in `possible_answer/`.

    The answers are held in memory; a row that has its own `ground_truth` keeps it.

    Raises:
        InputError: the file's name is BFCL's, and its category is not read.
        NotFoundError: there is no such file.
        StorageError: the file can't be read.
    """
    if FILE.fullmatch(path.name):
        bfcl_category(path)
    answers = bfcl_answers(path) if answers_file(path).is_file() else {}
    for record in records(path):
        answer = answers.get(str(record.value.get("id")))
        if answer is None or record.value.get("ground_truth") is not None:
            yield record
        else:
            yield replace(record, value={**record.value, "ground_truth": answer})


def from_bfcl(record: Record) -> JsonObject:
    """Return the row of a question that is answered with calls.

    Raises:
        InputError: a part is missing or can't be read, or no call is the answer.
    """
    category = _category(record)
    messages = bfcl_messages(json_cell(record.value.get("question")))
    functions = bfcl_functions(json_cell(record.value.get("function")))
    if not isinstance(messages, list):
        raise InputError("the turn of question must be a list of messages")
    calls = _calls(record, category)
    schemas = {str(function.get("name")): function.get("parameters") for function in functions}
    shaped: list[JsonValue] = [
        openai_call(offered_name(name), _arguments(allowed, schemas.get(name)), f"call_{index}")
        for index, (name, allowed) in enumerate(calls)
    ]
    tool = offered_name(calls[0][0])
    return {
        "id": id_of(record),
        "group": (f"{category}/{tool}" if category else tool)[:NAME_LENGTH],
        "messages": [*messages, {"role": "assistant", "content": None, "tool_calls": shaped}],
        "tools": [bfcl_tool(function) for function in functions],
    }


def _category(record: Record) -> str:
    """Return the category that the id tells; an id that isn't BFCL's tells none."""
    match = ID.fullmatch(str(record.value.get("id")))
    category = match[1] if match else ""
    if UNREAD.fullmatch(category):
        raise InputError(f"the category {category[:60]!r} can't be read; only: {READ}")
    return category


def _calls(record: Record, category: str) -> Sequence[Call]:
    given = json_cell(record.value.get("ground_truth"))
    if category.endswith("irrelevance") or given == []:
        raise InputError("no call fits, and what the assistant says instead is not in the row")
    if given is None:
        raise InputError(
            "no ground_truth in the row, and none under its id in the file of the same name in "
            "possible_answer/ beside it"
        )
    if not isinstance(given, list):
        raise InputError("ground_truth must be a list of calls")
    return [_call(each) for each in given]


def _call(given: JsonValue) -> Call:
    items = list(given.items()) if isinstance(given, Mapping) else []
    name, allowed = items[0] if len(items) == 1 else ("", None)
    if not isinstance(allowed, Mapping):
        raise InputError("a call of ground_truth must be {NAME: {PARAMETER: [allowed values]}}")
    for key, values in allowed.items():
        if not isinstance(values, list):
            raise InputError(f"ground_truth must give {key[:60]!r} a list of allowed values")
    return name, allowed


def _arguments(allowed: JsonObject, schema: JsonValue) -> JsonObject:
    """Return the first allowed value of each key, without those that may be left out first."""
    required, properties = _member(schema, "required"), _member(schema, "properties")
    arguments: dict[str, JsonValue] = {}
    for key, values in allowed.items():
        options = values if isinstance(values, list) else [values]
        given = [value for value in options if value != ""]
        is_required = isinstance(required, list) and key in required
        if given and (options[0] != "" or is_required):
            arguments[key] = _value(given[0], _member(properties, key))
    return arguments


def _value(allowed: JsonValue, schema: JsonValue) -> JsonValue:
    """Return an allowed value as it stands in a call: each key of an object has a list too."""
    if isinstance(allowed, Mapping):
        return _arguments(allowed, schema)
    if isinstance(allowed, list):
        return [_value(item, _member(schema, "items")) for item in allowed]
    return allowed


def _member(value: JsonValue, key: str) -> JsonValue:
    return value.get(key) if isinstance(value, Mapping) else None
