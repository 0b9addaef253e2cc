"""Answers that were recorded, found again by what was asked."""

import json
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import NotFoundError, StorageError, UnavailableError
from core.messages import GenerationParams, Message, ModelRef, Tool, ToolCall, Usage
from core.providers.base import Completion, ProviderCall
from core.providers.replay import (
    PREFIX,
    WORD,
    RecordingProvider,
    ReplayProvider,
    record,
    request_digest,
)
from tests.core.providers.calls import call_of, completed, target_of
from tests.fakes import ScriptedProvider

TEXT = " Good evening,\n\n  Ada. \n"
TOOL = Tool("find_table", "Finds it.", {"type": "object"})
CALL = ToolCall("c1", "find_table", '{"guest": "Ada"}')


class Answering(ScriptedProvider):
    """A provider that can be recorded."""

    def identity(self, target) -> str | None:
        return "weights"


def replayed(path: Path, **changes) -> ProviderCall:
    model = changes.pop("served_model", None)
    target = target_of("http://x", provider="replay", path=str(path), served_model=model)
    return call_of("http://x", target=target, **changes)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "recorded.jsonl"


def recorded(path: Path, text: str = TEXT, **changes) -> Completion:
    provider = Answering(events=(text[:5], text[5:]), tool_calls=(CALL,))
    return completed(RecordingProvider(provider, path), call_of("http://x", **changes))


def test_an_answer_comes_back_as_it_was_and_says_that_it_is_a_replay(path):
    original = recorded(path)
    provider = ReplayProvider()
    call = replayed(path)
    found = completed(provider, call)
    assert found.model.id == "far"
    assert found.model.digest.startswith(PREFIX)
    assert found.model.digest == provider.identity(call.target)
    assert replace(found, model=original.model, served_model=None) == original
    assert found.served_model == "far"


def test_a_row_says_everything_to_people(path):
    recorded(path, messages=(Message("user", "Onde está a mesa?"),))
    (line,) = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(line)
    assert list(row) == [
        *("digest", "model", "request", "text", "tool_calls", "usage", "finish_reason"),
        *("timings", "recorded_at"),
    ]
    assert "Onde está a mesa?" in line
    assert row["tool_calls"] == [{"id": "c1", "name": "find_table", "arguments": CALL.arguments}]


def test_an_unknown_request_says_how_to_record_it(path):
    recorded(path)
    call = replayed(path, messages=(Message("user", "Something else"),))
    with pytest.raises(NotFoundError, match="--record") as raised:
        completed(ReplayProvider(), call)
    assert raised.value.failure == "not_found"
    assert request_digest(call)[:12] in str(raised.value)


def test_the_later_answer_counts_and_a_changed_file_is_read_again(path):
    recorded(path, "first")
    provider = ReplayProvider()
    assert completed(provider, replayed(path)).text == "first"
    before = provider.identity(replayed(path).target)
    recorded(path, "second")
    assert completed(provider, replayed(path)).text == "second"
    assert provider.identity(replayed(path).target) != before


def test_one_file_may_hold_what_several_models_answered(path):
    other = replace(target_of("http://x"), id="other", model_id="other")
    recorded(path, "of far")
    recorded(path, "of other", target=other)
    assert completed(ReplayProvider(), replayed(path, served_model="far")).text == "of far"
    assert completed(ReplayProvider(), replayed(path)).text == "of other"
    with pytest.raises(NotFoundError):
        completed(ReplayProvider(), replayed(path, served_model="third"))


def conversation(first: str, second: str) -> tuple[Message, ...]:
    calls = (ToolCall(first, "a", "{}"), ToolCall(second, "b", "{}"))
    results = (Message("tool", "1", (), first), Message("tool", "2", (), second))
    return (Message("user", "Hi"), Message("assistant", "", calls), *results)


def test_ids_of_tool_calls_do_not_count_but_their_order_does():
    one = call_of("http://x", messages=conversation("x", "y"))
    same = call_of("http://y", messages=conversation("3f2a", "77b1"))
    other = call_of("http://x", messages=(*conversation("x", "y")[:2], *conversation("y", "x")[2:]))
    assert request_digest(one) == request_digest(same)
    assert request_digest(one) != request_digest(other)


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (Message("user", "Good  evening"),)},
        {"messages": (Message("system", "Good evening"),)},
        {"tools": (TOOL,)},
        {"params": GenerationParams(max_tokens=9)},
        {"params": GenerationParams(0.1, max_tokens=8)},
        {"params": GenerationParams(seed=1, max_tokens=8)},
        {"params": GenerationParams(stop=("x",), max_tokens=8)},
        {"json_mode": True},
        {"response_schema": {"type": "object"}},
    ],
)
def test_what_shapes_an_answer_counts(change):
    assert request_digest(call_of("http://x", **change)) != request_digest(call_of("http://x"))


