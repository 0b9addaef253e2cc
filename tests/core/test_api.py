import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware

from core.access import Access, AccessMiddleware
from core.api import ApiServices, Gateway, ModelStatus, api_routes
from core.errors import GenerationError, InputError, RateLimitError, UnavailableError
from core.gateway.allow import Limits
from core.messages import Delta, GenerationParams, JsonObject, Message, ToolCall
from core.openai_shapes import FIELDS, HARMLESS, NEUTRAL, parse_chat
from tests.fakes import EchoGateway, FailingGateway, ScriptedGateway, generation_of
from tests.serving import serve

KEY = "sk-a-key"
TOKEN = "a long enough token"
GENEROUS = Limits(requests_per_minute=100_000, body_bytes=20_000)
CHAT = "/v1/chat/completions"
HELLO = {"model": "lead", "messages": [{"role": "user", "content": "Good evening"}]}
TOOL = {
    "type": "function",
    "function": {"name": "find_table", "parameters": {"type": "object", "properties": {}}},
}
CALL = ToolCall("call_1", "find_table", '{"guest": "Ada"}')


def healthy() -> JsonObject:
    return {"status": "ok", "version": "1", "checks": {"store": "ok"}}


def some_models() -> list[ModelStatus]:
    return [
        ModelStatus(id="lead", owned_by="embedded", ready=True, reason=""),
        ModelStatus(id="org/big", owned_by="hub", ready=False, reason="must be downloaded"),
    ]


def broken() -> list[ModelStatus]:
    raise ValueError("a path /home/secret")


@dataclass
class Setup:
    gateway: Gateway = field(default_factory=ScriptedGateway)
    limits: Limits = GENEROUS
    api_key: str | None = None
    admin_token: str | None = TOKEN
    trust_loopback: bool = False
    revived: list[str] = field(default_factory=list)
    health: Callable[[], JsonObject] = healthy
    models: Callable[[], list[ModelStatus]] = some_models

    def app(self) -> Starlette:
        access = Access(b"0123456789abcdef", self.admin_token, self.trust_loopback)
        services = ApiServices(
            gateway=self.gateway,
            models=self.models,
            access=access,
            limits=self.limits,
            api_key=self.api_key,
            revive=self.revived.append,
            health=self.health,
        )
        middleware = [Middleware(AccessMiddleware, access=access)]
        return Starlette(routes=api_routes(services), middleware=middleware)


@contextlib.contextmanager
def raw(**changes) -> Iterator[httpx.Client]:
    app = Setup(**changes).app()
    with serve(app) as url, httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        yield client


@contextlib.contextmanager
def official(key: str = "unused", **changes) -> Iterator[openai.OpenAI]:
    with serve(Setup(**changes).app()) as url, httpx.Client(trust_env=False) as http:
        yield openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, http_client=http)


def events(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.split("\n\n") if line]


def refused(answer: httpx.Response, status: int, code: str = "INVALID_REQUEST") -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    return error


# With the official client


def test_a_whole_answer():
    gateway = ScriptedGateway()
    with official(gateway=gateway) as client:
        answer = client.chat.completions.create(
            model="lead",
            messages=[
                {"role": "developer", "content": "Be kind."},
                {"role": "user", "content": [{"type": "text", "text": "Good "},
                                             {"type": "text", "text": "evening"}]},
            ],
            max_completion_tokens=32,
            temperature=0.5,
            top_p=0.9,
            seed=7,
            stop="END",
            user="me",
            n=1,
            frequency_penalty=0,
            response_format={"type": "text"},
        )  # fmt: skip
    assert answer.choices[0].message.content == "Good evening."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 2
    assert answer.understudy["trace_id"] == answer.id.removeprefix("chatcmpl-")
    assert "text" not in answer.understudy
    asked = gateway.requests[0]
    assert asked.messages == (Message("system", "Be kind."), Message("user", "Good evening"))
    assert asked.params == GenerationParams(0.5, 0.9, 32, 7, ("END",))
    assert asked.caller.startswith("host:")
    assert not asked.is_admin


def test_defaults_are_those_of_our_params():
    gateway = ScriptedGateway()
    with raw(gateway=gateway, limits=Limits(new_tokens=100)) as client:
        assert client.post(CHAT, json={**HELLO, "seed": None, "stop": None}).is_success
    assert gateway.requests[0].params == GenerationParams(max_tokens=100)


