from dataclasses import replace
from urllib.parse import parse_qsl

import pytest

from core.catalog_files import load_catalog
from core.chats import Person
from core.errors import AppError, InputError, ModelNotAllowedError
from core.messages import GenerationParams, GenerationRequest, Message, Tool, ToolCall
from core.settings import PROJECT
from evals.arena.items import Item
from evals.arena.sides import SideFrame
from evals.grading import GradingFailure
from evals.leaderboard import make_board
from evals.leaderboard_items import ItemFilter, ItemReader
from evals.leaderboard_runs import RunIndex
from evals.sample import Score
from tabs.compare_link import MAX_PROMPT, CompareLink, link_of
from tabs.compare_markup import ComparePages, compared, verdict_text
from tabs.compare_page import asked_entries, entries_of, making
from tabs.compare_talk import Asked, SideOptions, Talk, Turn
from tabs.leaderboard_markup import LeaderboardPages
from tabs.leaderboard_page import chosen_cells
from tabs.leaderboard_view import View
from tests.evals.leaderboard_home import write_run
from tests.fakes import generation_of

PAGES = PROJECT / "assets" / "pages"
BAD = "<img src=x onerror=alert(1)>"
PERSON = Person("ada")
TWO = Asked(
    sides=(SideOptions("lead"), SideOptions("understudy", system="Be brief.", filter=True)),
    params=GenerationParams(temperature=0.7),
    system="You are the desk.",
)
ITEM = Item(
    task="sums",
    id="one",
    messages=(Message("system", "Count."), Message("user", "1 + 1?")),
    tools=(),
    params=GenerationParams(max_tokens=4, stop=(".",)),
    metrics=("gsm8k",),
)


AS_RUN = Asked(
    sides=(SideOptions("lead"), SideOptions("understudy")),
    params=GenerationParams(max_tokens=4),
    system="Count.",
)


def said(text, model="lead", calls=()):
    request = GenerationRequest(model, (), GenerationParams(), "test")
    return generation_of(request, text, calls)


def frame(text, **changes):
    return SideFrame("", True, None if changes else said(text), changes.get("error"))


def talk_of(*answers, item=None):
    """Return a comparison in which each side has answered one question."""
    turns = tuple((Turn("Who comes?", answer),) for answer in answers)
    return Talk(key="k", item=item, is_item=item is not None, sides=turns)


def test_all_sides_get_the_same_question_parameters_and_seed():
    talk = Talk(key="k").asks("Who comes?", TWO)
    lead, understudy = talk.requests(TWO, "Who comes?", PERSON)
    assert lead.params == understudy.params
    assert lead.params.seed is not None
    assert [m.text for m in lead.messages] == ["You are the desk.", "Who comes?"]
    assert [m.text for m in understudy.messages] == ["Be brief.", "Who comes?"]
    assert (lead.filter, understudy.filter) == (False, True)
    assert {lead.caller, understudy.caller} == {"ada"}
    assert {lead.cache, understudy.cache} == {"off"}


def test_the_next_question_goes_to_each_side_with_its_own_answers():
    talk = Talk(key="k").asks("first", TWO)
    talk = talk.answered("first", [frame("from lead"), frame("from understudy")])
    lead, understudy = talk.asks("second", TWO).requests(TWO, "second", PERSON)
    assert [m.text for m in lead.messages[1:]] == ["first", "from lead", "second"]
    assert [m.text for m in understudy.messages[1:]] == ["first", "from understudy", "second"]


def test_a_side_that_failed_is_not_told_the_question_again():
    talk = Talk(key="k").asks("first", TWO)
    talk = talk.answered("first", [frame("fine"), frame("", error=InputError("too long"))])
    _, failed = talk.asks("second", TWO).requests(TWO, "second", PERSON)
    assert [m.text for m in failed.messages[1:]] == ["second"]
    assert talk.last[1].problem == "too long"


def test_retry_asks_the_last_question_of_the_same_history():
    talk = Talk(key="k").asks("first", TWO).answered("first", [frame("a"), frame("b")])
    again = talk.asks("second", TWO).answered("second", [frame("c"), frame("d")]).before_last()
    assert again == talk
    with pytest.raises(InputError, match="nothing to ask again"):
        Talk().before_last()


def sides(count):
    return replace(TWO, sides=(SideOptions("lead"),) * count)


@pytest.mark.parametrize(
    ("talk", "question", "count", "why"),
    [
        (Talk(), " \n", 2, "write a prompt"),
        (Talk(), "hello", 1, "2 to 4"),
        (Talk(), "hello", 5, "2 to 4"),
        (talk_of(None, None), "hello", 3, "new comparison"),
        (talk_of(None, None), "", 2, "write a prompt"),
    ],
)
def test_what_can_t_be_asked_is_refused(talk, question, count, why):
    with pytest.raises(InputError, match=why):
        talk.asks(question, sides(count))


