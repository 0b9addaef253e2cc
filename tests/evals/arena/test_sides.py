import threading
from contextlib import closing
from dataclasses import replace

import pytest
import yaml

from core.errors import AppError, InputError
from core.messages import GenerationParams, GenerationRequest, Message
from core.services import make_services
from core.settings import Settings
from evals.arena.sides import NOTHING, run_sides
from tests.core.providers.calls import DONE, HEAD, delta, raw_server, until_left
from tests.fakes import FailingGateway, ScriptedGateway
from tests.tiny_models import CONTEXT

WORDS = [f"word{n} " for n in range(12)]
HELLO = (Message("user", "Good evening"),)


class SlowServer:
    """Says a word whenever the test lets it, or none and waits until its caller leaves."""

    def __init__(self) -> None:
        self.turn = threading.Semaphore(0)
        self.is_silent = False
        self.said = 0
        """Characters that were sent, counted before they are."""

    def answer(self, connection) -> None:
        connection.sendall(HEAD)
        if self.is_silent:
            until_left(connection)
        for word in WORDS:
            self.turn.acquire()
            self.said += len(word)
            connection.sendall(delta(word))
        connection.sendall(delta("", "stop") + DONE)


@pytest.fixture(scope="module")
def server():
    slow = SlowServer()
    with raw_server(slow.answer) as raw:
        slow.raw = raw
        yield slow


@pytest.fixture(scope="module")
def services(tmp_path_factory, tiny_folder, adapter_folder, server):
    """A tiny model of this disk with an adapter, and one on a server."""
    home = tmp_path_factory.mktemp("sides")
    far = {"provider": "endpoint", "base_url": f"{server.raw.url}/v1", "context": 1000}
    local = {"provider": "local", "path": str(tiny_folder), "context": CONTEXT}
    catalog = {
        "models": {"tiny": local, "far": {**far, "served_model": "far"}},
        "adapters": {"tiny": {"v1": {"path": str(adapter_folder)}}},
        "default_model": "tiny",
    }
    (home / "catalog.yaml").write_text(yaml.safe_dump(catalog), encoding="utf-8")
    with closing(make_services(Settings.from_env({"UNDERSTUDY_HOME": str(home)}))) as made:
        yield made


@pytest.fixture(autouse=True)
def fresh_server(server):
    server.turn, server.is_silent, server.said = threading.Semaphore(0), False, 0
    server.raw.left.clear()


def request(model, **changes):
    params = GenerationParams(max_tokens=changes.pop("max_tokens", 40))
    made = GenerationRequest(model=model, messages=HELLO, params=params, caller="test")
    return replace(made, cache="off", **changes)


def sides(services, *requests, is_level):
    stop = threading.Event()
    return run_sides(services.gateway, requests, is_level=is_level, stop=stop), stop


def test_level_frames_let_out_the_same_number_of_characters_and_end_together(services, server):
    frames, _ = sides(services, request("tiny"), request("far"), is_level=True)
    seen = []
    for frame in frames:
        seen.append((*frame, server.said))
        server.turn.release()
    assert seen[0][:2] == (NOTHING, NOTHING)
    *before, (tiny, far, _) = seen
    for a, b, sent in before:
        for side in (a, b):
            assert replace(side, text="", call_text="") == NOTHING
        assert len(a.text) <= sent, "the fast side runs ahead of the slow one"
        assert len(a.text) == len(b.text) or min(len(a.text), len(b.text)) in ends(tiny, far)
    assert tiny.is_complete
    assert far.is_complete
    assert (tiny.text, far.text) == (tiny.generation.text, "".join(WORDS))
    assert tiny.generation.model.id == "tiny"


def ends(*frames):
    """Return the lengths at which sides have nothing more to show."""
    return {len(frame.text) for frame in frames}


def test_otherwise_each_side_is_complete_as_soon_as_it_is(services, server):
    frames, _ = sides(services, request("tiny"), request("far"), is_level=False)
    last = None
    for tiny, far in frames:
        if tiny.is_complete and not far.is_complete:
            server.turn.release(len(WORDS))
            last = tiny
        elif not tiny.is_complete:
            assert not far.is_complete
    assert last is not None
    assert (tiny.generation, far.text) == (last.generation, "".join(WORDS))


@pytest.mark.parametrize("is_level", [True, False], ids=["level", "as they come"])
def test_stop_ends_every_generation_and_keeps_what_came(services, server, is_level):
    asked = [request("tiny", max_tokens=1024), request("tiny@v1", max_tokens=1024)]
    frames, stop = sides(services, *asked, is_level=is_level)
    shown = None
    for frame in frames:
        if frame[0].text and frame[1].text and not stop.is_set():
            shown = frame
            stop.set()
    assert shown is not None
    for before, last in zip(shown, frame, strict=True):
        assert last.generation.finish_reason == "cancelled"
        assert last.generation.usage.output_tokens < 1024
        assert last.text.startswith(before.text)
        assert last.text == before.text or not is_level


def test_closing_it_cancels_the_engine_rows_and_the_server_call(services, server):
    server.is_silent = True
    asked = [request("tiny", max_tokens=1024, caller="closing"), request("far", caller="closing")]
    frames, stop = sides(services, *asked, is_level=False)
    for frame in frames:
        if frame[0].text:
            break
    frames.close()
    assert stop.is_set()
    assert server.raw.left.wait(10)
    traces = [services.ledger.show(trace.id) for trace in services.ledger.list(9, "closing")]
    ends = {span.attributes["model"]["id"]: span.attributes for t in traces for span in t.spans[:1]}
    assert ends["tiny"]["finish_reason"] == ends["far"]["finish_reason"] == "cancelled"
    assert ends["tiny"]["usage"]["output_tokens"] < 1024


@pytest.mark.parametrize("is_level", [True, False], ids=["level", "as they come"])
def test_a_side_that_fails_says_why_and_the_others_go_on(services, is_level):
    frames, _ = sides(services, request("nobody"), request("tiny"), is_level=is_level)
    *before, (failed, tiny) = frames
    assert isinstance(failed.error, AppError)
    assert (failed.is_complete, failed.generation) == (True, None)
    assert tiny.text == tiny.generation.text
    if is_level:
        assert not any(frame.error or frame.is_complete for pair in before for frame in pair)


def test_a_bug_ends_the_others_and_is_raised():
    stop = threading.Event()
    failing = FailingGateway(RuntimeError("a bug"), ["some"])
    with pytest.raises(RuntimeError, match="a bug"):
        list(run_sides(failing, [request("x")], is_level=False, stop=stop))
    assert stop.is_set()


def test_a_whole_run_leaves_stop_alone():
    stop = threading.Event()
    *_, (one, two) = run_sides(
        ScriptedGateway(), [request("lead"), request("understudy")], is_level=True, stop=stop
    )
    assert one.text == two.text == "Good evening."
    assert not stop.is_set()


@pytest.mark.parametrize("count", [0, 5])
def test_the_number_of_sides_is_bounded(count):
    asked = [request("lead")] * count
    with pytest.raises(InputError, match="1 to 4 models"):
        run_sides(ScriptedGateway(), asked, is_level=False, stop=threading.Event())
