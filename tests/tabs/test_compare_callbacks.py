import gc
import itertools
import json
import threading
import warnings
from contextlib import closing

import gradio as gr
import pytest
from starlette.requests import Request

from core.access import Access
from core.errors import InputError, ModelNotAllowedError, NotFoundError
from core.services import make_services
from core.settings import PROJECT, Settings
from tabs.compare_callbacks import CompareCallbacks
from tabs.compare_markup import ComparePages
from tabs.compare_parts import CompareParts
from tabs.compare_sides import lay_out
from tabs.compare_talk import Talk
from tabs.stops import Stops
from tests.actors import NORTH, SOUTH, WEST, with_actors

pytestmark = [
    # Gradio's pages leave their event loop to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
SUMS = "description: Sums.\nscorer: gsm8k\nmetrics: [gsm8k]\nparams: {max_tokens: 4}\n"


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The section's parts on a cast of scripted models."""
    home = tmp_path_factory.mktemp("compare")
    (home / "tasks").mkdir()
    (home / "tasks" / "sums.yaml").write_text(SUMS, encoding="utf-8")
    row = {"id": "one", "input": "the same sum?", "target": "2"}
    (home / "tasks" / "sums.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    with closing(make_services(Settings.from_env({"UNDERSTUDY_HOME": str(home)}))) as services:
        yield CompareParts(
            gateway=with_actors(services).gateway,
            access=Access(b"0123456789abcdef", admin_token=None, trust_loopback=False),
            home=home,
            pages=ComparePages(PROJECT / "assets" / "pages"),
            stops=Stops(),
            votes=None,  # Other sections'.
        )


@pytest.fixture(scope="module")
def page(parts):
    """The section's widgets and callbacks, with nobody serving them."""
    with gr.Blocks() as blocks:
        tabs = gr.Tabs()
        widgets, _ = lay_out(parts)
        callbacks = CompareCallbacks(parts, widgets, tabs)
    made = [Page(parts, widgets, callbacks, tabs)]
    yield made[0]
    with warnings.catch_warnings():
        # Gradio's pages leave their event loop to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        made.clear()
        del blocks, tabs, widgets, callbacks
        gc.collect()


class Page:
    """One visitor's page: remembers what was shown, and sends it back with what is changed."""

    def __init__(self, parts, widgets, callbacks, tabs):
        self.parts, self.w, self.callbacks, self.tabs = parts, widgets, callbacks, tabs

    def another(self):
        return Page(self.parts, self.w, self.callbacks, self.tabs)

    def open(self, query="", cookie=None):
        self.cookie = cookie or self.parts.access.visitor_cookie(False).split(";")[0]
        self.request = request_of(self.cookie, query)
        self.values = {widget: widget.value for widget in self.w.asked() | {self.w.task}}
        self.shown = {}
        self.show(self.callbacks.on_load(self.request))
        return self

    def show(self, update):
        for widget, value in update.items():
            self.shown[widget] = value
            if isinstance(value, dict) and value.get("__type__") == "update":
                value = value.get("value", self.values.get(widget))
            self.values[widget] = value

    def send(self, prompt, **options):
        self.values[self.w.prompt] = prompt
        return self.follow(self.callbacks.on_send(self.values, self.request))

    def follow(self, updates):
        count = 0
        for update in updates:
            self.show(update)
            count += 1
        return count

    def models(self, *names):
        for side, name in zip(self.w.sides, names, strict=False):
            self.values[side.model] = name
        self.values[self.w.count] = str(len(names))
        return self

    def talk(self, place):
        return texts(self.shown[self.w.sides[place].chatbot]["value"])

    @property
    def result(self):
        return self.shown[self.w.result]


def texts(entries):
    """Return what was said, without figures."""
    return [entry["content"].strip() for entry in entries if "metadata" not in entry]


def request_of(cookie, query):
    scope = {
        "type": "http",
        "headers": [(b"cookie", cookie.encode())],
        "query_string": query.encode(),
        "client": ("127.0.0.1", 1),
    }
    return gr.Request(Request(scope))


def test_models_answer_side_by_side_and_what_differs_is_shown(page):
    page.open().models(NORTH, WEST)
    assert page.send("Who comes?") > 2
    assert page.talk(0)[0] == "Who comes?"
    assert page.talk(0)[1].startswith("north0")
    assert page.talk(1)[1].startswith("west0")
    assert f"{WEST}</" in page.result
    assert "<del>north0" in page.result
    assert page.values[page.w.prompt] == ""


def test_the_next_turn_goes_on_and_retry_replaces_the_last_answers(page):
    page.open().models(NORTH, SOUTH)
    page.send("first")
    page.send("second")
    assert [text[:6] for text in page.talk(0)] == ["first", "north0", "second", "north0"]
    page.follow(page.callbacks.on_retry(page.values, page.request))
    assert [text[:6] for text in page.talk(1)] == ["first", "south0", "second", "south0"]
    with pytest.raises(InputError, match="new comparison"):
        page.models(NORTH, SOUTH, WEST).send("third")
    page.show(page.callbacks.on_new(page.values[page.w.state]))
    assert page.talk(0) == []
    assert page.result == ""


def test_four_sides_may_be_the_same_model(page):
    page.open().models(NORTH, NORTH, NORTH, NORTH).send("the same")
    assert page.result.count("The same answer") == 3
    assert f"{NORTH} (4)" in page.result


def test_stop_ends_all_answers_and_keeps_what_came(page):
    page.open().models(NORTH, SOUTH)
    page.values[page.w.prompt] = "a long one"
    updates = page.callbacks.on_send(page.values, page.request)
    for update in updates:
        page.show(update)
        if "south1" in str(page.shown[page.w.sides[1].chatbot]):
            page.callbacks.on_stop(page.values[page.w.state])
            break
    page.follow(updates)
    assert "stopped" in page.result
    assert page.talk(1)[1].startswith("south0")


def test_while_answers_are_written_another_question_is_refused(page):
    page.open().models(NORTH, SOUTH)
    page.values[page.w.prompt] = "a long one"
    with closing(page.callbacks.on_send(page.values, page.request)) as updates:
        page.show(next(updates))
        with pytest.raises(InputError, match="still being written"):
            page.send("me too")
    page.send("and now?")
    assert page.talk(0)[0] == "and now?"


def test_two_visitors_compare_at_once_and_share_nothing(page):
    one, other = page.open().models(NORTH, SOUTH), page.another().open().models(SOUTH, NORTH)
    one.values[one.w.prompt] = "a long one of mine"
    with closing(one.callbacks.on_send(one.values, one.request)) as updates:
        one.show(next(updates))
        other.send("who comes?")
        assert "mine" not in str(other.shown)
        assert other.talk(0)[0] == "who comes?"
        one.callbacks.on_stop(one.values[one.w.state])
        one.follow(updates)
    assert one.talk(0)[0] == "a long one of mine"
    assert "who comes?" not in str(one.shown)


def test_a_visitor_has_no_more_places_at_once_than_anywhere_else(page):
    one = page.open().models(SOUTH, SOUTH, SOUTH, SOUTH)
    second = page.another().open(cookie=one.cookie).models(NORTH, SOUTH)
    one.values[one.w.prompt] = "a long one"
    with closing(one.callbacks.on_send(one.values, one.request)) as updates:
        for update in updates:
            one.show(update)
            if all("0-" in str(one.shown[side.chatbot]) for side in one.w.sides):
                break
        second.send("me too")
    assert str(second.shown).count("No answer: too many requests at once") == 2


def test_leaving_the_page_ends_the_generations(page):
    page.open().models(NORTH, SOUTH)
    page.values[page.w.prompt] = "a long one"
    updates = page.callbacks.on_send(page.values, page.request)
    for update in itertools.islice(updates, 3):
        page.show(update)
    updates.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("sides")]


def test_a_side_that_fails_leaves_the_others_alone(page):
    page.open().models(NORTH, SOUTH).send("fail please")
    assert page.talk(0)[1].startswith("north0")
    assert "No answer:" in str(page.shown[page.w.sides[1].chatbot])
    assert "beside" not in page.result


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda p: p.models(NORTH, "<script>"), ModelNotAllowedError),
        (lambda p: p.values.update({p.w.count: "9"}), InputError),
        (lambda p: p.values.update({p.w.count: ["2"]}), InputError),
        (lambda p: p.values.update({p.w.tools: "{"}), InputError),
        (lambda p: p.values.update({p.w.parameters.temperature: "hot"}), InputError),
        (lambda p: p.values.update({p.w.parameters.max_tokens: 10**9}), InputError),
        (lambda p: p.values.update({p.w.prompt: "x" * 100_000}), InputError),
    ],
)
def test_what_a_browser_should_never_send_is_refused_before_any_work(page, change, error):
    page.open().models(NORTH, SOUTH)
    page.values[page.w.prompt] = "hello"
    change(page)
    with pytest.raises(error):
        next(page.callbacks.on_send(page.values, page.request))


