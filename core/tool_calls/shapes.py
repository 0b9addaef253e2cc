"""Which JSON values are tool calls: one shape or another, and whose names are believed."""

import json
from collections.abc import Mapping
from typing import Literal, NamedTuple

from core.json_text import JsonRead, parse_json
from core.messages import JsonObject, JsonValue, ToolCall, new_id

Trust = Literal["any", "exact", "offered"]
"""Which names are calls: any; those offered, and any with exactly `name` and `arguments`; only
those offered."""

NAME_KEYS = ("name", "function", "function_name", "tool", "tool_name", "action")
ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "tool_input", "action_input")
LABEL_KEYS = ("id", "call_id", "index", "type")
"""What may stand beside name and arguments without meaning."""
TYPES = ("function", "function_call", "tool_call", "tool_use")
WRAPPERS = ("tool_calls", "function_call")
TURN_KEYS = ("role", "content", "refusal")
"""What may stand beside a wrapper: a whole assistant turn."""


class Found(NamedTuple):
    """Calls, and what had to be repaired to read them."""

    calls: tuple[ToolCall, ...] = ()
    repairs: tuple[str, ...] = ()


def calls_of(value: JsonValue, offered: frozenset[str], trust: Trust) -> Found:
    """Return the value as calls: one, a list of them, or an assistant's turn; all or nothing."""
    items, repairs = _unwrapped(value)
    found = [_call(item, offered, trust) for item in items]
    if not all(part.calls for part in found):
        return Found()
    calls = tuple(call for part in found for call in part.calls)
    return Found(calls, repairs + tuple(repair for part in found for repair in part.repairs))


def call_named(name: str, arguments: JsonValue) -> Found:
    """Return the call of this name; nothing when the arguments are no object, as JSON or text."""
    repairs: tuple[str, ...] = ()
    if isinstance(arguments, str):
        read = parse_json(arguments)
        if not isinstance(read, JsonRead) or "prose" in read.repairs:
            return Found()
        arguments, repairs = read.value, read.repairs
    if not isinstance(arguments, Mapping):
        return Found()
    try:
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError:  # Infinity or half of a surrogate pair, from a Python literal.
        return Found()
    return Found((ToolCall(new_id(), name, text),), repairs)


def _unwrapped(value: JsonValue) -> tuple[list[JsonValue], tuple[str, ...]]:
    if isinstance(value, list):
        return value, ()
    if isinstance(value, Mapping):
        for wrapper in WRAPPERS:
            if wrapper in value and not value.keys() - {wrapper, *TURN_KEYS}:
                items = value[wrapper]
                return (items if isinstance(items, list) else [items]), ("native",)
    return [value], ()


def _call(item: JsonValue, offered: frozenset[str], trust: Trust) -> Found:
    if not isinstance(item, Mapping) or item.get("type", "function") not in TYPES:
        return Found()
    inner: JsonObject = {key: part for key, part in item.items() if key not in LABEL_KEYS}
    repairs: tuple[str, ...] = ("native",) if len(inner) < len(item) else ()
    nested = inner.get("function")
    if len(inner) == 1 and isinstance(nested, Mapping):
        inner, repairs = nested, ("native",)
    names, keys = inner.keys() & NAME_KEYS, inner.keys() & ARGUMENT_KEYS
    if len(names) != 1 or len(keys) > 1 or len(inner) != len(names) + len(keys):
        return _keyed_by_name(inner, offered)
    name_key, key = names.pop(), keys.pop() if keys else None
    name, is_exact = inner[name_key], (name_key, key) == ("name", "arguments")
    if not isinstance(name, str) or not name:
        return Found()
    if name not in offered and not (trust == "any" or (trust == "exact" and is_exact)):
        return Found()
    if key is None or inner[key] in (None, ""):
        # A name alone may be anything, unless the dress says that it is a call.
        is_call = name in offered and (trust == "any" or bool(repairs))
        return Found(call_named(name, {}).calls, (*repairs, "no_arguments")) if is_call else Found()
    if not is_exact:
        repairs += ("alias",)
    return _with_arguments(name, inner[key], repairs)


def _with_arguments(name: str, arguments: JsonValue, repairs: tuple[str, ...]) -> Found:
    if isinstance(arguments, str):
        repairs += ("arguments_text",)
    elif isinstance(arguments, Mapping) and _is_schema(arguments):
        return Found()
    found = call_named(name, arguments)
    return Found(found.calls, repairs + found.repairs)


def _is_schema(arguments: JsonObject) -> bool:
    """Say whether these are a tool's parameters, repeated from the prompt."""
    return arguments.get("type") == "object" and isinstance(arguments.get("properties"), Mapping)


def _keyed_by_name(inner: JsonObject, offered: frozenset[str]) -> Found:
    """Read `{"find_table": {"guest": "Ada"}}`, for names that were offered."""
    name = next(iter(inner), "")
    if len(inner) != 1 or name not in offered or not isinstance(inner[name], Mapping):
        return Found()
    return Found(call_named(name, inner[name]).calls, ("name_as_key",))