def test_an_item_is_asked_as_a_run_asks_it_unless_its_prompt_was_changed():
    same = Talk(item=ITEM).asks("1 + 1? ", AS_RUN)
    assert (same.is_item, same.changes) == (True, ())
    for request in same.requests(AS_RUN, "1 + 1? ", PERSON):
        assert (request.messages, request.params) == (ITEM.messages, ITEM.params)
    other = Talk(item=ITEM).asks("2 + 2?", TWO)
    assert not other.is_item
    assert other.requests(TWO, "2 + 2?", PERSON)[0].params.stop == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"system": "Guess."}, "the system prompt"),
        (
            {"sides": (SideOptions("lead"), SideOptions("lead", system="Guess."))},
            "the system prompt",
        ),
        ({"sides": (SideOptions("lead", filter=True),) * 2}, "the filter"),
        ({"tools": (Tool("seat", "Seats.", {}),)}, "the tools"),
        ({"params": GenerationParams(temperature=0.5, max_tokens=4)}, "the parameters"),
    ],
)
def test_an_item_with_other_options_is_not_said_to_be_asked_as_in_a_run(change, words):
    asked = replace(AS_RUN, **change)
    talk = Talk(item=ITEM).asks("1 + 1?", asked)
    assert talk.changes == (words,)
    html = ComparePages(PAGES).result(talk.answered("1 + 1?", [frame("2"), frame("3")]), asked)
    assert f"not asked as a run asks it: {words} changed." in html
    assert "sums, asked as" not in html


def test_an_item_that_ends_with_a_tool_needs_no_question():
    told = (Message("user", "Who?"), Message("tool", "Ada", tool_call_id="1"))
    item = Item("sums", "two", told, (), GenerationParams(), ("gsm8k",))
    talk = Talk(item=item).asks("", TWO)
    assert talk.requests(TWO, "", PERSON)[0].messages[1:] == told
    assert talk.answered("", [frame("a"), frame("b")]).before_last().asks("", TWO).is_item


@pytest.fixture
def catalog(settings):
    return load_catalog(settings)


def test_a_link_opens_what_made_it(catalog):
    link = CompareLink(("lead", "lead"), prompt="a & b = ü\n", task="desk_tools", item="x 1")
    assert link_of(dict(parse_qsl(link.address()[1:])), catalog) == link
    long = CompareLink(("lead",), prompt="x" * (MAX_PROMPT + 1))
    assert long.address() == "?compare=lead"
    assert link_of({"leaderboard": "all"}, catalog) is None


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"compare": ""}, InputError),
        ({"compare": ",,,"}, InputError),
        ({"compare": "lead,lead,lead,lead,lead"}, InputError),
        ({"compare": "lead," * 100_000}, InputError),
        ({"compare": f"lead,{BAD}"}, ModelNotAllowedError),
        ({"compare": "lead@nobody"}, ModelNotAllowedError),
        ({"compare": "../../etc/passwd\x00"}, ModelNotAllowedError),
        ({"compare": "lead", "prompt": "x" * (MAX_PROMPT + 1)}, InputError),
        ({"compare": "lead", "task": "x" * 301}, InputError),
        ({"compare": "lead", "item": "x" * 301}, InputError),
    ],
)
def test_a_hostile_link_is_refused(catalog, query, error):
    with pytest.raises(error):
        link_of(query, catalog)


def test_what_models_say_is_shown_as_text_and_what_differs_is_marked():
    talk = talk_of(said(f"{BAD} one"), said(f"{BAD} two", "understudy"))
    html = ComparePages(PAGES).result(talk, TWO)
    assert "<img" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;<del> one</del>" in html
    assert "<ins> two</ins>" in html


def test_structured_answers_and_calls_are_compared_field_by_field():
    talk = talk_of(said(f'{{"{BAD}": 1}}'), said('{"table": 2}', "understudy"))
    html = ComparePages(PAGES).result(talk, TWO)
    assert "<img" not in html
    assert '<tr class="cmp-only_b"><th scope="row"><code>table</code>' in html
    call = [ToolCall("1", "seat", f'{{"guest": "{BAD}"}}')]
    html = ComparePages(PAGES).result(talk_of(said("", calls=call), said("", "understudy")), TWO)
    assert "<img" not in html
    assert "<del><code>seat</code></del>" in html


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (said("word for word"), said("word for word"), "word for word"),
        (said('{"a": 1, "b": 2}'), said('{"b": 2, "a": 1.0}'), "the same values"),
        (
            said("", calls=[ToolCall("1", "seat", '{"table": 4}')]),
            said("", calls=[ToolCall("2", "seat", '{ "table": 4 }')]),
            "the same calls",
        ),
    ],
)
def test_equal_answers_are_said_to_be_equal(a, b, same):
    assert compared("a", "b", a, b, []).is_same
    assert same in ComparePages(PAGES).result(talk_of(a, b), TWO)


