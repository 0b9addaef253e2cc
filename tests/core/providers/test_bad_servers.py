"""Servers that hang, drip, break off, lie, or send what nobody asked for."""

import resource
import socket
import time

import pytest

from core.errors import AppError, GenerationError, UnavailableError
from core.messages import Usage
from core.providers import bounded
from tests.core.providers.calls import (
    DONE,
    HEAD,
    LINES,
    call_of,
    completed,
    delta,
    event,
    line,
    ollama_call,
    raw_server,
    until_left,
)

PROVIDERS = pytest.mark.parametrize("name", ["endpoint", "ollama"])


@pytest.fixture
def ask(name, request):
    """Return what asks the provider of this name for a completion."""
    provider = request.getfixturevalue(name)
    call = {"endpoint": call_of, "ollama": ollama_call}[name]
    return lambda url, **changes: completed(provider, call(url, **changes))


def head_of(name: str) -> bytes:
    return HEAD if name == "endpoint" else LINES


def piece_of(name: str, text: str) -> bytes:
    return delta(text) if name == "endpoint" else line(text)


def reply(status: str, body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"connection: close\r\n\r\n" + body


def failure_of(ask, url: str, kind: type[AppError] = AppError, **changes) -> AppError:
    with pytest.raises(kind) as raised:
        ask(url, **changes)
    return raised.value


@PROVIDERS
def test_a_server_that_never_answers_is_left_at_the_deadline(ask, name):
    with raw_server(until_left) as server:
        began = time.monotonic()
        error = failure_of(ask, server.url, UnavailableError, timeout_s=0.4)
        assert 0.4 <= time.monotonic() - began < 8
        assert server.left.wait(10)
    assert error.failure == "timeout"
    assert "'far' did not finish within 0.4 s" in str(error)


@PROVIDERS
def test_a_server_that_drips_is_left_at_the_deadline_though_never_silent(ask, name):
    def drip(connection: socket.socket) -> None:
        connection.sendall(head_of(name) + piece_of(name, "Good "))
        for byte in (b": waiting\n" if name == "endpoint" else b"         \n") * 1000:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    with raw_server(drip) as server:
        began = time.monotonic()
        error = failure_of(ask, server.url, timeout_s=0.6)
        assert time.monotonic() - began < 8
        assert server.left.wait(10)
    assert error.failure == "timeout"


@PROVIDERS
def test_a_server_that_falls_silent_is_left(ask, name, monkeypatch):
    monkeypatch.setattr(bounded, "SILENCE_S", 0.3)

    def fall_silent(connection: socket.socket) -> None:
        connection.sendall(head_of(name) + piece_of(name, "Good "))
        until_left(connection)

    with raw_server(fall_silent) as server:
        error = failure_of(ask, server.url, UnavailableError)
        assert server.left.wait(10)
    assert error.failure == "timeout"
    assert "did not answer in time" in str(error)


@PROVIDERS
def test_a_connection_that_is_reset_within_the_answer_is_said_so(ask, name):
    def break_off(connection: socket.socket) -> None:
        head = head_of(name).replace(b"connection: close", b"transfer-encoding: chunked")
        part = piece_of(name, "Good ")
        connection.sendall(head + b"%x\r\n" % len(part) + part + b"\r\n")

    with raw_server(break_off) as server:
        error = failure_of(ask, server.url, GenerationError)
    assert error.failure == "connection"
    assert str(error) == "'far' broke off while answering; try again"


@PROVIDERS
def test_a_stream_that_ends_without_saying_why_is_malformed(ask, name):
    with raw_server(head_of(name) + piece_of(name, "Good ")) as server:
        error = failure_of(ask, server.url, GenerationError)
    assert error.failure == "malformed"
    assert "broke off" in str(error)


@PROVIDERS
def test_a_connection_that_ends_before_any_answer_is_out_of_reach(ask, name):
    with raw_server(b"") as server:
        assert failure_of(ask, server.url, UnavailableError).failure == "connection"


@PROVIDERS
def test_what_is_no_http_is_out_of_reach(ask, name):
    with raw_server(b"220 mail.example ESMTP\r\n") as server:
        assert failure_of(ask, server.url, UnavailableError).failure == "connection"


BAD_EVENTS = [
    b"data: {broken\n\n",
    b"data: \x00\x00\x00\n\n",
    b"data: \xff\xfe\n\n",
    b'data: {"choices": [{"delta": {"content": "a\x00b"}}]}\n\n',
    b"data: " + b"[" * 100_000 + b"\n\n",
    b"\x00data: {}\n\n",
    b"just some words\n\n",
    event(choices="none"),
    event(choices=[{"delta": {"content": ["a"]}}]),
    event(choices=[{"delta": {"tool_calls": [{"function": {"arguments": "{}"}}]}}])
    + delta("", "stop"),
]


@pytest.mark.parametrize("name", ["endpoint"])
@pytest.mark.parametrize("sent", BAD_EVENTS)
def test_malformed_events_are_malformed(ask, name, sent):
    with raw_server(HEAD + sent + DONE) as server:
        assert failure_of(ask, server.url, GenerationError).failure == "malformed"


BAD_LINES = [
    b"{broken\n",
    b"\x00\x00\x00\n",
    b"\xff\xfe\n",
    b"[" * 100_000 + b"\n",
    b"5\n",
    b'"text"\n',
    line(message="text"),
    line(message={"content": 5}),
    line(message={"tool_calls": [{"function": {"arguments": {}}}]}),
    line(done=True, done_reason="gave up"),
    line(done=True, done_reason="load"),
    b"<html>hello</html>",
]


@pytest.mark.parametrize("name", ["ollama"])
@pytest.mark.parametrize("sent", BAD_LINES)
def test_malformed_lines_are_malformed(ask, name, sent):
    with raw_server(LINES + sent) as server:
        assert failure_of(ask, server.url, GenerationError).failure == "malformed"


@pytest.mark.parametrize("name", ["endpoint"])
@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            reply("200 OK", b"<html>Sign in</html>", "text/html; charset=utf-8"),
            "malformed",
            "web page",
        ),
        (
            reply("200 OK", b'{"choices": [{"message": {"content": "whole"}}]}'),
            "malformed",
            "stream",
        ),
        (reply("200 OK", b"{broken"), "malformed", "no JSON"),
        (reply("200 OK", b'{"error": {"message": "boom"}}'), "malformed", "while answering: boom"),
        (
            reply("200 OK", b'{"error": {"message": "x", "code": "insufficient_quota"}}'),
            "quota",
            "no credit left; check the account behind MY_KEY",
        ),
        (reply("200 OK", b'{"error": {"message": "x", "code": 503}}'), "overloaded", "overloaded"),
        (reply("200 OK", b'{"error": "x", "status": 429}'), "malformed", "x"),
        (reply("307 Temporary Redirect", b""), "not_found", "redirect; check base_url"),
        (
            reply("500 Internal Server Error", b"<html>oops</html>", "text/html"),
            "overloaded",
            "failed",
        ),
        (reply("429 Too Many Requests", b""), "rate_limit_minute", "limit; try again later"),
        (reply("429 Too Many Requests", b"slow down", "text/plain"), "rate_limit_minute", "later"),
    ],
)
def test_answers_that_are_no_streams(ask, name, answer, kind, said):
    with raw_server(answer) as server:
        error = failure_of(ask, server.url)
        assert len(server.requests) == 1
    assert error.failure == kind
    assert said in str(error)


