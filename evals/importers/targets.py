"""Checks of targets: one that can't score 1.0 by its own rules is refused, not imported."""

from collections.abc import Mapping, Sequence

from core.errors import InputError, ScoringError
from core.json_text import JsonRead, parse_json
from core.messages import JsonObject, JsonValue
from core.tool_json import tool_from_openai
from evals.schema_check import schema_errors


def check_calls(calls: Sequence[JsonObject], tools: JsonValue) -> None:
    """Refuse calls of tools that are not offered, and arguments that the tool does not take.

    Raises:
        InputError: says which call, and what is wrong.
    """
    offered = [tool_from_openai(tool) for tool in (tools if isinstance(tools, list) else [])]
    schemas = {tool.name: tool.parameters for tool in offered}
    for call in calls:
        name = str(call["name"])
        if name not in schemas:
            raise InputError(f"the target calls {name[:60]!r}, which is not offered")
        try:
            errors = schema_errors(call["arguments"], dict(schemas[name]))
        except ScoringError as error:
            raise InputError(f"the tool {name[:60]!r}: {error}") from error
        if errors:
            raise InputError(f"the target's arguments do not fit {name[:60]!r}: {errors[0]}")


def json_object(text: str) -> JsonObject | None:
    """Return the object that the text is, strictly read; None when it is something else."""
    if not text.lstrip().startswith("{"):
        return None
    read = parse_json(text)
    if not isinstance(read, JsonRead) or read.repaired:
        return None
    return read.value if isinstance(read.value, Mapping) else None