def test_a_random_item_is_asked_with_its_options_and_judged_by_its_scorer(page):
    page.open().models(NORTH, SOUTH)
    page.show(page.callbacks.on_item(page.values[page.w.state], "sums"))
    assert page.values[page.w.prompt] == "the same sum?"
    assert page.values[page.w.parameters.max_tokens] == 4
    assert "Item one of sums" in page.values[page.w.notice]
    page.send(page.values[page.w.prompt])
    assert page.result.count("gsm8k 0.000") == 2
    assert "sums, asked as a run asks it; the task's own scorer marked" in page.result
    page.send("and the same again?")
    assert "gsm8k" not in page.result


def test_a_changed_item_is_no_longer_the_scorer_s(page):
    page.open().models(NORTH, SOUTH)
    page.show(page.callbacks.on_item(page.values[page.w.state], "sums"))
    page.send("the same, changed")
    assert "its scorer does not mark it" in page.values[page.w.notice]
    assert "gsm8k" not in page.result


@pytest.mark.parametrize("task", ["", "nowhere", "../sums", None, ["sums"]])
def test_a_task_that_is_none_is_refused(page, task):
    with pytest.raises((InputError, NotFoundError)):
        page.open().callbacks.on_item(Talk(), task)


def test_a_link_fills_the_page_and_asks_nobody(page):
    page.open(f"compare={WEST},{NORTH},{WEST}&prompt=Who%20comes%3F")
    assert [page.values[side.model] for side in page.w.sides[:3]] == [WEST, NORTH, WEST]
    assert page.values[page.w.count] == "3"
    assert page.values[page.w.prompt] == "Who comes?"
    assert page.shown[page.tabs]["selected"] == "compare"
    assert page.talk(0) == []
    assert page.values[page.w.state].turn == 0


def test_a_link_with_one_model_and_an_item_adds_another_model(page):
    page.open(f"compare={NORTH}&task=sums&item=one")
    assert page.values[page.w.sides[0].model] == NORTH
    assert page.values[page.w.sides[1].model] not in ("", NORTH)
    assert page.values[page.w.prompt] == "the same sum?"


@pytest.mark.parametrize(
    "query",
    ["compare=nobody,lead", f"compare={NORTH}&task=nowhere", f"compare={NORTH}&task=sums&item=x"],
)
def test_a_link_that_can_t_be_opened_says_why(page, query):
    page.open(query)
    assert "This link can't be opened as it is" in page.values[page.w.notice]
    assert page.shown[page.tabs]["selected"] == "compare"


def test_without_a_link_the_page_opens_as_it_is(page):
    page.open("leaderboard=all")
    assert page.tabs not in page.shown
    assert page.values[page.w.state].key
