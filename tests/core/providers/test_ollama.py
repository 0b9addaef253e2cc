"""Ollama's own way of talking, and the ways in which it reads less than what was sent."""

import threading
import time

import pytest

from core.errors import InputError, UnavailableError
from core.messages import GenerationParams, Message, Tool, ToolCall, Usage
from core.providers import bounded
from tests.core.providers.calls import (
    HELLO,
    KEY,
    LINES,
    completed,
    line,
    ollama_call,
    raw_server,
    target_of,
    until_left,
)

TOOL = Tool("find_table", "Finds it.", {"type": "object", "properties": {}})
SCHEMA = {"type": "object", "properties": {"table": {"type": "integer"}}}


@pytest.fixture
def answered(ollama):
    """Return what asks a server that answers with these lines."""

    def ask(*lines: bytes, **changes):
        with raw_server(LINES + b"".join(lines)) as server:
            return completed(ollama, ollama_call(server.url, **changes))

    return ask


def end(**counts) -> bytes:
    return line(done=True, done_reason="stop", **counts)


def test_what_is_asked(ollama):
    with raw_server(LINES + end()) as server:
        target = target_of(
            server.url, provider="ollama", base_url=f"{server.url}/v1/", context=4096
        )
        params = GenerationParams(0.5, 0.9, 8, 7, ("END",))
        completed(ollama, ollama_call(server.url, target=target, params=params, tools=(TOOL,)))
        head = server.requests[0].decode()
        (body,) = server.bodies()
    assert head.startswith("POST /api/chat HTTP/1.1\r\n")
    assert f"authorization: Bearer {KEY}\r\n" in head.replace("Authorization", "authorization")
    assert body == {
        "model": "lead",
        "messages": [{"role": "user", "content": "Good evening"}],
        "options": {
            "num_ctx": 4096,
            "num_predict": 8,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 7,
            "stop": ["END"],
        },
        "stream": True,
        "truncate": False,
        "shift": False,
        "tools": [TOOL.to_openai()],
    }


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, None),
        ({"json_mode": True}, "json"),
        ({"json_mode": True, "response_schema": SCHEMA}, SCHEMA),
    ],
)
def test_json_is_asked_of_the_server(ollama, asked, sent):
    with raw_server(LINES + end()) as server:
        completed(ollama, ollama_call(server.url, **asked))
        (body,) = server.bodies()
    assert body.get("format") == sent
    assert "seed" not in body["options"]
    assert "stop" not in body["options"]


def test_a_server_without_a_key_is_sent_none(ollama):
    with raw_server(LINES + end()) as server:
        target = target_of(server.url, provider="ollama", base_url=server.url, key=None)
        completed(ollama, ollama_call(server.url, target=target))
    assert b"authorization" not in server.requests[0].lower()


def test_a_conversation_with_calls_is_sent_in_its_shape(ollama):
    messages = (
        Message("system", "Be kind."),
        Message("assistant", "", (ToolCall("c1", "find_table", '{"guest": "Ada"}'),)),
        Message("tool", "table 4", (), "c1"),
        Message(
            "assistant", "Hm.", (ToolCall("c2", "seat", "{broken"), ToolCall("c3", "go", "[]"))
        ),
        Message("tool", "no", (), "unknown"),
    )
    with raw_server(LINES + end()) as server:
        completed(ollama, ollama_call(server.url, messages=messages))
        (body,) = server.bodies()
    assert body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "find_table", "arguments": {"guest": "Ada"}}}],
        },
        {"role": "tool", "content": "table 4", "tool_name": "find_table"},
        {
            "role": "assistant",
            "content": "Hm.",
            "tool_calls": [
                {"function": {"name": "seat", "arguments": {"arguments": "{broken"}}},
                {"function": {"name": "go", "arguments": {"arguments": "[]"}}},
            ],
        },
        {"role": "tool", "content": "no"},
    ]


def test_calls_in_several_lines_stay_apart(answered):
    def call(name: str, **more) -> dict:
        return {"function": {"name": name, "arguments": {"guest": "Zoë"}}, **more}

    found = answered(
        line("Well. ", message={"content": "Well. ", "tool_calls": [call("a"), call("b", id="x")]}),
        line(message={"content": "", "tool_calls": [call("a", id="x"), call("c")]}),
        end(prompt_eval_count=5, eval_count=9),
    )
    assert [call.name for call in found.tool_calls] == ["a", "b", "a", "c"]
    assert {call.arguments for call in found.tool_calls} == {'{"guest": "Zoë"}'}
    assert found.finish_reason == "tool_calls"
    assert found.text == "Well. "


def test_only_a_line_feed_ends_a_line(answered):
    raw = line("a\x85b").replace(b"\\u0085", "\x85\u2028".encode())
    assert answered(raw + b"\r\n\n", end()).text == "a\x85\u2028b"


