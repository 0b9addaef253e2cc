"""Tool calls that a text holds in any dress, for measuring: which wrong answers hold the right one.

What the gateway acts on is stricter; see `dresses`.
"""

import json
import re
from collections.abc import Iterator, Sequence

from core.messages import JsonObject, ToolCall
from core.tool_calls.split import call_of, json_of

MAX_BROKEN = 200
"""Openings that prove broken before the search ends; each costs time in proportion to the text."""


def find_calls(text: str, names: Sequence[str]) -> tuple[ToolCall, ...]:
    """Return every call that the text holds in any dress, in order.

    A call is a JSON object with `name` and `arguments`, or any other JSON object that follows
    the name of an offered tool.
    """
    found: list[ToolCall] = []
    end = 0
    for start, stop, value in objects(text):
        call = call_of(value)
        if call is None:
            spoken = [m for name in names for m in _words(name).finditer(text, end, start)]
            if spoken:
                nearest = max(spoken, key=lambda match: match.end())
                call = call_of({"name": nearest[0], "arguments": value})
        if call is not None:
            found.append(call)
            end = stop
    return tuple(found)


def same_call(call: ToolCall, name: str, arguments: JsonObject) -> bool:
    """Say whether the call has this name and, key order aside, these arguments."""
    return call.name == name and json_of(call.arguments) == arguments


def _words(name: str) -> re.Pattern[str]:
    """Match the name as a whole, not inside of a longer one."""
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


def objects(text: str) -> Iterator[tuple[int, int, JsonObject]]:
    """Yield the outermost parseable JSON objects with their places; broken openings are skipped."""
    decoder = json.JSONDecoder()
    position = broken = 0
    while broken < MAX_BROKEN and (start := text.find("{", position)) >= 0:
        try:
            value, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            position = start + 1
            broken += 1
            continue
        yield start, position, value