def test_metadata_headers():
    with raw() as client:
        answer = client.post(CHAT, json=HELLO)
    assert answer.headers["x-understudy-model"] == "lead"
    assert answer.headers["x-understudy-trace-id"] == answer.json()["understudy"]["trace_id"]
    assert answer.headers["x-understudy-cache"] == "bypass"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_stream():
    with official(gateway=ScriptedGateway(["Good ", "", "evening."])) as client:
        stream = client.chat.completions.create(
            **HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert texts == ["", "Good ", "evening.", None]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].understudy["model"]["id"] == "lead"
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 2)
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_words_of_a_stream_come_one_by_one():
    with raw(gateway=ScriptedGateway(["a", "b", "c"], pause_s=0.2)) as client:
        times = []
        with client.stream("POST", CHAT, json={**HELLO, "stream": True}) as answer:
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            for line in answer.iter_lines():
                times += [time.monotonic()] if '"content": "' in line else []
    assert times[-1] - times[0] > 0.3


def test_a_stream_ends_with_done_and_has_no_usage_unasked():
    with raw() as client:
        parts = events(client.post(CHAT, json={**HELLO, "stream": True}).text)
    assert parts[-1] == "[DONE]"
    assert all("usage" not in json.loads(part) for part in parts[:-1])


def test_tool_calls_whole_and_back_again():
    gateway = ScriptedGateway([], [CALL])
    with official(gateway=gateway) as client:
        first = client.chat.completions.create(**HELLO, tools=[TOOL], tool_choice="auto")
        message = first.choices[0].message
        assert message.content is None
        assert first.choices[0].finish_reason == "tool_calls"
        assert message.tool_calls[0].function.arguments == CALL.arguments
        answer = {"role": "tool", "tool_call_id": "call_1", "content": "table 4"}
        client.chat.completions.create(
            model="lead", messages=[*HELLO["messages"], message.model_dump(), answer], tools=[TOOL]
        )
    assert gateway.requests[0].tools[0].name == "find_table"
    assert gateway.requests[1].messages[1:] == (
        Message("assistant", "", (CALL,)),
        Message("tool", "table 4", tool_call_id="call_1"),
    )


def test_tool_calls_in_a_stream():
    second = ToolCall("call_2", "find_table", "{}")
    with official(gateway=ScriptedGateway(["Let me look."], [CALL, second])) as client:
        chunks = list(client.chat.completions.create(**HELLO, tools=[TOOL], stream=True))
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert [(call.index, call.id) for call in calls] == [(0, "call_1"), (1, "call_2")]
    assert calls[0].function.name == "find_table"
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_tool_choice_none_offers_no_tools():
    gateway = ScriptedGateway()
    with raw(gateway=gateway) as client:
        assert client.post(CHAT, json={**HELLO, "tools": [TOOL], "tool_choice": "none"}).is_success
    assert gateway.requests[0].tools == ()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("gateway", "expected", "code"),
    [
        (ScriptedGateway(models=()), openai.PermissionDeniedError, "MODEL_NOT_ALLOWED"),
        (FailingGateway(InputError("too long")), openai.BadRequestError, "INVALID_REQUEST"),
        (FailingGateway(RateLimitError("wait", 2.2)), openai.RateLimitError, "RATE_LIMITED"),
        (FailingGateway(UnavailableError("down")), openai.InternalServerError, "UNAVAILABLE"),
        (FailingGateway(KeyError("a secret")), openai.InternalServerError, "INTERNAL"),
    ],
)
def test_errors_before_the_first_token_keep_their_status(gateway, expected, code, stream):
    with official(gateway=gateway) as client, pytest.raises(expected) as raised:
        client.chat.completions.create(**HELLO, stream=stream)
    assert raised.value.code == code
    assert "secret" not in str(raised.value)
    if code == "RATE_LIMITED":
        assert raised.value.response.headers["retry-after"] == "3"


def test_an_error_amid_a_stream_reaches_the_client():
    gateway = FailingGateway(GenerationError("the model stopped"), ["Good "])
    with official(gateway=gateway) as client:
        stream = client.chat.completions.create(**HELLO, stream=True)
        with pytest.raises(openai.APIError, match="the model stopped"):
            list(stream)


