"""OpenAI's chat completion requests, read into our values.

What we don't do is refused by name, never ignored, except for `HARMLESS` fields and neutral
values. Where OpenAI and we differ in defaults, ours hold, those of `GenerationParams`:
temperature 0.0 instead of 1.0, and 256 new tokens instead of as many as fit.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from core.errors import InputError
from core.gateway.allow import Limits
from core.messages import (
    GenerationParams,
    JsonObject,
    JsonValue,
    Message,
    Role,
    Tool,
    ToolCall,
)
from core.openai_options import AnswerOptions, answer_options
from core.request_body import RequestError
from core.tool_json import tool_from_openai

T = TypeVar("T")

FIELDS = (
    "model",
    "messages",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "seed",
    "stop",
    "response_format",
    "understudy",
)
HARMLESS = (
    "user",
    "metadata",
    "store",
    "service_tier",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
)
"""Fields of OpenAI's that change nothing about an answer of ours; any value will do."""
NEUTRAL: Mapping[str, JsonValue] = {
    "n": 1,
    "logprobs": False,
    "top_logprobs": 0,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
    "modalities": ["text"],
}
"""Fields of OpenAI's that we take with the one value that asks for nothing."""
MESSAGE_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id")
MESSAGE_HARMLESS = ("refusal", "annotations", "reasoning_content")
"""What clients send back from an earlier answer."""
ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a chat completion request asks for."""

    model: str
    messages: tuple[Message, ...]
    params: GenerationParams
    tools: tuple[Tool, ...]
    options: AnswerOptions
    is_stream: bool
    has_usage: bool
    """Whether a stream ends with a chunk of the usage."""


def parse_chat(body: JsonObject, limits: Limits) -> ChatRequest:
    """Read the body of a chat completion request.

    Raises:
        InputError: a field is missing, unknown, of the wrong type or out of range.
    """
    given = {name: value for name, value in body.items() if value is not None}
    _check_fields(given)
    messages = given.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("messages must be a list of at least one message", "messages")
    is_stream = _typed(given, "stream", bool, "true or false") or False
    return ChatRequest(
        model=_required_text(given, "model"),
        messages=tuple(_message(item, f"messages[{i}]") for i, item in enumerate(messages)),
        params=_params(given, limits.new_tokens),
        tools=_tools(given),
        options=answer_options(given),
        is_stream=is_stream,
        has_usage=_has_usage(given, is_stream),
    )


def _check_fields(given: JsonObject) -> None:
    known = (*FIELDS, *HARMLESS, *NEUTRAL)
    for name in given:
        if name not in known:
            raise RequestError(_unknown(name, known), name[:100])
    for name, neutral in NEUTRAL.items():
        value = given.get(name, neutral)
        if value != neutral or isinstance(value, bool) != isinstance(neutral, bool):
            raise RequestError(
                f"{name} other than {neutral!r} is not supported; leave it out", name
            )


def _unknown(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name[:100], known, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown field {name[:100]!r}{hint}"


def _typed(given: JsonObject, name: str, kind: type[T], meaning: str) -> T | None:
    """Return the field's value; None when it is absent."""
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise RequestError(f"{name} must be {meaning}", name)
    return value


def _required_text(given: JsonObject, name: str, at: str = "") -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise RequestError(f"{at}{name} must be a text", at + name)
    return value


