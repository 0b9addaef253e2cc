"""Tools in OpenAI's shape, read from JSON."""

import json
from collections.abc import Mapping

from core.errors import InputError
from core.messages import JsonValue, Tool


def tool_from_openai(value: JsonValue) -> Tool:
    """Read a tool in OpenAI's shape.

    Raises:
        InputError: a part is missing or has the wrong type.
    """
    function = value.get("function") if isinstance(value, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InputError('each tool must be {"type": "function", "function": {"name": ..., ...}}')
    name, parameters = str(function["name"]), function.get("parameters") or {}
    description = function.get("description") or ""
    if not isinstance(parameters, Mapping) or not isinstance(description, str):
        raise InputError(f"tool {name!r}: parameters must be an object and description a text")
    return Tool(name, description, parameters)


def tools_from_json(text: str) -> tuple[Tool, ...]:
    """Read a JSON list of tools in OpenAI's shape.

    Raises:
        InputError: the text is not such a list.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InputError(f"tools must be a JSON list: {error}") from error
    if not isinstance(value, list):
        raise InputError("tools must be a JSON list of tools in OpenAI's shape")
    return tuple(tool_from_openai(item) for item in value)