def test_a_bug_amid_a_stream_tells_nothing_and_is_logged(caplog):
    with raw(gateway=FailingGateway(ValueError("/home/secret"), ["Good "])) as client:
        parts = events(client.post(CHAT, json={**HELLO, "stream": True}).text)
    assert json.loads(parts[-1])["error"]["code"] == "INTERNAL"
    assert "secret" not in "".join(parts)
    assert "/home/secret" in caplog.text


def test_a_stream_without_a_generation_is_a_bug(caplog):
    class Ends(EchoGateway):
        def generate(self, request):
            yield from ()

    with raw(gateway=Ends()) as client:
        refused(client.post(CHAT, json=HELLO), 500, "INTERNAL")
    assert "without a generation" in caplog.text


def test_models_and_one_model():
    with official() as client:
        models = list(client.models.list())
        assert [model.id for model in models] == ["lead", "org/big"]
        assert models[1].understudy == {"ready": False, "reason": "must be downloaded"}
        assert client.models.retrieve("org/big").owned_by == "hub"
        with pytest.raises(openai.NotFoundError, match="no model named 'nobody'"):
            client.models.retrieve("nobody")


# Keys and roles, over raw HTTP


def test_the_key_is_required_everywhere_but_for_health():
    with official(key="wrong", api_key=KEY) as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(**HELLO)
    gateway = ScriptedGateway()
    with raw(api_key=KEY, gateway=gateway) as client:
        for path in ("/v1/models", "/v1/models/lead"):
            answer = client.get(path)
            refused(answer, 401, "UNAUTHORIZED")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for header in ("", KEY, f"Basic {KEY}", f"Bearer {KEY}x", "Bearer"):
            answer = client.post(CHAT, json=HELLO, headers={"authorization": header})
            refused(answer, 401, "UNAUTHORIZED")
        assert gateway.requests == []
        assert client.get("/health").is_success
        for token in (KEY, TOKEN):
            bearer = {"authorization": f"Bearer {token}"}
            assert client.post(CHAT, json=HELLO, headers=bearer).is_success
    assert [(r.caller.partition(":")[0], r.is_admin) for r in gateway.requests] == [
        ("key", False),
        ("host", True),
    ]
    assert KEY not in gateway.requests[0].caller


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, True),
        ({"host": "rebound.example"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"x-forwarded-for": "127.0.0.1"}, False),
        ({"x-forwarded-for": "10.0.0.1"}, False),
        ({"via": "1.1 proxy"}, False),
    ],
)
def test_loopback_is_admin_only_when_asked_directly(headers, expected):
    gateway = ScriptedGateway()
    with raw(gateway=gateway, admin_token=None, trust_loopback=True) as client:
        assert client.post(CHAT, json=HELLO, headers=headers).is_success
    assert gateway.requests[0].is_admin is expected


def test_an_arbitrary_bearer_is_no_identity_without_a_key():
    with raw(limits=Limits(requests_per_minute=2)) as client:
        for number in range(2):
            bearer = {"authorization": f"Bearer {number}"}
            assert client.post(CHAT, json=HELLO, headers=bearer).is_success
        answer = client.post(CHAT, json=HELLO, headers={"authorization": "Bearer other"})
        refused(answer, 429, "RATE_LIMITED")
        assert 1 <= int(answer.headers["retry-after"]) <= 30


def test_health():
    with raw() as client:
        assert client.get("/health").json() == healthy()
    degraded = {**healthy(), "status": "degraded"}
    with raw(health=lambda: degraded, models=broken) as client:
        answer = client.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
        error = refused(client.get("/v1/models"), 500, "INTERNAL")
        assert "secret" not in error["message"]


# What must be refused


