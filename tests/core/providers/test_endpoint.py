import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from core.access import Access, AccessMiddleware
from core.api import ApiServices, api_routes
from core.catalog import ModelEntry, Target
from core.errors import GenerationError, InputError, UnavailableError
from core.gateway.allow import Limits
from core.messages import GenerationParams, Message, Tool, ToolCall, Usage
from core.providers import bounded
from core.providers.base import Completion
from core.providers.endpoint import EndpointProvider, request_body
from tests.core.providers.calls import (
    HELLO,
    KEY,
    call_of,
    completed,
    raw_server,
    target_of,
    until_left,
)
from tests.fakes import ScriptedGateway
from tests.serving import serve

TOOL = Tool("find_table", "Finds it.", {"type": "object", "properties": {}})
CALLS = (ToolCall("c1", "find_table", '{"guest": "Ada"}'), ToolCall("c2", "seat", "{}"))


@pytest.fixture
def run(endpoint):
    """Return what asks a server for a completion."""
    return lambda url, **changes: completed(endpoint, call_of(url, **changes))


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
        revive=lambda _: None,
        health=lambda: {"status": "ok"},
    )
    middleware = [Middleware(AccessMiddleware, access=access)]
    with serve(Starlette(routes=api_routes(services), middleware=middleware)) as url:
        yield url


def test_an_answer_streams_and_carries_what_the_server_counted(endpoint):
    gateway = ScriptedGateway(texts=("Good ", "evening, ", "Ada."))
    with ours(gateway) as url:
        call = call_of(url, params=GenerationParams(0.5, 0.9, 8, 7, ("END",)), tools=(TOOL,))
        *texts, last = endpoint.stream(call)
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


def test_a_conversation_with_calls_arrives_as_it_is(run):
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


def test_tool_calls_are_put_together(run):
    with ours(ScriptedGateway(texts=(), tool_calls=CALLS)) as url:
        found = run(url, tools=(TOOL,))
    assert found.tool_calls == CALLS
    assert (found.text, found.finish_reason) == ("", "tool_calls")


def test_a_wrong_key_is_refused_by_a_real_server():
    with (
        ours(ScriptedGateway()) as url,
        contextlib.closing(EndpointProvider({"MY_KEY": "wrong"})) as provider,
        pytest.raises(UnavailableError, match="check MY_KEY"),
    ):
        list(provider.stream(call_of(url)))


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_an_end_in_the_middle_reaches_the_server(endpoint, end):
    gateway = ScriptedGateway(texts=("word ",) * 200, pause_s=0.02)
    with ours(gateway) as url:
        call = call_of(url)
        stream = endpoint.stream(call)
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


@pytest.fixture
def answered(run, server):
    """Return what asks the server for these events."""

    def ask(*events: str, done: bool = True) -> Completion:
        server.answer = sse(*events, done=done)
        return run(server.url)

    return ask


def test_unknown_usage_stays_unknown(answered):
    found = answered(chunk(content="Good "), chunk(content="evening"), chunk("stop"))
    assert found.usage == Usage(None, None)
    assert found.timings.tokens_per_s is None
    assert found.text == "Good evening"


def test_what_is_left_open_is_not_sent_and_nobody_elses_secrets_are(run, server, monkeypatch):
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


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com", "max_completion_tokens"),
        ("https://api.groq.com/openai", "max_tokens"),
        ("https://api.openai.com.example.org", "max_tokens"),
    ],
)
def test_the_bound_on_new_tokens_has_the_name_that_the_server_knows(url, name):
    """Trap: OpenAI's newest models refuse `max_tokens`, and others know nothing else."""
    body = request_body(call_of(url))
    assert {key for key in body if key.startswith("max_")} == {name}


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
def test_calls_in_pieces(answered, deltas, calls):
    found = answered(*[chunk(tool_calls=each) for each in deltas], chunk("tool_calls"))
    assert [(c.id, c.name, c.arguments) for c in found.tool_calls] == calls
    assert found.finish_reason == "tool_calls"


def test_a_call_without_an_id_gets_one(answered):
    piece = chunk(tool_calls=[delta_call(0, name="f")])
    (call,) = answered(piece, chunk("stop")).tool_calls
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
def test_how_an_answer_ended(answered, said, ours):
    assert answered(chunk(content="x"), chunk(said)).finish_reason == ours


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
        (['{"error": "boom"}'], "failed while answering: boom"),
    ],
)
@pytest.mark.parametrize("done", [True, False])
def test_a_malformed_stream_is_a_failed_generation(answered, events, said, done):
    with pytest.raises(GenerationError, match=said):
        answered(*events, done=done)


SCHEMA = {"type": "object", "properties": {"table": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"json_mode": True}, {"type": "json_object"}),
        (
            {"json_mode": True, "response_schema": SCHEMA},
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}},
        ),
    ],
)
def test_json_is_asked_of_the_server(run, server, asked, sent):
    run(server.url, **asked)
    assert server.bodies[0]["response_format"] == sent


def test_an_answer_in_groqs_own_count(answered):
    found = answered(
        chunk(content="Good"),
        json.dumps({"x_groq": {"usage": {"prompt_tokens": 18, "completion_tokens": 1}}}),
        chunk("stop"),
    )
    assert found.usage == Usage(18, 1)


def test_what_a_model_declines_is_its_answer(answered):
    assert answered(chunk(refusal="I can't."), chunk("stop")).text == "I can't."


