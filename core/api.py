"""The HTTP routes that any OpenAI client can use, and the health check.

Sizes and rates of generations are the gateway's business. Here every chat request is counted
once more before its body is read, so that refused ones have a limit too.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from core.access import Access, bearer_of, is_equal
from core.errors import ForbiddenError, NotFoundError
from core.gateway.allow import Limits, RateLimiter
from core.messages import Delta, GenerationRequest, JsonObject
from core.openai_answers import (
    ChunkWriter,
    Problem,
    attempt,
    completion,
    encode,
    event,
    metadata_headers,
    withdrawn,
)
from core.openai_shapes import ChatRequest, parse_chat
from core.request_body import RequestError, read_json
from core.streaming import EventStream, Running

GENERATION_THREADS = 64
"""Generations of all callers at once; further requests wait for one to end."""

Endpoint = Callable[[Request], Awaitable[ASGIApp]]


class Gateway(Protocol):
    """The way to every model."""

    def generate(self, request: GenerationRequest) -> Iterator[Delta]:
        """Generate one completion; the last delta carries the whole.

        A generator: closing it cancels the generation within a token. The texts of the deltas
        together are the text of the generation.
        """
        ...


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model or adapter that can be asked for."""

    id: str
    """What `model` in a request must say."""
    owned_by: str
    """Where it runs or who provides it."""
    ready: bool
    """Whether a request now would reach it."""
    reason: str
    """Why it is not ready; empty when it is."""
    state: JsonObject = field(default_factory=dict, hash=False)
    """What else is known of it now: price, what is left today, until when it cools."""


@dataclass(frozen=True, slots=True)
class ApiServices:
    """What the routes work with."""

    gateway: Gateway
    models: Callable[[], Sequence[ModelStatus]]
    """May block; called in a thread."""
    access: Access
    limits: Limits
    api_key: str | None
    """What callers of `/v1` must present; None: open, within the limits."""
    revive: Callable[[str], None]
    """Lets calls pass again to a model that was closed until a person acts. May block."""
    health: Callable[[], JsonObject]
    """Gives `status` ("ok" or "degraded"), `version` and `checks`. May block."""


@dataclass(frozen=True, slots=True)
class ApiCaller:
    """Who calls the API."""

    id: str
    """Pseudonym of the key, or of the address without one."""
    is_admin: bool


def api_routes(services: ApiServices) -> list[BaseRoute]:
    """Return the routes `/health`, `/v1/models` and `/v1/chat/completions`."""
    started_at, limiter = int(time.time()), RateLimiter(services.limits)
    threads = anyio.CapacityLimiter(GENERATION_THREADS)

    async def health(_: Request) -> Response:
        body = await run_in_threadpool(services.health)
        status = 200 if body["status"] == "ok" else 503
        return JSONResponse(body, status, {"cache-control": "no-store"})

    async def list_models(request: Request) -> Response:
        _authorize(services, request)
        models = await run_in_threadpool(services.models)
        return JSONResponse(
            {"object": "list", "data": [_model_json(model, started_at) for model in models]}
        )

    async def show_model(request: Request) -> Response:
        _authorize(services, request)
        asked = request.path_params["model"]
        for model in await run_in_threadpool(services.models):
            if model.id == asked:
                return JSONResponse(_model_json(model, started_at))
        raise NotFoundError(f"no model named {asked!r}; GET /v1/models lists them")

    async def complete_chat(request: Request) -> ASGIApp:
        caller = _authorize(services, request)
        limiter.admit(caller.id)
        chat = parse_chat(await read_json(request, services.limits.body_bytes), services.limits)
        return ChatAnswer(services.gateway, chat, _request(chat, caller), threads)

    return [
        Route("/health", _answering(health), methods=["GET"]),
        Route("/v1/models", _answering(list_models), methods=["GET"]),
        Route("/v1/models/{model:path}", _answering(show_model), methods=["GET"]),
        Route("/v1/models/{model:path}/revive", _answering(_reviving(services)), methods=["POST"]),
        Route("/v1/chat/completions", _answering(complete_chat), methods=["POST"]),
    ]


