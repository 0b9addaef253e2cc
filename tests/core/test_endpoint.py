import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate

import openai
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from core.access import Access, AccessMiddleware
from core.api import ApiServices, api_routes
from core.catalog import ModelEntry, Target
from core.errors import (
    AppError,
    GenerationError,
    InputError,
    RateLimitError,
    UnavailableError,
)
from core.gateway.allow import Limits
from core.messages import GenerationParams, Message, Tool, ToolCall, Usage
from core.providers import endpoint, endpoint_errors
from core.providers.base import Completion, ProviderCall
from core.providers.endpoint import EndpointProvider
from core.providers.endpoint_errors import app_error, retry_after
from tests.fakes import ScriptedGateway
from tests.serving import serve

KEY = "a-secret-key-of-ours"
HELLO = (Message("user", "Good evening"),)
TOOL = Tool("find_table", "Finds it.", {"type": "object", "properties": {}})
CALLS = (ToolCall("c1", "find_table", '{"guest": "Ada"}'), ToolCall("c2", "seat", "{}"))


def call_of(url: str, **changes) -> ProviderCall:
    entry = ModelEntry(
        provider="endpoint",
        base_url=f"{url}/v1",
        served_model="lead",
        key="${MY_KEY}",
        context=1000,
    )
    values = {
        "target": Target("far", "far", entry),
        "messages": HELLO,
        "tools": (),
        "params": GenerationParams(max_tokens=8),
        "cancel": threading.Event(),
    }
    return ProviderCall(**{**values, **changes})


PROVIDER = EndpointProvider({"MY_KEY": f" {KEY}\n"})


def run(url: str, **changes) -> Completion:
    """Return the completion, checked against the texts that came before it."""
    *texts, last = PROVIDER.stream(call_of(url, **changes))
    assert "".join(texts) == last.text
    return last


# Our own API as the server


@contextlib.contextmanager
def ours(gateway: ScriptedGateway) -> Iterator[str]:
    access = Access(b"0123456789abcdef", "a long enough token", False)
    services = ApiServices(
        gateway=gateway,
        models=list,
        access=access,
        limits=Limits(),
        api_key=KEY,
        health=lambda: {"status": "ok"},
    )
    middleware = [Middleware(AccessMiddleware, access=access)]
    with serve(Starlette(routes=api_routes(services), middleware=middleware)) as url:
        yield url


def test_an_answer_streams_and_carries_what_the_server_counted():
    gateway = ScriptedGateway(texts=("Good ", "evening, ", "Ada."))
    with ours(gateway) as url:
        call = call_of(url, params=GenerationParams(0.5, 0.9, 8, 7, ("END",)), tools=(TOOL,))
        *texts, last = PROVIDER.stream(call)
    assert texts == ["Good ", "evening, ", "Ada."]
    assert last.text == "Good evening, Ada."
    assert last.usage == Usage(2, 3)
    assert last.finish_reason == "stop"
    assert (last.model.id, last.model.digest, last.adapter) == ("far", None, None)
    assert 0 < last.timings.first_token_s <= last.timings.total_s
    assert last.timings.tokens_per_s > 0
    asked = gateway.requests[0]
    assert asked.params == call.params
    assert asked.messages == HELLO
    assert asked.tools == (TOOL,)


def test_a_conversation_with_calls_arrives_as_it_is():
    gateway = ScriptedGateway()
    messages = (
        Message("system", "Be kind."),
        Message("user", "Where?"),
        Message("assistant", "", CALLS[:1]),
        Message("tool", "table 4", tool_call_id="c1"),
    )
    with ours(gateway) as url:
        run(url, messages=messages, tools=(TOOL,))
    assert gateway.requests[0].messages == messages


def test_tool_calls_are_put_together():
    with ours(ScriptedGateway(texts=(), tool_calls=CALLS)) as url:
        found = run(url, tools=(TOOL,))
    assert found.tool_calls == CALLS
    assert (found.text, found.finish_reason) == ("", "tool_calls")


