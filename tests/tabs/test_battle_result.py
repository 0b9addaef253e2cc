"""After the vote: what differs between the answers, and the scorer's word where there is one."""

import gc
import json
import threading
import warnings
from contextlib import closing
from dataclasses import replace

import gradio as gr
import pytest
from starlette.requests import Request

from core.access import Access
from core.messages import ToolCall
from core.services import make_services
from core.settings import PROJECT, Settings
from core.store import open_store
from core.store.battle_records import Ballot, SideEnd
from core.store.battles import Battles
from evals.arena.shown import Ask, Reveal
from evals.grading import GradingFailure
from evals.sample import Score
from tabs.battle import build_battle
from tabs.battle_result import marks_of, verdict_json
from tabs.battle_view import BattleState
from tabs.vote_pages import VotePages
from tabs.vote_parts import make_vote_parts
from tests.actors import with_actors
from tests.fought import made, new_battle

pytestmark = [
    # Gradio's pages leave their event loop to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
BAD = "<img src=x onerror=alert(1)>"
PAGES = VotePages(PROJECT / "assets" / "pages")
SUMS = "description: Sums.\nscorer: gsm8k\nmetrics: [gsm8k]\nparams: {max_tokens: 4}\n"


def reveal_of(url, one, other, **changes):
    """Return the reveal of a battle in which two models said this."""
    with closing(open_store(url)) as store:
        battles, new = Battles(store), new_battle(**changes)
        battle_id = battles.begin(new)
        battles.start([new.voter], battle_id)
        battles.finish(battle_id, SideEnd(one), SideEnd(other))
        return Reveal.of(battles.vote([new.voter], battle_id, Ballot("tie"), lambda *_: None))


def test_answers_are_compared_as_side_by_side_and_stay_text(sqlite_url):
    reveal = reveal_of(sqlite_url, made("one", f"{BAD} one"), made("two", f"{BAD} two"))
    html = PAGES.differences(reveal)
    assert "<img" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;<del> one</del>" in html
    assert "<ins> two</ins>" in html
    assert "B, two" in html
    json_pair = made("one", '{"table": 4}'), made("two", '{"table": 5}')
    assert '<tr class="cmp-differs">' in PAGES.differences(reveal_of(sqlite_url, *json_pair))
    calls = [replace(made(m, ""), tool_calls=(ToolCall("1", m, "{}"),)) for m in ("one", "two")]
    assert "<del><code>one</code></del>" in PAGES.differences(reveal_of(sqlite_url, *calls))


def test_a_scorer_s_word_stands_with_each_side_and_a_lost_task_says_so(sqlite_url, tmp_path):
    answers = made("one", "2"), made("two", "3")
    reveal = reveal_of(sqlite_url, *answers, task="gone", item="1")
    html = PAGES.side(reveal.a, Score({"m": 0.0}, failure=f"wrong {BAD}"), "m")
    assert "m 0.000, wrong &lt;img" in html
    assert "scorer" not in PAGES.side(reveal.a)
    marks = marks_of(tmp_path, reveal)
    assert isinstance(marks.a, GradingFailure)
    assert "no task named 'gone'" in verdict_json(marks.b)["problem"]
    assert marks_of(tmp_path, reveal_of(sqlite_url, *answers)) == ("", None, None)


@pytest.fixture
def section(tmp_path):
    """Return the section's parts and its events, with nobody serving them."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "sums.yaml").write_text(SUMS, encoding="utf-8")
    row = {"id": "one", "input": "1 + 1?", "target": "2"}
    (tmp_path / "tasks" / "sums.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    access = Access(b"0123456789abcdef", admin_token=None, trust_loopback=False)
    with closing(make_services(Settings.from_env({"UNDERSTUDY_HOME": str(tmp_path)}))) as services:
        parts = make_vote_parts(with_actors(services), access).battle
        with gr.Blocks() as blocks:
            build_battle(parts)
        yield parts, {fn.api_name: fn.fn for fn in blocks.fns.values()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del blocks
            gc.collect()


def test_a_vote_on_an_item_shows_differences_and_then_the_marks(section):
    parts, events = section
    cookie = parts.access.visitor_cookie(False).split(";")[0]
    scope = {
        "type": "http",
        "headers": [(b"cookie", cookie.encode())],
        "query_string": b"",
        "client": ("127.0.0.1", 1),
    }
    request = gr.Request(Request(scope))
    visitor = parts.visitor(request)
    ticket = parts.arena.begin(visitor, Ask(task="sums", item="one"))
    list(parts.arena.stream(visitor, ticket.id, threading.Event()))

    vote = events["battle_choose_tie"](BattleState(battle=ticket.id), [], request)
    first, second = ({w.elem_id: value for w, value in update.items()} for update in vote)
    assert first["battle-result"]["visible"] is True
    assert "struck through" in first["battle-result"]["value"]
    assert "gsm8k" not in first["reveal-a"]["value"]
    for side in ("reveal-a", "reveal-b"):
        assert "gsm8k 0.000" in second[side]["value"]
        assert "visible" not in second[side], "another battle may have hidden it meanwhile"
