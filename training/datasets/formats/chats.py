"""Formats `messages` (OpenAI, tools included) and `sharegpt`.

    {"messages": [{"role": "user", "content": "..."}, ...], "tools": [...]}
    {"conversations": [{"from": "human", "value": "..."}, ...], "tools": "[...]", "system": "..."}

`messages` is also what our own `rows.jsonl` holds, `weight`, `chosen`, `rejected` and `label`
included. Roles of sharegpt are those of LLaMA-Factory's and FastChat's files.
"""

from collections.abc import Mapping

from core.errors import InputError
from core.messages import JsonObject, JsonValue
from core.rows.records import Record, id_of, json_cell
from core.rows.turns import openai_call, openai_turn, read_call, turns_of, without_nulls

ROLES: Mapping[str, str] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "function_call": "call",
    "observation": "tool",
    "function_response": "tool",
    "tool": "tool",
}
GROUPS = ("group", "conversation_id")
"""Columns that name what must stay together."""


def from_messages(record: Record) -> JsonObject:
    """Return the row of a conversation in OpenAI's shape.

    Raises:
        InputError: the messages or tools are not OpenAI's.
    """
    row = common(record)
    row["messages"] = [openai_turn(_dense(turn)) for turn in turns_of(record.value.get("messages"))]
    for answer in ("chosen", "rejected"):
        if record.value.get(answer) is not None:
            turns = turns_of(record.value[answer])
            row[answer] = [openai_turn(_dense(turn)) for turn in turns]
    if record.value.get("label") is not None:
        row["label"] = label_of(record.value["label"])
    return row


def from_sharegpt(record: Record) -> JsonObject:
    """Return the row of a conversation in ShareGPT's shape.

    Raises:
        InputError: a turn has no value or an unknown role, or a call can't be read.
    """
    turns = json_cell(record.value.get("conversations"))
    if not isinstance(turns, list) or not turns:
        raise InputError("conversations must be a list of at least one turn")
    row, system = common(record), record.value.get("system")
    before = [{"role": "system", "content": system}] if system else []
    row["messages"] = before + [_turn(turn) for turn in turns]
    return row


def common(record: Record) -> dict[str, JsonValue]:
    """Return id, group and tools of a row, under their names in `rows.jsonl`.

    Raises:
        InputError: tools are JSON text that can't be read.
    """
    row: dict[str, JsonValue] = {"id": id_of(record)}
    for key in GROUPS:
        group = record.value.get(key)
        if group is not None and group != "":
            row.setdefault("group", group)
    tools = json_cell(record.value.get("tools") or None)
    if tools:
        row["tools"] = without_nulls(_wrapped(tools))
    return row


def label_of(value: JsonValue) -> bool:
    """Return a label; files of text have it as a word or a digit.

    Raises:
        InputError: it is none.
    """
    known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    label = known.get(str(value).strip().lower())
    if label is None:
        raise InputError(f"label must be true or false, got {str(value)[:40]!r}")
    return label


def _wrapped(tools: JsonValue) -> JsonValue:
    """Return tools in OpenAI's shape; many files list the functions alone."""
    if not isinstance(tools, list):
        raise InputError("tools must be a list, or JSON text of a list")
    return [
        {"type": "function", "function": tool}
        if isinstance(tool, Mapping) and "function" not in tool
        else tool
        for tool in tools
    ]


def _dense(turn: JsonObject) -> JsonObject:
    """Return a turn without nulls but for those in a call's arguments, which may mean them."""
    return {key: value for key, value in turn.items() if value is not None}


def _turn(turn: JsonValue) -> JsonObject:
    given = turn if isinstance(turn, Mapping) else {}
    said, text = given.get("from"), given.get("value")
    role = ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        raise InputError(f"a turn is from {str(said)[:40]!r}; known are: {', '.join(ROLES)}")
    if not isinstance(text, str):
        raise InputError("each turn must have a value that is a text")
    if role == "call":
        return {"role": "assistant", "content": None, "tool_calls": _calls(text)}
    if role == "tool":
        return {"role": "tool", "content": text, "tool_call_id": "call_0"}
    return {"role": role, "content": text}


def _calls(text: str) -> list[JsonValue]:
    value = json_cell(text)
    given = value if isinstance(value, list) else [value]
    read = [read_call({"function": call}) for call in given]
    return [
        openai_call(call["name"], call["arguments"], f"call_{index}")
        for index, call in enumerate(read)
    ]