def test_a_wrong_key_is_refused_by_a_real_server():
    with ours(ScriptedGateway()) as url, pytest.raises(UnavailableError, match="check MY_KEY"):
        list(EndpointProvider({"MY_KEY": "wrong"}).stream(call_of(url)))


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_an_end_in_the_middle_reaches_the_server(end):
    gateway = ScriptedGateway(texts=("word ",) * 200, pause_s=0.02)
    with ours(gateway) as url:
        call = call_of(url)
        stream = PROVIDER.stream(call)
        assert next(stream) == "word "
        if end == "close":
            stream.close()
        else:
            call.cancel.set()
            *_, last = stream
            assert last.finish_reason == "cancelled"
            assert last.usage == Usage(None, None)
            assert last.text.startswith("word ")
        assert gateway.closed.wait(10)


# A server that says what it is told to


@dataclass
class Server:
    url: str = ""
    answer: Response | None = None
    bodies: list[dict] = field(default_factory=list)
    headers: list[dict] = field(default_factory=list)

    async def respond(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        return self.answer or sse(chunk("stop"))


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    server = Server()
    routes = [Route("/v1/chat/completions", server.respond, methods=["POST"])]
    with serve(Starlette(routes=routes)) as server.url:
        yield server


@pytest.fixture
def server(one_server: Server) -> Server:
    one_server.answer = None
    one_server.bodies.clear()
    one_server.headers.clear()
    return one_server


def chunk(reason: str | None = None, **delta) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


def sse(*events: str, done: bool = True) -> Response:
    lines = [f"data: {event}\n\n" for event in (*events, *(["[DONE]"] if done else []))]
    return StreamingResponse(iter(lines), media_type="text/event-stream")


def answered(server: Server, *events: str, done: bool = True) -> Completion:
    server.answer = sse(*events, done=done)
    return run(server.url)


def test_unknown_usage_stays_unknown(server):
    found = answered(server, chunk(content="Good "), chunk(content="evening"), chunk("stop"))
    assert found.usage == Usage(None, None)
    assert found.timings.tokens_per_s is None
    assert found.text == "Good evening"


def test_what_is_left_open_is_not_sent_and_nobody_elses_secrets_are(server, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-of-somebody")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody")
    run(server.url)
    url = f"{server.url}/v1"
    entry = ModelEntry(provider="endpoint", base_url=url, served_model="m", context=9)
    run(server.url, target=Target("open", "open", entry))
    assert server.bodies[0] == {
        "model": "lead",
        "messages": [{"role": "user", "content": "Good evening"}],
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 8,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    sent = [headers["authorization"] for headers in server.headers]
    assert sent == [f"Bearer {KEY}", "Bearer none"]
    assert "somebody" not in repr(server.headers)


def delta_call(index: int, **values) -> dict:
    named = {key: values[key] for key in ("name", "arguments") if key in values}
    return {"index": index, **({"id": values["id"]} if "id" in values else {}), "function": named}


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        (
            [
                [delta_call(0, id="a", name="f", arguments="")],
                [delta_call(0, arguments='{"x"'), delta_call(1, id="b", name="g")],
                [delta_call(0, arguments=": 1}")],
            ],
            [("a", "f", '{"x": 1}'), ("b", "g", "{}")],
        ),
        (  # Ollama has given every call the index 0.
            [
                [delta_call(0, id="a", name="f", arguments="{}")],
                [delta_call(0, id="b", name="f", arguments='{"y": 2}')],
            ],
            [("a", "f", "{}"), ("b", "f", '{"y": 2}')],
        ),
        (  # Others repeat id and name in every piece.
            [
                [delta_call(0, id="a", name="f", arguments='{"x"')],
                [delta_call(0, id="a", name="f", arguments=": 1}")],
            ],
            [("a", "f", '{"x": 1}')],
        ),
    ],
)
def test_calls_in_pieces(server, deltas, calls):
    found = answered(server, *[chunk(tool_calls=each) for each in deltas], chunk("tool_calls"))
    assert [(c.id, c.name, c.arguments) for c in found.tool_calls] == calls
    assert found.finish_reason == "tool_calls"


