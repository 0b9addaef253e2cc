"""Models behind an OpenAI-compatible server: Groq, OpenAI, Hugging Face, Ollama, vLLM, any other.

One connection for each call, closed with it; nothing is tried twice here. Only the server knows
its tokenizer, so a conversation that is too long is refused by it and not trimmed.
"""

import queue
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future
from threading import Event
from typing import TYPE_CHECKING, Any

from core.errors import GenerationError
from core.messages import FinishReason, ModelRef, Timings, Usage
from core.providers.base import Completion, ProviderCall, ProviderEvent
from core.providers.chunks import Assembly, parse_chunk
from core.providers.endpoint_errors import app_error

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream
    from openai.types.chat import ChatCompletionChunk

CONNECT_S = 10.0
"""Longest wait for a connection."""
SILENCE_S = 120.0
"""Longest wait for the next bytes; a server that loads its model first is silent for long."""
CANCEL_S = 0.05
"""How often a wait looks whether the caller has cancelled."""
NO_KEY = "none"
"""Sent to servers that need no key: the client insists on one."""


class EndpointProvider:
    """Calls the catalog's endpoints; keys come from the environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        """Yield text as it comes and the completion last; closing it closes the connection.

        Raises:
            InputError: the server refuses the request: wrong, or too long.
            UnavailableError: the server is out of reach, overloaded, or refuses the key.
            RateLimitError: the server's limits are reached.
            GenerationError: the server began to answer and then failed.
        """
        from anyio.from_thread import start_blocking_portal

        key = self._environment.get(call.target.model.key_variable or "", "").strip()
        chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        began = time.monotonic()
        assembly = Assembly()
        # The connection lives on an event loop of its own: there a wait for the server can be
        # ended at any time, and its end closes the connection.
        with start_blocking_portal() as portal:
            reading = portal.start_task_soon(_read, call, key, chunks.put)
            reading.add_done_callback(lambda _: chunks.put(None))
            try:
                for chunk in _until_cancelled(chunks, call.cancel):
                    if text := assembly.take(parse_chunk(chunk), time.monotonic()):
                        yield text
                finish = _finish(call, assembly, reading)
            finally:
                reading.cancel()
        yield _completion(call, assembly, finish, began)


async def _read(call: ProviderCall, key: str, put: Callable[[object], None]) -> None:
    """Put the chunks of the answer as they come.

    Raises:
        AppError: as `EndpointProvider.stream`.
    """
    import openai

    try:
        async with (
            _client(call, key) as client,
            await client.chat.completions.create(**_body(call), stream=True) as stream,
        ):
            await _put_all(stream, put)
    except openai.OpenAIError as error:
        raise app_error(error, call.target, key) from error


async def _put_all(
    stream: "AsyncStream[ChatCompletionChunk]", put: Callable[[object], None]
) -> None:
    try:
        async for chunk in stream:
            put(chunk)
    except ValueError as error:
        raise GenerationError("the server's answer is malformed: no JSON") from error


def _client(call: ProviderCall, key: str) -> "AsyncOpenAI":
    import openai

    return openai.AsyncOpenAI(
        base_url=call.target.model.base_url,
        api_key=key or NO_KEY,
        max_retries=0,
        timeout=openai.Timeout(SILENCE_S, connect=CONNECT_S),
    )


def _body(call: ProviderCall) -> dict[str, Any]:
    """Return the request; what the caller left open is left out."""
    import openai

    params = call.params
    body: dict[str, Any] = {
        "model": call.target.model.served_model,
        "messages": [message.to_openai() for message in call.messages],
        "temperature": params.temperature,
        "top_p": params.top_p,
        "max_tokens": params.max_tokens,
        "stream_options": {"include_usage": True},
        # The client reads these from the environment, and the server may be anybody's.
        "extra_headers": {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()},
    }
    if params.seed is not None:
        body["seed"] = params.seed
    if params.stop:
        body["stop"] = list(params.stop)
    if call.tools:
        body["tools"] = [tool.to_openai() for tool in call.tools]
    return body


def _until_cancelled(chunks: "queue.SimpleQueue[Any]", cancel: Event) -> Iterator[Any]:
    """Yield what comes until it ends with None, or the caller wants no more."""
    while not cancel.is_set():
        try:
            chunk = chunks.get(timeout=CANCEL_S)
        except queue.Empty:
            continue
        if chunk is None:
            return
        yield chunk


def _finish(call: ProviderCall, assembly: Assembly, reading: "Future[None]") -> FinishReason:
    """Say how the answer ended; raise what ended it otherwise."""
    if call.cancel.is_set() and not assembly.is_finished:
        return "cancelled"
    if not call.cancel.is_set():
        reading.result()
    return assembly.finish()


def _completion(
    call: ProviderCall, assembly: Assembly, finish: FinishReason, began: float
) -> Completion:
    return Completion(
        text=assembly.text,
        model=ModelRef(call.target.model_id, None),
        adapter=None,
        usage=assembly.usage,
        timings=_timings(assembly.moments, assembly.usage, began),
        finish_reason=finish,
        tool_calls=() if finish == "cancelled" else assembly.tool_calls(),
    )


def _timings(moments: list[float], usage: Usage, began: float) -> Timings:
    decoding = moments[-1] - moments[0] if moments else 0.0
    count = usage.output_tokens
    return Timings(
        load_s=0.0,
        queue_s=0.0,
        first_token_s=moments[0] - began if moments else None,
        total_s=time.monotonic() - began,
        tokens_per_s=(count - 1) / decoding if count and count > 1 and decoding > 0 else None,
    )