def _reviving(services: ApiServices) -> Endpoint:
    """Return the endpoint that opens a model again after its key or account was mended."""

    async def revive(request: Request) -> Response:
        if not _authorize(services, request).is_admin:
            raise ForbiddenError("only an admin may revive a model")
        await run_in_threadpool(services.revive, request.path_params["model"])
        return JSONResponse({"revived": request.path_params["model"]})

    return revive


def _answering(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with its errors turned into answers."""

    async def answer(request: Request) -> ASGIApp:
        result = await attempt(endpoint(request))
        return result.response() if isinstance(result, Problem) else result

    return answer


def _authorize(services: ApiServices, request: Request) -> ApiCaller:
    """Return who calls.

    Raises:
        RequestError: an API key is configured and neither it nor the admin token was presented.
    """
    access, host = services.access, request.client.host if request.client else None
    is_admin = access.caller_of(request.headers, request.cookies, host).is_admin
    key, token = services.api_key, bearer_of(request.headers)
    if key is None or access.is_admin_token(token):
        return ApiCaller(access.host_id(host), is_admin)
    if token is None or not is_equal(token, key):
        raise RequestError(
            "an API key is required: send it as `Authorization: Bearer KEY`",
            status=401,
            code="UNAUTHORIZED",
        )
    return ApiCaller(access.key_id(key), is_admin)


def _model_json(model: ModelStatus, created: int) -> JsonObject:
    return {
        "id": model.id,
        "object": "model",
        "created": created,
        "owned_by": model.owned_by,
        "understudy": {"ready": model.ready, "reason": model.reason, **model.state},
    }


def _request(chat: ChatRequest, caller: ApiCaller) -> GenerationRequest:
    return GenerationRequest(
        model=chat.model,
        messages=chat.messages,
        params=chat.params,
        caller=caller.id,
        tools=chat.tools,
        is_admin=caller.is_admin,
        cache=chat.options.cache,
        filter=chat.options.filter,
        json_mode=chat.options.json_mode,
        schema=chat.options.schema,
    )


class ChatAnswer:
    """Answers one chat completion request, whole or as a stream.

    A caller who goes away cancels the generation.
    """

    def __init__(
        self,
        gateway: Gateway,
        chat: ChatRequest,
        request: GenerationRequest,
        threads: anyio.CapacityLimiter,
    ) -> None:
        self._gateway = gateway
        self._chat = chat
        self._request = request
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Generate and send the answer until it ends or the caller goes away."""
        async with anyio.create_task_group() as group:
            group.start_soon(_cancel_on_disconnect, receive, group.cancel_scope)
            async with Running(self._generate, self._request.cancel, self._threads) as running:
                result = await attempt(self._respond(_shown(running)))
                response = result.response() if isinstance(result, Problem) else result
                await response(scope, receive, send)
            group.cancel_scope.cancel()

    async def _respond(self, deltas: AsyncIterator[Delta]) -> ASGIApp:
        """Return the answer once it is known that there is one: errors before it keep a status."""
        delta = await anext(deltas)
        if self._chat.is_stream:
            return EventStream(self._events(delta, deltas))
        while delta.generation is None:
            delta = await anext(deltas)
        body, headers = completion(delta.generation), metadata_headers(delta.generation)
        return Response(encode(body), 200, headers, "application/json")

    def _generate(self) -> Iterator[Delta]:
        return self._gateway.generate(self._request)

    async def _events(self, first: Delta, deltas: AsyncIterator[Delta]) -> AsyncIterator[bytes]:
        writer = ChunkWriter(self._chat.model, self._chat.has_usage)
        yield writer.start()
        delta: Delta | Problem = first
        has_text = False
        while not isinstance(delta, Problem):
            if delta.restart and has_text:
                yield event(withdrawn(delta.restart).body)
                return
            if delta.text:
                has_text = True
                yield writer.text(delta.text)
            if delta.generation is not None:
                yield writer.end(delta.generation)
                return
            delta = await attempt(anext(deltas))
        yield event(delta.body)


async def _shown(deltas: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
    """Leave out progress; a stream must end with a generation.

    Raises:
        RuntimeError: it did not.
    """
    async for delta in deltas:
        if delta.text or delta.restart or delta.generation is not None:
            yield delta
        if delta.generation is not None:
            return
    raise RuntimeError("the gateway ended a stream without a generation")


async def _cancel_on_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