@pytest.mark.parametrize("name", ["endpoint"])
@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": -3, "completion_tokens": 2}, Usage(None, 2)),
        ({"prompt_tokens": 5, "completion_tokens": -1}, Usage(5, None)),
        ({"prompt_tokens": "many", "completion_tokens": 2.5}, Usage(None, None)),
        ({"prompt_tokens": 10**15, "completion_tokens": True}, Usage(None, None)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(None, None)),
        ("lots", Usage(None, None)),
        ([1, 2], Usage(None, None)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "more": {}}, Usage(5, 2)),
    ],
)
def test_a_count_that_cant_be_right_is_unknown(ask, name, usage, read):
    with raw_server(HEAD + delta("Good", "stop") + event(choices=[], usage=usage) + DONE) as server:
        assert ask(server.url).usage == read


@pytest.mark.parametrize("name", ["endpoint"])
@pytest.mark.parametrize(
    ("model", "read"), [("gpt-cheap", "gpt-cheap"), (None, None), (7, None), ("", None)]
)
def test_the_model_that_says_it_answered_is_recorded(ask, name, model, read):
    with raw_server(HEAD + delta("Good", "stop", model=model) + DONE) as server:
        found = ask(server.url)
    assert found.served_model == read
    assert found.model.id == "far"


def grown_mb(began: int) -> float:
    """Return by how much this process's peak of memory has grown, in MB."""
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began) / 1024


class SmallSocket(socket.socket):
    """A socket whose buffers hold little, so that what was sent is about what was read."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            self.setsockopt(socket.SOL_SOCKET, buffer, 65536)


@PROVIDERS
@pytest.mark.parametrize("kind", ["line", "lines", "refusal"])
def test_fifty_megabytes_are_not_read(ask, name, kind, monkeypatch):
    monkeypatch.setattr(socket, "socket", SmallSocket)
    starts = {
        "line": head_of(name) + b"data: ",
        "lines": head_of(name),
        "refusal": b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n",
    }
    part = (b": nothing\n" if name == "endpoint" else b"         \n") * 6554
    part = part if kind == "lines" else b"x" * 65536
    sent = 0

    def flood(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(starts[kind])
        for _ in range(50 * 16):
            connection.sendall(part)
            sent += len(part)

    began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with raw_server(flood) as server:
        error = failure_of(ask, server.url)
        assert server.left.wait(10)
    assert error.failure == ("refused" if kind == "refusal" else "malformed")
    assert sent < (1_000_000 if kind == "refusal" else 10_000_000)
    assert grown_mb(began) < 48
