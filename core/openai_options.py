"""How an answer is to be made: OpenAI's `response_format`, and our own `understudy` object."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from core.messages import CacheUse, JsonObject, JsonValue
from core.request_body import RequestError

CACHE_USES: tuple[CacheUse, ...] = get_args(CacheUse)


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """What a request asks of the gateway besides the completion."""

    cache: CacheUse = "auto"
    filter: bool = False
    json_mode: bool = False
    schema: JsonObject | None = None


def answer_options(given: JsonObject) -> AnswerOptions:
    """Read `response_format` and `understudy` of a chat completion request.

    Raises:
        RequestError: one of them is unknown, of the wrong type or out of range.
    """
    json_mode, schema = _format(given.get("response_format"))
    own = given.get("understudy", {})
    if not isinstance(own, Mapping):
        raise RequestError("understudy must be an object", "understudy")
    for name in own:
        if name not in ("cache", "filter"):
            raise RequestError(
                f"understudy: unknown field {name[:100]!r}; choose cache or filter", "understudy"
            )
    cache, cuts = own.get("cache", "auto"), own.get("filter", False)
    if not isinstance(cuts, bool):
        raise RequestError("understudy.filter must be true or false", "understudy.filter")
    for use in CACHE_USES:
        if cache == use:
            return AnswerOptions(use, cuts, json_mode, schema)
    choices = ", ".join(CACHE_USES)
    raise RequestError(f"understudy.cache must be one of: {choices}", "understudy.cache")


def _format(value: JsonValue) -> tuple[bool, JsonObject | None]:
    """Return whether JSON is asked for, and its schema.

    Source: OpenAI's API reference, chat completions, `response_format`.
    """
    if value is None:
        return False, None
    kind = value.get("type") if isinstance(value, Mapping) else None
    if isinstance(value, Mapping) and kind == "json_schema":
        holder = value.get("json_schema")
        schema = holder.get("schema") if isinstance(holder, Mapping) else None
        if isinstance(schema, Mapping):
            return True, schema
        raise RequestError(
            "response_format.json_schema must be an object with a schema", "response_format"
        )
    if kind not in ("text", "json_object"):
        raise RequestError(
            "response_format.type must be one of: text, json_object, json_schema",
            "response_format",
        )
    return kind == "json_object", None
