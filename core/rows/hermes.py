"""Rows of hermes: ShareGPT conversations whose system turn lists tools between `<tools>` tags.

Calls stand in the assistant's turns between `<tool_call>` tags, as JSON or as Python writes it.
"""

import re
from collections.abc import Mapping, Sequence

from core.errors import InputError
from core.json_text import JsonFailure, parse_json
from core.messages import JsonObject, JsonValue
from core.rows.records import json_cell

ROLES: Mapping[str, str] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "tool": "tool",
}
LISTED = re.compile(r"<tools>([^<]*(?:<(?!/?tools>)[^<]*)*)</tools>")
CALL = re.compile(r"<tool_call>([^<]*(?:<(?!/?tool_call>)[^<]*)*)</tool_call>")
DRESS = frozenset({"single_quotes", "python_literal", "escape", "control_character"})
"""Repairs that only undo how Python writes a value; nothing is guessed."""


def hermes_turns(conversations: JsonValue) -> list[dict[str, str]]:
    """Return the turns as role and content, roles as OpenAI calls them.

    Raises:
        InputError: there are none, or one has no value or an unknown role.
    """
    turns = json_cell(conversations)
    if not isinstance(turns, list) or not turns:
        raise InputError("conversations must be a list of at least one turn")
    return [_turn(turn) for turn in turns]


def hermes_tools(row: JsonObject, system: Sequence[str]) -> Sequence[JsonValue]:
    """Return the tools of the row's own column, else those that its system turn lists.

    Raises:
        InputError: there are none, or they are no JSON.
    """
    listed = [text.strip() for each in system for text in LISTED.findall(each) if text.strip()]
    tools = json_cell(row.get("tools")) or (_literal(listed[-1]) if listed else None)
    if not isinstance(tools, list) or not tools:
        raise InputError("no tools: the system turn must list them between <tools> and </tools>")
    return tools


def hermes_calls(text: str) -> list[JsonObject]:
    """Return the calls of a turn, each as name and arguments.

    Raises:
        InputError: a call can't be read, or its tag is not closed.
    """
    calls = [_call(each) for each in CALL.findall(text)]
    if not calls and "<tool_call" in text:
        raise InputError("the assistant has a call whose tag is not closed")
    return calls


def _turn(turn: JsonValue) -> dict[str, str]:
    given = turn if isinstance(turn, Mapping) else {}
    role, text = ROLES.get(str(given.get("from"))), given.get("value")
    if role is None or not isinstance(text, str):
        raise InputError(f"each turn must have a value, and from: one of {', '.join(ROLES)}")
    return {"role": role, "content": text}


def _call(text: str) -> JsonObject:
    value = _literal(text.strip().removeprefix("\\n").removesuffix("\\n"))
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise InputError("a call of the assistant has no name")
    arguments = value.get("arguments")
    if not isinstance(arguments, Mapping):
        raise InputError("a call of the assistant has no arguments")
    return {"name": value["name"], "arguments": arguments}


def _literal(text: str) -> JsonValue:
    """Return a value written as JSON or as Python writes it."""
    read = parse_json(text)
    if isinstance(read, JsonFailure):
        raise InputError(f"expected JSON, got {text[:40]!r}: {read.reason}")
    if set(read.repairs) - DRESS:
        raise InputError(f"expected JSON, got {text[:40]!r}")
    return read.value