def test_lines_may_come_in_any_pieces(ollama):
    whole = LINES + line("Zoë, ") + line("good evening") + end(prompt_eval_count=4, eval_count=3)

    def one_by_one(connection) -> None:
        for number in range(len(whole)):
            connection.sendall(whole[number : number + 1])

    with raw_server(one_by_one) as server:
        found = completed(ollama, ollama_call(server.url))
    assert found.text == "Zoë, good evening"
    assert found.usage == Usage(4, 3)
    assert found.served_model == "lead"


def test_loading_is_apart_from_the_wait_for_the_first_token(ollama):
    def load(connection) -> None:
        time.sleep(0.3)
        connection.sendall(LINES + line("Good") + end(load_duration=250_000_000, eval_count=1))

    with raw_server(load) as server:
        found = completed(ollama, ollama_call(server.url))
    assert found.timings.load_s == 0.25
    assert 0.05 <= found.timings.first_token_s <= found.timings.total_s


@pytest.mark.parametrize("load", [-1, "long", 10**30, None, True])
def test_a_time_of_loading_that_cant_be_right_is_none(answered, load):
    assert answered(line("Good"), end(load_duration=load)).timings.load_s == 0.0


# What it read of what was sent

LONG = (Message("system", "word " * 300), Message("user", "word " * 300))


@pytest.mark.parametrize(
    ("counts", "kept"),
    [
        ({"prompt_eval_count": 700, "eval_count": 8}, Usage(700, 8)),
        ({"prompt_eval_count": 600, "eval_count": 8}, Usage(600, 8)),
        ({"prompt_eval_count": 992, "eval_count": 8}, Usage(992, 8)),
        # Servers of before July 2024 tell nothing of a prompt that they had cached.
        ({"eval_count": 8}, Usage(None, 8)),
        ({"prompt_eval_count": 0, "eval_count": 8}, Usage(None, 8)),
        ({"prompt_eval_count": -5, "eval_count": 8}, Usage(None, 8)),
    ],
)
def test_a_count_that_can_be_right_is_kept(answered, counts, kept):
    assert answered(line("Good"), end(**counts), messages=LONG).usage == kept


@pytest.mark.parametrize(
    "counts",
    [
        {"prompt_eval_count": 502, "eval_count": 8},  # cut to half of num_ctx: ollama issue 17427
        {"prompt_eval_count": 1000, "eval_count": 8},  # cut to num_ctx, as the older runner does
        {"prompt_eval_count": 999, "eval_count": 30},  # shifted while it answered
        {"prompt_eval_count": 599, "eval_count": 8},  # fewer tokens than words
        {"prompt_eval_count": 12, "eval_count": 8},
    ],
)
def test_a_count_that_differs_from_what_was_sent_is_an_error(answered, counts):
    with pytest.raises(InputError, match="'far' read .* tokens, which can't be all") as raised:
        answered(line("Good"), end(**counts), messages=LONG)
    assert raised.value.failure == "context_too_long"


def test_more_words_than_the_context_has_tokens_are_not_sent(ollama):
    with raw_server(LINES + end()) as server, pytest.raises(InputError) as raised:
        completed(ollama, ollama_call(server.url, messages=(Message("user", "word " * 1001),)))
    assert raised.value.failure == "context_too_long"
    assert server.requests == []


def test_what_a_model_thought_does_not_count(answered):
    thought = f"<think>\n{'hm ' * 500}</think>Yes."
    messages = (Message("user", "Why?"), Message("assistant", thought), *HELLO)
    found = answered(line("Good"), end(prompt_eval_count=20, eval_count=3), messages=messages)
    assert found.usage == Usage(20, 3)


# Errors


def test_another_address_without_that_path_is_no_missing_model(ollama):
    gone = b"HTTP/1.1 404 Not Found\r\ncontent-length: 18\r\n\r\n404 page not found"
    with raw_server(gone) as server, pytest.raises(UnavailableError, match="check base_url"):
        completed(ollama, ollama_call(server.url))


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_an_end_in_the_middle_reaches_the_server(ollama, end):
    def begin(connection) -> None:
        connection.sendall(LINES + line("Good "))
        until_left(connection)

    with raw_server(begin) as server:
        call = ollama_call(server.url)
        stream = ollama.stream(call)
        assert next(stream) == "Good "
        if end == "close":
            stream.close()
        else:
            call.cancel.set()
            (last,) = stream
            assert (last.text, last.finish_reason) == ("Good ", "cancelled")
        assert server.left.wait(10)


def test_a_silent_server_is_left_when_the_caller_cancels(ollama):
    with raw_server(until_left) as server:
        call = ollama_call(server.url)
        threading.Timer(0.2, call.cancel.set).start()
        began = time.monotonic()
        (last,) = ollama.stream(call)
        assert time.monotonic() - began < 10 < bounded.SILENCE_S
        assert server.left.wait(10)
    assert last.finish_reason == "cancelled"


def test_a_server_is_known_by_its_address_name_and_context(ollama):
    one, other = target_of("http://a"), target_of("http://a", served_model="other")
    longer = target_of("http://a", context=2000)
    found = {ollama.identity(target) for target in (one, other, longer)}
    assert len(found) == 3
    assert ollama.identity(target_of("http://a")) in found
