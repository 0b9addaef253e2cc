"""Our values as OpenAI's clients read them: completions, chunks of a stream, models, errors."""

import json
import logging
import math
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from starlette.responses import JSONResponse

from core.errors import AppError, RateLimitError
from core.messages import Generation, JsonObject, JsonValue, ToolCall, Usage, new_id
from core.request_body import RequestError

T = TypeVar("T")

logger = logging.getLogger(__name__)

BUG = "something failed on our side; it is in the log of the app"
"""All that a caller learns of an error we did not foresee."""
ERROR_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
"""OpenAI's word by HTTP status; else by whose fault it is."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as a caller sees it."""

    status: int
    body: JsonObject
    headers: Mapping[str, str]

    def response(self) -> JSONResponse:
        """Return the error as an HTTP answer."""
        return JSONResponse(self.body, self.status, self.headers)


async def attempt(work: Awaitable[T]) -> T | Problem:
    """Return what the work returns, or what its caller is told when it fails.

    The only place of the API that catches everything: a bug must reach a client as JSON that
    tells nothing of the inside, also in the middle of a stream, and the log must have it all.
    """
    try:
        return await work
    except AppError as error:
        return problem_of(error)
    except Exception:
        logger.exception("a request failed")
        body = _error_body(BUG, "server_error", "INTERNAL")
        return Problem(500, body, {})


def problem_of(error: AppError) -> Problem:
    """Return what a caller is told of an error that we raised on purpose."""
    other = "invalid_request_error" if error.status < 500 else "server_error"
    kind = ERROR_TYPES.get(error.status, other)
    param = error.param if isinstance(error, RequestError) else None
    headers: dict[str, str] = {}
    if isinstance(error, RateLimitError) and error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.status == 401:
        headers["www-authenticate"] = 'Bearer realm="understudy"'
    if error.status == 413:
        headers["connection"] = "close"  # The rest of the body is not read.
    return Problem(error.status, _error_body(str(error), kind, error.code, param), headers)


def withdrawn(reason: str) -> Problem:
    """Return what ends a stream whose model failed after it had begun.

    What was streamed can't be taken back there, and two models' texts are never glued together.
    """
    text = f"{reason}; the answer stops here: ask again, without streaming to use the fallback"
    return Problem(503, _error_body(text, "server_error", "STREAM_BROKEN"), {})


def _error_body(message: str, kind: str, code: str, param: str | None = None) -> JsonObject:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def completion(generation: Generation) -> JsonObject:
    """Return a whole answer; `model` names what answered."""
    calls = [call.to_openai() for call in generation.tool_calls]
    message: dict[str, JsonValue] = {
        "role": "assistant",
        "content": generation.text or (None if calls else ""),
        "refusal": None,
    }
    if calls:
        message["tool_calls"] = calls
    choice: JsonObject = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish_reason(generation),
    }
    return {
        "id": f"chatcmpl-{generation.trace_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": generation.model.id,
        "choices": [choice],
        "usage": _usage(generation.usage),
        "understudy": generation.facts(),
    }


def metadata_headers(generation: Generation) -> dict[str, str]:
    """Return the `x-understudy-*` headers of a whole answer."""
    values = {
        "model": generation.model.id,
        "adapter": generation.adapter.id if generation.adapter else None,
        "trace-id": generation.trace_id,
        "cache": generation.cache,
        "route": generation.route,
        "cost-usd": None if generation.cost_usd is None else str(generation.cost_usd),
    }
    return {
        f"x-understudy-{name}": quote(value, safe="/:@+ ,=")
        for name, value in values.items()
        if value is not None
    }


class ChunkWriter:
    """Writes the chunks of one stream, as server-sent events; `model` is the one asked for."""

    def __init__(self, model: str, has_usage: bool) -> None:
        self._has_usage = has_usage
        self._head: dict[str, JsonValue] = {
            "id": f"chatcmpl-{new_id()}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }

    def start(self) -> bytes:
        """Return the first chunk, which carries the role."""
        return self._chunk({"role": "assistant", "content": ""})

    def text(self, text: str) -> bytes:
        """Return a chunk of text."""
        return self._chunk({"content": text})

    def end(self, generation: Generation) -> bytes:
        """Return the last chunks: tool calls, finish reason with our metadata, usage if asked."""
        chunks = b""
        for index, call in enumerate(generation.tool_calls):
            chunks += self._chunk({"tool_calls": [_indexed(index, call)]})
        chunks += self._chunk({}, _finish_reason(generation), generation.facts())
        usage = _usage(generation.usage)
        if self._has_usage and usage is not None:
            chunks += event({**self._head, "choices": [], "usage": usage})
        return chunks + b"data: [DONE]\n\n"

    def _chunk(
        self, delta: JsonObject, reason: str | None = None, metadata: JsonObject | None = None
    ) -> bytes:
        choice: JsonObject = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        body: dict[str, JsonValue] = {**self._head, "choices": [choice]}
        if self._has_usage:
            body["usage"] = None
        if metadata is not None:
            body["understudy"] = metadata
        return event(body)


def event(body: JsonObject) -> bytes:
    """Return one server-sent event."""
    return b"data: " + encode(body) + b"\n\n"


def encode(body: JsonObject) -> bytes:
    """Return the body as JSON; half a surrogate pair, which models can write, becomes `?`."""
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _indexed(index: int, call: ToolCall) -> JsonObject:
    return {"index": index, **call.to_openai()}


def _finish_reason(generation: Generation) -> str:
    if generation.tool_calls:
        return "tool_calls"
    own = ("cancelled", "abstained")
    return "stop" if generation.finish_reason in own else generation.finish_reason


def _usage(usage: Usage) -> JsonObject | None:
    """Return the counts; None, which the clients' types allow, when the provider gave none."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