@pytest.mark.parametrize(
    "change",
    [
        {"cancel": threading.Event()},
        {"timeout_s": 3.0},
        {"target": target_of("http://elsewhere", served_model="other")},
        {"params": GenerationParams(temperature=0, max_tokens=8)},
    ],
)
def test_what_does_not_shape_it_does_not(change):
    assert request_digest(call_of("http://x", **change)) == request_digest(call_of("http://x"))


def test_a_failure_and_a_cancelled_answer_are_not_recorded(path):
    failing = Answering(error=UnavailableError("down"))
    with pytest.raises(UnavailableError):
        completed(RecordingProvider(failing, path), call_of("http://x"))
    call = call_of("http://x")
    call.cancel.set()
    assert completed(RecordingProvider(Answering(), path), call).finish_reason == "cancelled"
    assert not path.exists()


def test_closing_the_recording_closes_what_is_recorded(path):
    provider = Answering()
    with closing(RecordingProvider(provider, path).stream(call_of("http://x"))) as events:
        next(events)
    assert provider.closed == 1
    assert not path.exists()


def test_a_recording_provider_is_known_as_what_it_records(path):
    assert RecordingProvider(Answering(), path).identity(call_of("http://x").target) == "weights"


def test_a_replay_can_be_cancelled(path):
    recorded(path)
    call = replayed(path)
    stream = ReplayProvider().stream(call)
    assert next(stream) == " Good"
    call.cancel.set()
    (last,) = stream
    assert (last.text, last.finish_reason, last.tool_calls) == (" Good", "cancelled", ())
    assert last.usage == Usage(None, None)


@given(st.text(max_size=40))
def test_the_pieces_of_a_text_are_the_text(text):
    assert "".join(WORD.findall(text)) == text


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
with Path(sys.argv[2]).open("ab") as file:
    file.write(b'{"digest": "torn')
    file.flush()
    os.kill(os.getpid(), 9)
"""


def test_a_line_that_a_killed_process_left_is_taken_away(path):
    recorded(path, "first")
    root = str(Path(__file__).resolve().parents[3])
    killed = subprocess.run([sys.executable, "-c", KILLED, root, str(path)], check=False)
    assert killed.returncode == -9
    assert completed(ReplayProvider(), replayed(path)).text == "first"
    recorded(path, "second")
    assert len(path.read_bytes().splitlines()) == 2
    assert completed(ReplayProvider(), replayed(path)).text == "second"


def test_threads_write_whole_lines(path):
    def write(number: int) -> None:
        recorded(path, "x" * 10_000, messages=(Message("user", str(number)),))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number in range(20):
        call = replayed(path, messages=(Message("user", str(number)),))
        assert completed(ReplayProvider(), call).text == "x" * 10_000


def test_half_a_surrogate_pair_can_be_recorded(path):
    recorded(path, "a\ud83d", messages=(Message("user", "b\ud83d"),))
    call = replayed(path, messages=(Message("user", "b\ud83d"),))
    assert completed(ReplayProvider(), call).text == "a\ufffd"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{broken}\n", "line 1"),
        (b"\n{}\n", "line 2: digest"),
        (b"\xff\n", "line 1"),
        (b'{"digest": "x", "unknown": 1}\n', "line 1: "),
    ],
)
def test_a_damaged_file_says_where(path, content, said):
    path.write_bytes(content)
    with pytest.raises(StorageError, match=said):
        completed(ReplayProvider(), replayed(path))
    assert ReplayProvider().identity(replayed(path).target) is None


def test_a_file_that_is_not_there(path):
    with pytest.raises(StorageError, match="can't be read: No such file"):
        completed(ReplayProvider(), replayed(path))
    answer = Completion("", ModelRef("m", None), None, Usage(1, 1), recorded(path).timings, "stop")
    with pytest.raises(StorageError, match="can't be written: No such file"):
        record(call_of("http://x"), answer, path.parent / "none" / "x.jsonl")