def user(content) -> dict:
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": 5}, "model"),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"messages": 5}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [5]}, None),
        ({"messages": [{"role": "king", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": [], "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "contents": "a"}]}, "messages[0].contents"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].tool_call_id"),
        (user(3), "messages[0].content"),
        (user(None), "messages[0].content"),
        (user([3]), "messages[0].content[0]"),
        (user([{"type": "image_url", "image_url": {"url": "x"}}]), "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": "a", "tool_calls": [{}]}]}, None),
        ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
        ({"tools": {}}, "tools"),
        ({"tools": [5]}, "tools[0]"),
        ({"tools": [{"function": {"name": "f", "parameters": 5}}]}, "tools[0]"),
        ({"tools": [{"function": {"name": ""}}]}, "tools[0]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": 9}, None),
        ({"top_p": 0}, None),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 0}, None),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"seed": -1}, None),
        ({"seed": 2**70}, None),
        ({"stop": 5}, "stop"),
        ({"stop": [5]}, "stop"),
        ({"stop": [""]}, None),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": 5}, "stream_options"),
        ({"stream": True, "stream_options": {"usage": True}}, "stream_options"),
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"temprature": 1}, "temprature"),
    ],
)
def test_impossible_requests(client, change, param):
    error = refused(client.post(CHAT, json={**HELLO, **change}), 400)
    assert error["type"] == "invalid_request_error"
    assert param is None or error["param"] == param
    if "temprature" in change:
        assert "did you mean 'temperature'?" in error["message"]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with raw(gateway=EchoGateway()) as client:
        yield client


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"temperature": NaN}',
        b'{"temperature": -Infinity}',
        b'{"temperature": 1e999}',
        b'{"seed": ' + b"1" * 5000 + b"}",
        b'{"model": "\\ud800"}',
        b'{"\\udc00": 1}',
        b'{"a": ' + b"[" * 60 + b"]" * 60 + b', "b": ' + b"[" * 70 + b"]" * 70 + b"}",
        b"[" * 10_000,
        b'{"a":' * 3_000,
    ],
    ids=range(16),
)
def test_bodies_that_are_no_request(client, body):
    answer = client.post(CHAT, content=body, headers={"content-type": "application/json"})
    refused(answer, 400)


def test_harmless_fields_and_duplicate_keys_pass(client):
    body = {**HELLO, "user": "me", "metadata": {"a": "b"}, "store": False, "logprobs": False,
            "parallel_tool_calls": True, "presence_penalty": 0.0, "logit_bias": None}  # fmt: skip
    assert client.post(CHAT, json=body).is_success
    twice = json.dumps(HELLO).replace("{", '{"model": "other", ', 1)
    kind = {"content-type": "application/json; charset=utf-8"}
    assert client.post(CHAT, content=twice, headers=kind).json()["model"] == "lead"


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded"])
def test_another_content_type(client, kind):
    answer = client.post(CHAT, content=json.dumps(HELLO), headers={"content-type": kind})
    refused(answer, 415, "UNSUPPORTED_MEDIA")


def send_raw(client: httpx.Client, head: str, body: bytes) -> bytes:
    """Send bytes as they are and return the first of the answer."""
    address = (client.base_url.host, client.base_url.port)
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n".encode() + body)
        return connection.recv(4096)


def test_a_large_body_is_refused_without_reading_it(client):
    head = "content-type: application/json\r\n"
    declared = send_raw(client, head + "content-length: 999999999", b"{")
    assert declared.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in declared.lower()
    chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
    counted = send_raw(client, head + "transfer-encoding: chunked", chunk * 6)
    assert counted.startswith(b"HTTP/1.1 413")


def test_another_method_is_refused(client):
    assert client.get(CHAT).status_code == 405
    assert client.post("/v1/models").status_code == 405


# Callers who go away, and many at once