def test_a_call_without_an_id_gets_one(server):
    piece = chunk(tool_calls=[delta_call(0, name="f")])
    (call,) = answered(server, piece, chunk("stop")).tool_calls
    assert len(call.id) == 32


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "stop"),  # it says so and has none
    ],
)
def test_how_an_answer_ended(server, said, ours):
    assert answered(server, chunk(content="x"), chunk(said)).finish_reason == ours


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([chunk(content="Good")], "broke off"),
        ([], "broke off"),
        (["{broken"], "malformed: no JSON"),
        (["5"], "malformed"),
        (['{"choices": 5}'], "malformed at choices"),
        (['{"choices": [{"delta": "text"}]}'], "malformed at choices.0.delta"),
        (['{"choices": [{"delta": {"content": 5}}]}'], r"malformed at choices\.0\.delta\.content"),
        ([chunk(tool_calls=[delta_call(0, arguments="{}")]), chunk("stop")], "without a name"),
        ([chunk("gave up")], "ended its answer with 'gave up'"),
        (['{"error": {"message": "boom https://x.io org-12345678"}}'], "while answering: boom … …"),
        (['{"error": "boom"}'], "failed while answering: it does not say why"),
    ],
)
@pytest.mark.parametrize("done", [True, False])
def test_a_malformed_stream_is_a_failed_generation(server, events, said, done):
    with pytest.raises(GenerationError, match=said):
        answered(server, *events, done=done)


@pytest.mark.parametrize(
    "answer",
    [
        PlainTextResponse("<html>hello</html>", media_type="text/html"),
        JSONResponse({"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}),
        Response(b""),
    ],
)
def test_a_server_that_does_not_stream_is_a_failed_generation(server, answer):
    server.answer = answer
    with pytest.raises(GenerationError, match="broke off"):
        run(server.url)


PRIVATE = (
    f"see https://x.io/billing?org=1 of org-abc12345, project proj_12ab34cd, key {KEY}, sk-x1*y2"
)
LONG = {"error": {"message": f"too long: 9 tokens; {PRIVATE}", "code": "context_length_exceeded"}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, LONG, InputError, "'far' refuses the request: too long: 9 tokens; see … of …"),
        (400, {}, InputError, "refuses the request: it does not say why"),
        (401, LONG, UnavailableError, "refuses the key; check MY_KEY"),
        (402, LONG, UnavailableError, "has no credit left; check the account behind MY_KEY"),
        (403, LONG, UnavailableError, "is not allowed for this key; check what MY_KEY may use"),
        (404, LONG, UnavailableError, "is not served as 'lead'; check base_url and served_model"),
        (408, LONG, UnavailableError, "did not answer in time"),
        (409, LONG, UnavailableError, "is busy with another request"),
        (413, LONG, InputError, "can't take so long a request; shorten it"),
        (418, LONG, UnavailableError, "answers with HTTP status 418"),
        (422, LONG, InputError, "refuses the request: too long"),
        (429, LONG, RateLimitError, "is at its provider's limit; try again later"),
        (
            429,
            {"error": {"message": PRIVATE, "code": "insufficient_quota"}},
            UnavailableError,
            "has no quota left; check the account behind MY_KEY",
        ),
        (500, LONG, UnavailableError, "failed on the server's side"),
        (503, LONG, UnavailableError, "failed on the server's side"),
        (529, LONG, UnavailableError, "failed on the server's side"),
    ],
)
def test_a_refusal_is_said_in_our_words_and_tried_once(server, status, body, kind, said):
    server.answer = JSONResponse(body, status)
    with pytest.raises(kind) as refused:
        run(server.url)
    assert len(server.bodies) == 1
    text = str(refused.value)
    assert type(refused.value) is kind
    assert said in text
    for private in (KEY, "https://", "abc12345", "12ab34cd", "x1*y2", "\n", server.url):
        assert private not in text


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "7", "retry-after-ms": "450"}, 0.45),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(server, headers, wait_s):
    server.answer = JSONResponse({}, 429, headers)
    with pytest.raises(RateLimitError) as refused:
        run(server.url)
    assert refused.value.retry_after_s == wait_s


