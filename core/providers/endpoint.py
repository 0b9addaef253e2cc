"""Models behind an OpenAI-compatible server: Groq, OpenAI, Azure, Hugging Face, vLLM, any other.

Only the server knows its tokenizer, so a conversation that is too long is refused by it and not
trimmed.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from core.catalog import Target
from core.errors import AppError
from core.gateway.cache_key import endpoint_identity
from core.providers.base import ProviderCall, ProviderEvent
from core.providers.chunks import malformed, parse_chunk
from core.providers.endpoint_errors import app_error
from core.providers.failures import Refusal, key_of, refusal_error
from core.providers.network import Network, Put, arrived, opened
from core.store.text import clean_json

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response
    from openai import AsyncOpenAI, AsyncStream

NO_KEY = "none"
"""Sent to servers that need no key: the client insists on one."""
SCHEMA_NAME = "answer"


class EndpointProvider:
    """Calls the catalog's endpoints; keys come from the environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._network = Network()

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        """Yield text as it comes and the completion last; closing it closes the connection.

        Raises:
            InputError: the server refuses the request: wrong, too long, or filtered.
            UnavailableError: the server is out of reach, overloaded, or refuses the key.
            ProviderLimitError: the server's limits are reached.
            GenerationError: the server began to answer and then failed.
        """
        key = key_of(call.target, self._environment)
        # Imported before the call's clock runs: it takes seconds, and would hold up the event loop.
        import_module("openai")
        yield from self._network.stream(call, _Reader(call, key, request_body(call)).read)

    def identity(self, target: Target) -> str | None:
        """Return the server and the model's name there: other weights can't be noticed."""
        return endpoint_identity(target)

    def close(self) -> None:
        """End all calls and close all connections."""
        self._network.close()


@dataclass(slots=True)
class _Reader:
    """Reads the answer to one call."""

    call: ProviderCall
    key: str
    body: dict[str, Any]
    has_begun: bool = False

    async def read(self, http: "AsyncClient", put: Put) -> None:
        """Put the chunks of the answer as they come.

        Raises:
            AppError: as `EndpointProvider.stream`.
        """
        import httpx2
        import openai

        from core.providers.bounded import http_error

        target = self.call.target
        try:
            client = _client(self.call, self.key, http)
            # `create` would walk through every message on its way out and build a model of every
            # chunk on its way in; `parse_chunk` checks the chunks anyway.
            posted = client.post(
                "/chat/completions",
                body=self.body,
                options={"headers": _unsaid()},
                cast_to=object,
                stream=True,
                stream_cls=openai.AsyncStream[object],
            )
            async with await posted as stream:
                await self._check(stream.response)
                put(opened(stream.response))
                await self._put_all(stream, put)
        except openai.OpenAIError as error:
            raise app_error(error, target, self.key, has_begun=self.has_begun) from error
        except httpx2.RequestError as error:
            raise http_error(error, target, has_begun=self.has_begun) from error

    async def _put_all(self, stream: "AsyncStream[object]", put: Put) -> None:
        try:
            async for chunk in stream:
                put(arrived(parse_chunk(chunk)))
                self.has_begun = True
        except (ValueError, RecursionError) as error:
            raise malformed("the server's answer is malformed: no JSON") from error

    async def _check(self, response: "Response") -> None:
        """Refuse what is no stream; some servers send errors with a status of success."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in ("text/html", "application/xhtml+xml"):
            raise malformed(
                f"{self.call.target.id!r} answers with a web page; check base_url in the catalog"
            )
        if kind == "application/json":
            await response.aread()
            raise _unstreamed(response, self.call, self.key)


def _unstreamed(response: "Response", call: ProviderCall, key: str) -> AppError:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return malformed("the server's answer is malformed: no JSON")
    if isinstance(body, dict) and body.get("error"):
        return refusal_error(Refusal(None, body, response.headers), call.target, key)
    return malformed(f"{call.target.id!r} does not stream its answer, though asked to")


def _client(call: ProviderCall, key: str, http: "AsyncClient") -> "AsyncOpenAI":
    """Return a client on our connections; it is never closed, for they are not its own."""
    import openai

    from core.providers.bounded import timeouts

    model = call.target.model
    shared: dict[str, Any] = {
        "api_key": key or NO_KEY,
        "max_retries": 0,
        "timeout": timeouts(),
        "http_client": http,
    }
    if model.api_version is None:
        return openai.AsyncOpenAI(base_url=model.base_url, **shared)
    return openai.AsyncAzureOpenAI(
        azure_endpoint=str(model.base_url), api_version=model.api_version, **shared
    )


def _unsaid() -> dict[str, Any]:
    """Return the headers to leave out: read from the environment, for a server of anybody's."""
    import openai

    return {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}


def _bound_name(target: Target) -> str:
    """Return what the server calls the bound on new tokens: OpenAI's newest refuse the old name."""
    is_openai = urlsplit(str(target.model.base_url)).hostname == "api.openai.com"
    return "max_completion_tokens" if is_openai else "max_tokens"


def request_body(call: ProviderCall) -> dict[str, Any]:
    """Return the request; what the caller left open is left out."""
    params = call.params
    body: dict[str, Any] = {
        "model": call.target.model.served_model,
        "messages": clean_json([message.to_openai() for message in call.messages]),
        "temperature": params.temperature,
        "top_p": params.top_p,
        _bound_name(call.target): params.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if params.seed is not None:
        body["seed"] = params.seed
    if params.stop:
        body["stop"] = list(params.stop)
    if call.tools:
        body["tools"] = clean_json([tool.to_openai() for tool in call.tools])
    if call.response_schema is not None:
        schema = {"name": SCHEMA_NAME, "schema": call.response_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif call.json_mode:
        body["response_format"] = {"type": "json_object"}
    return body