def read_chunks(connection: socket.socket, chunks: int) -> None:
    seen = b""
    while seen.count(b"data: ") < chunks:
        seen += connection.recv(4096)


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_who_goes_away_cancels_the_generation(stream):
    gateway = ScriptedGateway(["word "] * 500, pause_s=0.05)
    body = json.dumps({**HELLO, "stream": stream}).encode()
    head = f"content-type: application/json\r\ncontent-length: {len(body)}"
    with raw(gateway=gateway) as client:
        address = (client.base_url.host, client.base_url.port)
        with socket.create_connection(address, timeout=5) as connection:
            connection.sendall(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n".encode() + body)
            if stream:
                read_chunks(connection, 2)
            else:
                time.sleep(0.3)
        assert gateway.closed.wait(1.0)
        assert gateway.requests[0].cancel.is_set()


def test_a_finished_answer_is_not_closed_early():
    gateway = ScriptedGateway()
    with raw(gateway=gateway) as client:
        assert client.post(CHAT, json={**HELLO, "stream": True}).is_success
        assert client.post(CHAT, json=HELLO).is_success
    assert not gateway.closed.is_set()


def test_generations_do_not_block_the_server():
    streamed = {**HELLO, "stream": True}
    gateway = ScriptedGateway(["a"] * 10, pause_s=0.1)
    with raw(gateway=gateway) as client, client.stream("POST", CHAT, json=streamed) as answer:
        lines = answer.iter_lines()
        next(lines)
        started = time.monotonic()
        assert httpx.get(f"{client.base_url}/health", trust_env=False).is_success
        assert time.monotonic() - started < 0.5
        assert len(list(lines)) > 10


# Fuzz

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
names = st.sampled_from([*FIELDS, *HARMLESS, *NEUTRAL])
changes = st.dictionaries(names, json_values, max_size=3)
message_changes = st.dictionaries(
    st.sampled_from(["role", "content", "tool_calls", "tool_call_id", "name"]), json_values
)


def never_fails(client: httpx.Client, value: object) -> None:
    kind = {"content-type": "application/json"}
    answer = client.post(CHAT, content=json.dumps(value).encode(), headers=kind)
    assert answer.status_code in (200, 400), answer.text


fuzz = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(change=changes, message=message_changes)
def test_any_change_is_read_or_refused(change, message):
    messages = [{**HELLO["messages"][0], **message}]
    with contextlib.suppress(InputError):
        parse_chat({**HELLO, "messages": messages, **change}, GENEROUS)


@fuzz
@given(value=json_values)
def test_any_json_is_answered(client, value):
    never_fails(client, value)


@fuzz
@given(change=changes, message=message_changes)
def test_any_change_of_a_request_is_answered(client, change, message):
    messages = [{**HELLO["messages"][0], **message}]
    never_fails(client, {**HELLO, "messages": messages, **change})


@fuzz
@given(body=st.binary(max_size=60))
def test_any_bytes_are_answered(client, body):
    answer = client.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400


# The gateway's own


def test_our_settings_and_the_format_reach_the_gateway():
    gateway, schema = ScriptedGateway(['{"n": 1}']), {"type": "object"}
    with official(gateway=gateway) as client:
        client.chat.completions.create(
            model="lead",
            messages=[{"role": "user", "content": "x"}],
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
            extra_body={"understudy": {"cache": "off", "filter": True}},
        )
    (request,) = gateway.requests
    assert (request.cache, request.filter) == ("off", True)
    assert (request.json_mode, request.schema) == (True, schema)


@pytest.mark.parametrize(
    "field",
    [
        {"understudy": {"cache": "sometimes"}},
        {"understudy": {"filter": "yes"}},
        {"understudy": {"base_url": "http://127.0.0.1:1/v1"}},
        {"understudy": []},
        {"response_format": {"type": "xml"}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": 1}}},
        {"base_url": "http://127.0.0.1:1/v1"},
    ],
)
def test_settings_that_do_not_exist_are_refused(field):
    body = {"model": "lead", "messages": [{"role": "user", "content": "x"}], **field}
    with raw(gateway=ScriptedGateway()) as client:
        refused(client.post("/v1/chat/completions", json=body), 400)


@dataclass
class FallingGateway:
    """Answers with a second model after the first one failed midway."""

    def generate(self, request):
        yield Delta(text="Half of")
        yield Delta(restart="'a' is down")
        yield Delta(text="All of it.")
        yield Delta(generation=generation_of(request, "All of it."))


def ask(client, **more):
    body = {"model": "lead", "messages": [{"role": "user", "content": "x"}], **more}
    return client.post("/v1/chat/completions", json=body)


def test_a_stream_whose_model_failed_ends_with_an_error_and_no_second_text():
    with raw(gateway=FallingGateway()) as client:
        *_, last = events(ask(client, stream=True).text)
        whole = ask(client).json()
    assert json.loads(last)["error"]["code"] == "STREAM_BROKEN"
    assert whole["choices"][0]["message"]["content"] == "All of it."


def test_only_an_admin_revives_a_model():
    revived = []
    with raw(gateway=ScriptedGateway(), revived=revived) as client:
        refused(client.post("/v1/models/lead/revive"), 403, "FORBIDDEN")
        answer = client.post("/v1/models/lead/revive", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.json() == {"revived": "lead"}
    assert revived == ["lead"]