def _number(given: JsonObject, name: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RequestError(f"{name} must be a number", name)
    return float(value)


def _params(given: JsonObject, most: int) -> GenerationParams:
    default = GenerationParams()
    temperature, top_p = _number(given, "temperature"), _number(given, "top_p")
    max_tokens = _max_tokens(given)
    return GenerationParams(
        temperature=default.temperature if temperature is None else temperature,
        top_p=default.top_p if top_p is None else top_p,
        max_tokens=min(default.max_tokens, most) if max_tokens is None else max_tokens,
        seed=_typed(given, "seed", int, "an integer"),
        stop=_stop(given.get("stop")),
    )


def _max_tokens(given: JsonObject) -> int | None:
    older = _typed(given, "max_tokens", int, "an integer")
    newer = _typed(given, "max_completion_tokens", int, "an integer")
    if older is not None and newer is not None and older != newer:
        raise RequestError(
            "max_tokens and max_completion_tokens mean the same; give one of them", "max_tokens"
        )
    return older if newer is None else newer


def _stop(value: JsonValue) -> tuple[str, ...]:
    if value is None:
        return ()
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RequestError("stop must be a text or a list of texts", "stop")
    return tuple(texts)


def _has_usage(given: JsonObject, is_stream: bool) -> bool:
    options = given.get("stream_options")
    if options is None:
        return False
    if not is_stream:
        raise RequestError("stream_options needs stream to be true", "stream_options")
    if not isinstance(options, Mapping):
        raise RequestError("stream_options must be an object", "stream_options")
    for name in options:
        if name not in ("include_usage", "include_obfuscation"):
            raise RequestError(_unknown(name, ("include_usage",)), "stream_options")
    return _typed(options, "include_usage", bool, "true or false") or False


def _tools(given: JsonObject) -> tuple[Tool, ...]:
    values = given.get("tools", [])
    if not isinstance(values, list):
        raise RequestError("tools must be a list", "tools")
    tools = tuple(_tool(value, f"tools[{i}]") for i, value in enumerate(values))
    choice = given.get("tool_choice", "auto")
    if choice not in ("auto", "none"):
        raise RequestError(
            "tool_choice must be 'auto' or 'none'; forcing or naming a tool is not supported",
            "tool_choice",
        )
    return tools if choice == "auto" else ()


def _tool(value: JsonValue, at: str) -> Tool:
    try:
        tool = tool_from_openai(value)
    except InputError as error:
        raise RequestError(f"{at}: {error}", at) from error
    if not tool.name:
        raise RequestError(f"{at}: the name must not be empty", at)
    return tool


def _message(value: JsonValue, at: str) -> Message:
    if not isinstance(value, Mapping):
        raise RequestError(f"{at} must be an object with role and content", at)
    given = {name: item for name, item in value.items() if item is not None}
    for name in given:
        if name not in (*MESSAGE_FIELDS, *MESSAGE_HARMLESS):
            raise RequestError(f"{at}: {_unknown(name, MESSAGE_FIELDS)}", f"{at}.{name[:100]}")
    asked = given.get("role")
    role = ROLES.get(asked) if isinstance(asked, str) else None
    if role is None:
        raise RequestError(f"{at}.role must be one of: {', '.join(ROLES)}", f"{at}.role")
    calls = _calls(given.get("tool_calls", []), f"{at}.tool_calls")
    if calls and role != "assistant":
        raise RequestError(f"{at}.tool_calls belong to role assistant", f"{at}.tool_calls")
    is_empty = role == "assistant" and "content" not in given
    return Message(
        role=role,
        text="" if is_empty else _content(given.get("content"), f"{at}.content"),
        tool_calls=calls,
        tool_call_id=_required_text(given, "tool_call_id", f"{at}.") if role == "tool" else None,
    )


def _content(value: JsonValue, at: str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise RequestError(f"{at} must be a text or a list of text parts", at)
    return "".join(_part(part, f"{at}[{i}]") for i, part in enumerate(value))


def _part(part: JsonValue, at: str) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    text = part.get("text") if isinstance(part, Mapping) else None
    if kind != "text" or not isinstance(text, str):
        raise RequestError(
            f'{at} must be {{"type": "text", "text": ...}}; only text is supported',
            at,
        )
    return text


def _calls(value: JsonValue, at: str) -> tuple[ToolCall, ...]:
    if not isinstance(value, list):
        raise RequestError(f"{at} must be a list", at)
    return tuple(_call(item, f"{at}[{i}]") for i, item in enumerate(value))


def _call(value: JsonValue, at: str) -> ToolCall:
    call = value if isinstance(value, Mapping) else {}
    function = call.get("function")
    if not isinstance(function, Mapping):
        raise RequestError(f"{at} must have a function with name and arguments", at)
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        raise RequestError(f"{at}.function.arguments must be JSON text", f"{at}.function.arguments")
    name = _required_text(function, "name", f"{at}.function.")
    return ToolCall(_required_text(call, "id", f"{at}."), name, arguments)
