"""Turns and calls in OpenAI's shape, with what data sets often leave out of it put back."""

import json
from collections.abc import Mapping, Sequence

from core.errors import InputError
from core.messages import JsonObject, JsonValue
from core.rows.records import json_cell


def turns_of(messages: JsonValue) -> list[JsonObject]:
    """Return the messages of a row, which may be JSON text.

    Raises:
        InputError: they are no list of objects, or an empty one.
    """
    given = json_cell(messages)
    if not isinstance(given, list) or not given:
        raise InputError("messages must be a list of at least one message")
    return [_turn(message) for message in given]


def calls_of(turn: JsonObject) -> Sequence[JsonValue]:
    """Return the calls of a turn as they stand."""
    calls = turn.get("tool_calls")
    return calls if isinstance(calls, list) else []


def read_call(call: JsonValue) -> JsonObject:
    """Return a call as name and arguments; many data sets leave the arguments an object.

    Raises:
        InputError: it has no name, or its arguments are no object.
    """
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InputError("each tool call must have a function with name and arguments")
    arguments = json_cell(function.get("arguments"))
    if not isinstance(arguments, Mapping):
        raise InputError("the arguments of a tool call must be an object")
    return {"name": function["name"], "arguments": arguments}


def openai_call(name: JsonValue, arguments: JsonValue, given_id: JsonValue) -> JsonObject:
    """Return a call in OpenAI's shape, its arguments as text."""
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": given_id, "type": "function", "function": function}


def openai_turn(turn: JsonObject) -> JsonObject:
    """Return a turn with what is often left out: ids, and arguments as text.

    Raises:
        InputError: a call can't be read.
    """
    calls = calls_of(turn)
    if calls:
        return {**turn, "tool_calls": [_openai_call(call, i) for i, call in enumerate(calls)]}
    if turn.get("role") == "tool" and not turn.get("tool_call_id"):
        return {**turn, "tool_call_id": "call_0"}
    return turn


def without_nulls(value: JsonValue) -> JsonValue:
    """Drop what Parquet adds: every key that any row has, null where this one has it not."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def _turn(message: JsonValue) -> JsonObject:
    if not isinstance(message, Mapping):
        raise InputError("each message must be an object with role and content")
    return message


def _openai_call(call: JsonValue, index: int) -> JsonObject:
    read = read_call(call)
    given = call.get("id") if isinstance(call, Mapping) else None
    return openai_call(read["name"], read["arguments"], given or f"call_{index}")
