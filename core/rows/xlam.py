"""Rows of xlam: `{query, tools, answers}`, with types as Python writes them.

    {"query": "...", "tools": "[{name, description, parameters}]", "answers": "[{name, arguments}]"}

Its tracks are pairs of prompt and completion; the tool calls' one writes
`<tool_call name="...">{...}</tool_call>`.
"""

import re
from collections.abc import Mapping

from core.errors import InputError
from core.messages import JsonObject, JsonValue
from core.rows.records import json_cell

TAGGED = re.compile(r'\s*<tool_call name="([^"<>]{1,200})">(.*)</tool_call>\s*', re.DOTALL)
OPTIONAL = re.compile(r",\s*optional\b.*\Z", re.IGNORECASE | re.DOTALL)
WRAPPED = re.compile(r"(?i:optional)\[(.*)\]\Z", re.DOTALL)
ITEMS = re.compile(r"(?i:list|set)\[(.*)\]\Z", re.DOTALL)
TYPES: Mapping[str, str] = {
    "str": "string",
    "string": "string",
    "int": "integer",
    "integer": "integer",
    "float": "number",
    "number": "number",
    "bool": "boolean",
    "boolean": "boolean",
    "list": "array",
    "set": "array",
    "tuple": "array",
    "array": "array",
    "dict": "object",
    "object": "object",
}


def xlam_tools(given: JsonValue) -> list[JsonObject]:
    """Return the tools of a row in OpenAI's shape.

    Raises:
        InputError: they are no list, or JSON text of one, of tools with names.
    """
    return [_tool(tool) for tool in _list(given)]


def xlam_calls(given: JsonValue) -> list[JsonObject]:
    """Return the answers of a row, each as name and arguments.

    Raises:
        InputError: they are no list, or JSON text of one, of calls.
    """
    return [_call(answer) for answer in _list(given)]


def parameter_schema(described: str) -> JsonObject:
    """Return the JSON Schema of a parameter's type as xlam writes it: `List[int], optional`."""
    text = OPTIONAL.sub("", described).strip()
    if match := WRAPPED.match(text):
        return parameter_schema(match[1])
    if match := ITEMS.match(text):
        return {"type": "array", "items": parameter_schema(match[1])}
    name = TYPES.get(re.split(r"[\[ (,]", text, maxsplit=1)[0].lower())
    return {"type": name} if name else {}


def _list(given: JsonValue) -> list[JsonValue]:
    value = json_cell(given)
    if not isinstance(value, list):
        raise InputError("tools and answers must be lists, or JSON texts of lists")
    return value


def _tool(given: JsonValue) -> JsonObject:
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise InputError("each of tools must have a name")
    function = {
        "name": given["name"],
        "description": given.get("description") or "",
        "parameters": _parameters(given.get("parameters")),
    }
    return {"type": "function", "function": function}


def _parameters(given: JsonValue) -> JsonObject:
    """Return a tool's parameters as JSON Schema; some copies have them in it already."""
    parameters = given if isinstance(given, Mapping) else {}
    if parameters.get("type") == "object" and isinstance(parameters.get("properties"), Mapping):
        return parameters
    described = {name: each for name, each in parameters.items() if isinstance(each, Mapping)}
    return {
        "type": "object",
        "properties": {name: _parameter(each) for name, each in described.items()},
        "required": [name for name, each in described.items() if not _is_optional(each)],
    }


def _parameter(given: JsonObject) -> JsonObject:
    schema = dict(parameter_schema(str(given.get("type", ""))))
    schema.update({key: given[key] for key in ("description", "enum") if key in given})
    return schema


def _is_optional(given: JsonObject) -> bool:
    kind = str(given.get("type", "")).lower()
    return "optional" in kind or "default" in given


def _call(given: JsonValue) -> JsonObject:
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise InputError("each of answers must have a name")
    arguments = json_cell(given.get("arguments", {}))
    if not isinstance(arguments, Mapping):
        raise InputError("the arguments of an answer must be an object")
    return {"name": given["name"], "arguments": arguments}