def test_different_answers_are_never_said_to_be_the_same():
    def pays(name, arguments):
        return said("", calls=[ToolCall("1", name, arguments)])

    html = ComparePages(PAGES).result(talk_of(pays("pay", '{"a":'), pays("delete_all", "[1]")), TWO)
    assert "The same answer" not in html
    assert "a call here can" in html.lower()
    assert "delete_all" in html
    long = [said(f"[{'0, ' * 599}{last}]") for last in (0, 1)]
    html = ComparePages(PAGES).result(talk_of(*long), TWO)
    assert "The same answer" not in html
    assert "100 more fields are left out" in html
    html = ComparePages(PAGES).result(talk_of(*[said("so " * 6000 + end) for end in "ab"]), TWO)
    assert "The same answer" not in html
    assert "only there they differ" in html


def test_what_nobody_knows_is_unknown_and_a_failed_side_has_no_figures():
    turns = ((Turn("q", said("fine")),), (Turn("q", None, f"no room {BAD}"),))
    html = ComparePages(PAGES).result(Talk(sides=turns), TWO)
    assert '<td class="lb-num">unknown</td>' in html  # The cost of a local model.
    assert "no room &lt;img" in html
    assert "beside" not in html
    assert ComparePages(PAGES).result(Talk(), TWO) == ""


def test_a_scorer_s_verdicts_stand_beside_the_figures():
    talk = talk_of(said("2"), said("3", "understudy"), item=ITEM)
    right, wrong = Score({"gsm8k": 1.0}), Score({"gsm8k": 0.0}, failure=f"wrong {BAD}")
    html = ComparePages(PAGES).result(talk, TWO, [right, wrong])
    assert "gsm8k 1.000" in html
    assert "gsm8k 0.000, wrong &lt;img" in html
    assert "Verdict" not in ComparePages(PAGES).result(talk, TWO)
    assert 'href="?compare=lead%2Cunderstudy&amp;task=sums&amp;item=one"' in html


@pytest.mark.parametrize(
    ("verdict", "words", "is_right"),
    [
        (None, "", None),
        (Score({}), "m does not apply", None),
        (Score({"m": 0.5}, repaired={"m": 1.0}), "m 0.500, 1.000 repaired", False),
        (GradingFailure("timeout", "too slow"), "no verdict: too slow", None),
    ],
)
def test_a_verdict_in_words(verdict, words, is_right):
    assert verdict_text(verdict, "m") == (words, is_right)


def test_the_same_model_twice_is_told_apart_by_its_place():
    html = ComparePages(PAGES).result(talk_of(said("one"), said("two")), TWO)
    assert "lead (1)" in html
    assert "lead (2)" in html


def test_a_conversation_shows_every_turn_and_why_there_is_no_answer():
    turns = ((Turn(f"first {BAD}", said("fine")), Turn("second", None, f"broke {BAD}")),)
    entries = entries_of(Talk(sides=turns), 0)
    assert "<img" not in str(entries)
    assert [e["role"] for e in entries] == ["user", "assistant", "assistant", "user", "assistant"]
    assert "No answer: broke" in entries[-1]["metadata"]["title"]
    assert entries_of(Talk(sides=turns), 3) == []
    assert asked_entries(" ") == []


def test_an_answer_in_the_making_shows_what_is_waited_for():
    (waiting,) = making(SideFrame("", False, None, None))
    assert "waiting for the first token" in waiting["metadata"]["title"]
    (failed,) = making(SideFrame("", True, None, AppError("down")))
    assert "No answer: down" in failed["metadata"]["title"]


def test_a_leaderboard_row_links_to_its_model_beside_the_best_other_one(tmp_path):
    for place, name in enumerate(("good", "fair", BAD)):
        marks = [1.0] * (2 - place) + [0.0] * place
        write_run(tmp_path, f"run-{place}", model=name, task="sums", marks=marks)
    board = make_board(*RunIndex(tmp_path).all())
    pages, view = LeaderboardPages(PAGES), View(task="sums")
    cells = chosen_cells(board, view)
    more = {"place": "", "is_admin": False, "first_model": "x", "first_task": "y"}
    html = pages.board(board, view, cells, {**more, "shown": frozenset(cells)})
    best = [cell.run.model.name for cell in cells][:2]
    assert f'href="?compare={best[0]}%2C{best[1]}&amp;task=sums"' in html
    assert f'href="?compare={best[1]}%2C{best[0]}&amp;task=sums"' in html
    assert "<img" not in html
    runs = [cell.run for cell in cells[:2]]
    page = ItemReader(lambda _: {}).page(runs, ItemFilter())
    html = pages.items(runs, page, View(task="sums", model=runs[0].model.id), "")
    assert f'href="?compare={best[0]}%2C{best[1]}&amp;task=sums"' in html