def test_an_answer_that_the_filter_left_empty_is_a_failure(answered):
    with pytest.raises(InputError, match="content filter; say it otherwise") as raised:
        answered(chunk("content_filter"))
    assert raised.value.failure == "content_filter"


def test_nulls_where_servers_put_them(answered):
    piece = {"index": None, "id": "a", "function": {"name": "f", "arguments": None}}
    found = answered(
        json.dumps({"choices": None, "usage": None, "model": None}),
        json.dumps({"choices": [{"delta": None, "finish_reason": None}]}),
        chunk(content=None, tool_calls=[piece]),
        chunk("tool_calls", content=None, tool_calls=None),
    )
    assert [(c.id, c.name, c.arguments) for c in found.tool_calls] == [("a", "f", "{}")]


def test_half_a_surrogate_pair_and_nul_are_not_sent(run, server):
    run(server.url, messages=(Message("user", "a\ud83d\x00b"),))
    assert server.bodies[0]["messages"][0]["content"] == "a\ufffdb"


@pytest.mark.parametrize("key", ["schlüssel", "a\nb", "a\x00b"])
def test_a_key_that_no_header_can_hold(server, key):
    with (
        contextlib.closing(EndpointProvider({"MY_KEY": key})) as provider,
        pytest.raises(UnavailableError, match="odd characters; check MY_KEY") as raised,
    ):
        list(provider.stream(call_of(server.url)))
    assert raised.value.failure == "auth"
    assert server.bodies == []


def test_azure_has_its_own_address_and_header(endpoint, monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "token-of-somebody")
    monkeypatch.setenv("OPENAI_API_VERSION", "version-of-somebody")
    with raw_server(b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n") as server:
        target = target_of(
            server.url, base_url=server.url, api_version="2024-10-21", served_model="my-deployment"
        )
        with pytest.raises(UnavailableError):
            list(endpoint.stream(call_of(server.url, target=target)))
    head = server.requests[0].decode()
    path = "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    assert head.startswith(f"POST {path} HTTP/1.1\r\n")
    assert f"api-key: {KEY}\r\n" in head
    assert "authorization" not in head.lower()
    assert "somebody" not in head


def test_a_fine_tuned_name_is_sent_as_it_is(run, server):
    name = "ft:gpt-4o-mini-2024-07-18:my-org:butler:AbC123"
    run(server.url, target=target_of(server.url, served_model=name))
    assert server.bodies[0]["model"] == name


def test_a_redirect_is_not_followed(endpoint):
    with raw_server(b"") as elsewhere:
        place = f"location: {elsewhere.url}/v1/chat/completions".encode()
        moved = b"HTTP/1.1 308 Moved\r\n" + place + b"\r\ncontent-length: 0\r\n\r\n"
        with raw_server(moved) as server, pytest.raises(UnavailableError, match="redirect"):
            list(endpoint.stream(call_of(server.url)))
    assert elsewhere.requests == []


def test_calls_one_after_the_other_share_a_connection(run):
    seen: list[tuple[str, int]] = []

    async def note(request: Request) -> Response:
        seen.append(request.client)
        return sse(chunk("stop"))

    with serve(Starlette(routes=[Route("/v1/chat/completions", note, methods=["POST"])])) as url:
        run(url)
        run(url)
    assert len(seen) == 2
    assert len(set(seen)) == 1


def test_two_hundred_streams_at_once(endpoint):
    everyone = asyncio.Event()
    waiting: list[Request] = []
    answers: list[Completion] = []

    async def together(request: Request) -> Response:
        waiting.append(request)
        if len(waiting) == 200:
            everyone.set()
        await everyone.wait()
        return sse(chunk(content="Good "), chunk(content="evening"), chunk("stop"))

    def ask() -> None:
        answers.append(completed(endpoint, call_of(url)))

    routes = [Route("/v1/chat/completions", together, methods=["POST"])]
    with serve(Starlette(routes=routes)) as url:
        threads = [threading.Thread(target=ask) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    assert [answer.text for answer in answers] == ["Good evening"] * 200


def test_closing_the_provider_ends_its_calls_and_it_can_be_used_again():
    provider = EndpointProvider({"MY_KEY": KEY})
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            list(provider.stream(call_of(server.url)))
        except UnavailableError as error:
            failures.append(error)

    with raw_server(until_left) as server:
        thread = threading.Thread(target=ask)
        thread.start()
        while not server.requests:
            time.sleep(0.01)
        provider.close()
        thread.join(20)
        assert server.left.wait(10)
    assert [str(error) for error in failures] == ["'far': this server is shutting down"]
    with ours(ScriptedGateway(texts=("again",))) as url:
        assert completed(provider, call_of(url)).text == "again"
    provider.close()
    provider.close()


def test_a_server_that_is_not_there(run):
    with serve(Starlette()) as url:
        pass
    with pytest.raises(UnavailableError, match="'far' is out of reach; check base_url"):
        run(url)


def test_a_silent_server_is_left_when_the_caller_cancels(endpoint):
    with raw_server(until_left) as server:
        call = call_of(server.url)
        threading.Timer(0.3, call.cancel.set).start()
        began = time.monotonic()
        (last,) = endpoint.stream(call)
        assert time.monotonic() - began < 10 < bounded.SILENCE_S
        assert server.left.wait(10)
    assert (last.text, last.finish_reason) == ("", "cancelled")
    assert last.timings.first_token_s is None