def test_a_wait_may_be_a_date():
    assert retry_after({"retry-after": formatdate(time.time() + 30)}) == pytest.approx(30, abs=2)
    assert retry_after({"retry-after": formatdate(0)}) == 0.0


def test_a_server_that_is_not_there():
    with serve(Starlette()) as url:
        pass
    with pytest.raises(UnavailableError, match="'far' is out of reach; check base_url"):
        run(url)


async def never(request: Request) -> Response:
    """Wait until the caller goes away."""
    while not await request.is_disconnected():
        await asyncio.sleep(0.01)
    request.app.state.left.set()
    return Response()


@pytest.fixture
def silent() -> Iterator[tuple[str, threading.Event]]:
    app = Starlette(routes=[Route("/v1/chat/completions", never, methods=["POST"])])
    app.state.left = threading.Event()
    with serve(app) as url:
        yield url, app.state.left


def test_a_silent_server_times_out(silent, monkeypatch):
    monkeypatch.setattr(endpoint, "SILENCE_S", 0.3)
    with pytest.raises(UnavailableError, match="'far' did not answer in time"):
        run(silent[0])
    assert silent[1].wait(10)


def test_a_silent_server_is_left_when_the_caller_cancels(silent):
    url, left = silent
    call = call_of(url)
    threading.Timer(0.3, call.cancel.set).start()
    began = time.monotonic()
    (last,) = PROVIDER.stream(call)
    assert time.monotonic() - began < 10 < endpoint.SILENCE_S
    assert (last.text, last.finish_reason) == ("", "cancelled")
    assert last.timings.first_token_s is None
    assert left.wait(10)


# Completeness


EXPECTED: dict[str, type[AppError]] = {
    "APIConnectionError": UnavailableError,
    "APIError": GenerationError,
    "APIRemovedInV1": GenerationError,
    "APIResponseValidationError": GenerationError,
    "APIStatusError": UnavailableError,
    "APITimeoutError": UnavailableError,
    "AuthenticationError": UnavailableError,
    "BadRequestError": InputError,
    "ConflictError": UnavailableError,
    "ContentFilterFinishReasonError": GenerationError,
    "InternalServerError": UnavailableError,
    "LengthFinishReasonError": GenerationError,
    "MutuallyExclusiveAuthError": GenerationError,
    "NotFoundError": UnavailableError,
    "OAuthError": UnavailableError,
    "OpenAIError": GenerationError,
    "PermissionDeniedError": UnavailableError,
    "RateLimitError": RateLimitError,
    "StreamAlreadyConsumed": GenerationError,
    "SubjectTokenProviderError": GenerationError,
    "UnprocessableEntityError": InputError,
    "WebSocketConnectionClosedError": GenerationError,
    "WebSocketQueueFullError": GenerationError,
    "_AmbiguousModuleClientUsageError": GenerationError,
}


def below(kind: type[Exception]) -> set[type[Exception]]:
    """Return the client's own exception classes below one of them, itself included."""
    known = {k for k in kind.__subclasses__() if k.__module__.startswith("openai")}
    return {kind, *(each for k in known for each in below(k))}


def bare(kind: type[Exception]) -> Exception:
    """Return an exception of this class as the client makes it, as far as we read it."""
    error = kind.__new__(kind)
    Exception.__init__(error, f"see https://x.io, {KEY}")
    if isinstance(error, openai.APIError):
        error.body, error.code = {"message": f"see https://x.io, {KEY}"}, None
    if isinstance(error, openai.APIStatusError):
        error.status_code = getattr(kind, "status_code", 418)
        error.response = Response(headers={"retry-after": "3"})
    return error


def test_every_exception_of_the_client_is_mapped():
    kinds = {kind.__name__: kind for kind in below(openai.OpenAIError)}
    assert set(kinds) <= set(EXPECTED), "decide what a new exception class becomes"
    for name, kind in kinds.items():
        found = app_error(bare(kind), call_of("http://127.0.0.1:9").target, KEY)
        assert type(found) is EXPECTED[name], name
        assert str(found).startswith("'far' "), name
        assert KEY not in str(found), name
        assert "https://" not in str(found), name
    assert set(endpoint_errors.BY_CLASS) <= set(kinds)
