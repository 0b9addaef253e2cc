"""Marks and failure labels of tool calls."""

import json
import random
import time
from itertools import permutations

import pytest

from core.errors import ScoringError
from core.messages import Message, Tool, ToolCall
from evals.sample import Answer, Sample
from evals.scorers.call_match import is_equal, matching
from evals.scorers.call_target import target_calls, target_of
from evals.scorers.tool_calls import tool_calls
from tests.evals.scorers.bfcl_items import load_items
from tests.evals.test_calls import HOSTILE

SEAT = Tool(
    "seat",
    "Seat a guest.",
    {
        "type": "object",
        "properties": {
            "guest": {"type": "string"},
            "table": {"type": "integer"},
            "window": {"type": "boolean", "default": False},
            "mood": {"enum": ["calm", "merry"], "default": "calm"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "near": {"type": "object"},
            "price": {"type": "number"},
        },
        "required": ["guest"],
    },
)
PLAY = Tool("music.play", "Play a song.", {"type": "object", "properties": {}})
score = tool_calls()


def sample(*calls, tools=(SEAT, PLAY), **details):
    return Sample("1", (Message("user", "?"),), {"calls": list(calls)}, "1", tools, details)


def seat(**arguments):
    return {"name": "seat", "arguments": arguments}


def play(**arguments):
    return {"name": "music.play", "arguments": arguments}


def said(*calls):
    return Answer(json.dumps(list(calls)))


def judged(expected, answer):
    """Return the strict mark and the failure."""
    found = score(expected, answer)
    return found.values["tool_call_strict"], found.failure


ADA = sample(seat(guest="Ada", table=3))


@pytest.mark.parametrize(
    ("arguments", "failure"),
    [
        ({"guest": "Ada", "table": 3}, None),
        ({"table": 3, "guest": "Ada"}, None),
        ({"guest": " Ada\n", "table": 3.0}, None),
        ({"guest": "Ada", "table": 3, "window": False}, None),
        ({"guest": "Ada", "table": 3, "mood": "calm", "window": False}, None),
        ({"guest": "ada", "table": 3}, "wrong_value"),
        ({"guest": "A da", "table": 3}, "wrong_value"),
        ({"guest": "Ada", "table": 4}, "wrong_value"),
        ({"guest": "Ada", "table": "3"}, "wrong_type"),
        ({"guest": "Ada", "table": True}, "wrong_type"),
        ({"guest": "Ada", "table": None}, "wrong_type"),
        ({"guest": ["Ada"], "table": 3}, "wrong_type"),
        ({"guest": "Ada"}, "missing_argument"),
        ({"table": 3}, "missing_argument"),
        ({"guest": "Ada", "table": 3, "window": True}, "unexpected_argument"),
        ({"guest": "Ada", "table": 3, "window": 0}, "unexpected_argument"),
        ({"guest": "Ada", "table": 3, "colour": "red"}, "unexpected_argument"),
        ({"guest": "Bo", "table": 3, "colour": "red"}, "unexpected_argument"),
    ],
)
def test_one_call(arguments, failure):
    assert judged(ADA, said(seat(**arguments))) == (float(failure is None), failure)


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (said(play(guest="Ada", table=3)), "wrong_name"),
        (said({"name": "Seat", "arguments": {"guest": "Ada", "table": 3}}), "wrong_name"),
        (said(*[seat(guest="Ada", table=3)] * 2), "extra_call"),
        (said(seat(guest="Ada", table=3), play()), "extra_call"),
        (said(seat(guest="Bo", table=3), play()), "wrong_count"),
        (Answer("I can't."), "abstained"),
        (Answer(""), "abstained"),
        (Answer("seat(guest="), "malformed"),
        (Answer("seat('Ada', 3)"), "malformed"),
        (Answer('<tool_call>{"name": "seat", "arguments": {"guest": 1, "guest": 2}}</tool_call>'),)
        * 1
        + ("malformed",),
    ],
)
def test_what_can_be_wrong_with_the_whole(answer, failure):
    assert judged(ADA, answer) == (0.0, failure)


def test_an_argument_left_out_is_its_default():
    for expected in (sample(seat(guest="Ada", window=False)), sample(seat(guest="Ada"))):
        assert judged(expected, said(seat(guest="Ada"))) == (1.0, None)
        assert judged(expected, said(seat(guest="Ada", window=False))) == (1.0, None)
    merry = sample(seat(guest="Ada", mood="merry"))
    assert judged(merry, said(seat(guest="Ada"))) == (0.0, "missing_argument")


def test_what_the_schema_forbids_is_wrong_even_if_it_equals_the_target():
    expected = sample(seat(guest="Ada", mood="merry"))
    answer = said(seat(guest="Ada", mood=" merry "))
    assert judged(expected, answer) == (0.0, "invalid_by_schema")


def test_a_schema_that_the_target_breaks_says_nothing():
    expected = sample(seat(guest="Ada", table="three"))
    assert judged(expected, said(seat(guest="Ada", table="three"))) == (1.0, None)
    assert judged(expected, said(seat(guest="Ada", table="four"))) == (0.0, "wrong_value")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (5, 5.0, True),
        (1, True, False),
        (0, False, False),
        ("5", 5, False),
        (None, "", False),
        (None, False, False),
        ("é", "e\u0301", True),
        (" a ", "a", True),
        ("a  b", "a b", False),
        ("A", "a", False),
        ([1, 2], [2, 1], False),
        ([1, [2.0]], [1.0, [2]], True),
        ({"a": 1, "b": [True]}, {"b": [True], "a": 1.0}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ({"a": [1]}, {"a": [True]}, False),
        ([], {}, False),
        (10**30, 1e30, False),
        ("", "a", False),
        ("", " ", True),
    ],
)
def test_values_mean_the_same(one, other, same):
    assert is_equal(one, other) is same
    assert is_equal(other, one) is same


def test_calls_are_a_set():
    expected = sample(seat(guest="Ada"), seat(guest="Bo"), play())
    calls = [seat(guest="Ada"), seat(guest="Bo"), play()]
    for order in permutations(calls):
        assert judged(expected, said(*order)) == (1.0, None)
    assert judged(expected, said(calls[0], calls[0], calls[2])) == (0.0, "wrong_value")
    assert judged(expected, said(*calls[:2])) == (0.0, "wrong_count")


def test_each_call_is_paired_even_where_the_first_fit_would_block_another():
    allowed = [{"seat": {"guest": ["Ada", "Bo"]}}, {"seat": {"guest": ["Ada"]}}]
    expected = sample(*allowed)
    assert judged(expected, said(seat(guest="Ada"), seat(guest="Bo"))) == (1.0, None)


def test_pairings_are_the_largest_there_are():
    from scipy.optimize import linear_sum_assignment

    draw = random.Random(7)
    for _ in range(300):
        rows, columns = draw.randint(1, 7), draw.randint(1, 7)
        fits = [[draw.random() < 0.35 for _ in range(columns)] for _ in range(rows)]
        places = linear_sum_assignment([[not fit for fit in row] for row in fits])
        largest = sum(fits[row][column] for row, column in zip(*places, strict=True))
        found = matching(fits)
        assert len(found) == len(set(found.values())) == largest
        assert all(fits[row][column] for column, row in found.items())


def test_values_that_bfcl_allows():
    allowed = {
        "guest": ["Ada", "Ada Lovelace"],
        "table": [3, ""],
        "near": [{"who": ["Bo", "Cy"], "how": ["far", ""]}],
        "tags": [["a", "b"], ["b", "a"], ""],
        "mood": [""],
    }
    expected = sample({"seat": allowed})
    near = {"who": "Cy"}
    right = [
        {"guest": "Ada", "near": near},
        {"guest": "Ada Lovelace", "table": 3.0, "near": {"who": "Bo", "how": "far"}},
        {"guest": "Ada", "tags": ["b", "a"], "near": near, "mood": "calm"},
    ]
    for arguments in right:
        assert judged(expected, said(seat(**arguments))) == (1.0, None)
    wrong = {
        "wrong_value": {"guest": "ada", "near": near},
        "wrong_type": {"guest": "Ada", "near": near, "table": ""},
        "missing_argument": {"guest": "Ada"},
        "unexpected_argument": {"guest": "Ada", "near": near, "mood": "merry"},
    }
    for failure, arguments in wrong.items():
        assert judged(expected, said(seat(**arguments))) == (0.0, failure)
    for near in ({}, {"who": "Bo", "x": 1}, {"who": ["Bo", "Cy"]}, {"who": "Bo", "how": ""}):
        assert judged(expected, said(seat(guest="Ada", near=near))) == (0.0, "wrong_value")


def test_lists_of_objects_that_bfcl_allows():
    parameters = {"type": "object", "properties": {"rows": {"type": "array"}}}
    keyed = [[{"k": ["a", "A"]}, {"k": ["b"], "o": [1, ""]}]]
    expected = sample({"put": {"rows": keyed}}, tools=(Tool("put", "", parameters),))
    rows = [{"k": "A"}, {"k": "b"}]
    assert judged(expected, said({"name": "put", "arguments": {"rows": rows}})) == (1.0, None)
    rows.reverse()
    answer = said({"name": "put", "arguments": {"rows": rows}})
    assert judged(expected, answer) == (0.0, "wrong_value")


def test_names_with_dots_are_expected_as_they_are_offered():
    tool = Tool("music_play", "", {"type": "object"})
    plain = {"name": "music_play", "arguments": {}}
    assert judged(sample(play(), tools=(tool,)), said(plain)) == (1.0, None)
    assert judged(sample(play(), tools=(tool,)), said(play())) == (0.0, "wrong_name")
    assert judged(sample(play()), said(play())) == (1.0, None)
    assert judged(sample(play()), said(plain)) == (0.0, "wrong_name")


def test_a_call_in_another_dress_is_a_format_failure_and_right_after_repair():
    right = "Sure! {'name': 'seat', 'arguments': {'guest': 'Ada', 'table': 3}}"
    found = score(ADA, Answer(right))
    assert found.values == {"tool_call_strict": 0.0}
    assert found.repaired == {"tool_call_strict": 1.0}
    assert found.failure == "format"
    assert found.notes["repaired_failure"] is None
    assert {"prose", "single_quotes"} <= set(found.notes["repairs"])
    wrong = score(ADA, Answer(right.replace("Ada", "Bo")))
    assert wrong.repaired == {"tool_call_strict": 0.0}
    assert (wrong.failure, wrong.notes["repaired_failure"]) == ("format", "wrong_value")


def test_a_raw_answer_has_no_repaired_mark():
    assert score(ADA, said(seat(guest="Ada", table=3))).repaired == {}
    assert score(ADA, Answer("seat(guest=")).repaired == {}


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (Answer("No tool can do that."), None),
        (Answer("[]"), None),
        (Answer("", ()), None),
        (Answer("seat(guest="), "malformed"),
        (Answer("<tool_call>seat</tool_call>"), "malformed"),
        (said(play()), "called_needlessly"),
        (Answer('Well: {"name": "seat", "arguments": {"guest": "Ada"}}'), "called_needlessly"),
        (Answer("", (ToolCall("1", "seat", "{}"),)), "called_needlessly"),
        (Answer("", (ToolCall("1", "seat", "{"),)), "malformed"),
    ],
)
def test_where_no_call_is_expected_only_abstaining_is_right(answer, failure):
    found = score(sample(), answer)
    mark = float(failure is None)
    assert found.values == {"tool_call_strict": mark, "abstention": mark}
    assert found.failure == failure
    assert found.repaired == {}


def test_abstention_is_marked_only_where_none_is_expected():
    assert "abstention" not in score(ADA, Answer("I can't.")).values


def test_notes_show_what_was_read():
    calls = (ToolCall("1", "seat", '{"guest": "Ada", "table": 1' + "0" * 3000 + "}"),)
    found = score(ADA, Answer("", calls))
    assert found.notes["outcome"] == "called"
    shown = found.notes["calls"][0]
    assert shown["name"] == "seat"
    assert shown["arguments"].startswith('{"guest": "Ada", "table": 1000')
    assert len(json.dumps(found.notes)) < 3000


def test_bfcl_and_the_strict_metric_differ_where_they_should():
    functions = [
        {
            "name": "seat",
            "description": "",
            "parameters": {
                "type": "dict",
                "properties": {"guest": {"type": "string"}, "table": {"type": "integer"}},
                "required": ["guest"],
            },
        }
    ]
    allowed = {"seat": {"guest": ["Ada"], "table": [3, ""]}}
    expected = sample(allowed, category="simple_python", functions=functions)

    def marks(text):
        found = score(expected, Answer(text))
        return found.values["bfcl_ast"], found.values["tool_call_strict"], found.failure

    assert marks("[seat(guest='Ada', table=3)]") == (1.0, 1.0, None)
    assert marks("[seat(guest='ada.')]") == (1.0, 0.0, "wrong_value")
    assert marks("[seat(guest='Ada', table=3.0)]") == (0.0, 1.0, "bfcl_type_error")
    assert marks("```python\nseat(guest='Ada')\n```") == (0.0, 1.0, "bfcl_undecodable")
    assert marks(json.dumps([seat(guest="Ada")])) == (1.0, 1.0, None)
    assert marks(f"<tool_call>{json.dumps(seat(guest='Ada'))}</tool_call>") == (1.0, 1.0, None)
    assert marks("No.") == (0.0, 0.0, "abstained")
    fenced = score(expected, Answer("```python\nseat(guest='Ada')\n```"))
    assert fenced.repaired == {"bfcl_ast": 1.0}
    prose = score(expected, Answer(f"So: {json.dumps(seat(guest='Ada'))}"))
    assert prose.values == {"bfcl_ast": 0.0, "tool_call_strict": 0.0}
    assert prose.repaired == {"bfcl_ast": 1.0, "tool_call_strict": 1.0}


def test_bfcl_credits_a_broken_call_where_none_is_expected_and_we_do_not():
    expected = sample(category="irrelevance", functions=[])
    found = score(expected, Answer("seat(guest="))
    assert found.values == {"bfcl_ast": 1.0, "tool_call_strict": 0.0, "abstention": 0.0}


@pytest.mark.parametrize(
    "target",
    [
        None,
        "seat",
        [],
        {},
        {"calls": {}},
        {"calls": ["seat"]},
        {"calls": [{}]},
        {"calls": [{"name": "seat", "arguments": []}]},
        {"calls": [{"seat": {"guest": "Ada"}}]},
        {"calls": [{"a": {}, "b": {}}]},
        {"calls": [{"name": "seat"}] * 101},
    ],
)
def test_a_target_of_another_shape_is_no_low_score(target):
    with pytest.raises(ScoringError, match=r'the target must be \{"calls"'):
        score(Sample("1", (Message("user", "?"),), target, "1"), Answer(""))


PLAIN = {"name": "seat", "parameters": {"type": "dict", "properties": {}, "required": []}}
NUMBER = {"type": "dict", "properties": {"a": {"type": "number"}}, "required": []}
NO_ITEMS = {"type": "dict", "properties": {"a": {"type": "array"}}, "required": []}


@pytest.mark.parametrize(
    ("category", "functions", "text"),
    [
        ("simple_java", [PLAIN], "can't judge the category 'simple_java'"),
        (None, [PLAIN], "can't judge the category 'None'"),
        ("simple", {}, "must be the list"),
        ("simple", [], "which details.functions lacks"),
        ("simple", [{}], "needs a name"),
        ("simple", [{"name": "seat", "parameters": {"properties": {}}}], "needs a list"),
        ("simple", [{"name": "seat", "parameters": NUMBER}], "has the type 'number'"),
        ("simple", [{"name": "seat", "parameters": NO_ITEMS}], "have the type 'None'"),
        ("irrelevance", [PLAIN], "does not go with 1 target calls"),
    ],
)
def test_a_sample_that_bfcl_can_not_judge_is_no_low_score(category, functions, text):
    expected = sample({"seat": {"a": [1]}}, category=category, functions=functions)
    with pytest.raises(ScoringError, match=text):
        score(expected, Answer(""))


def test_a_broken_schema_is_no_low_score():
    expected = sample(seat(guest="Ada"), tools=(Tool("seat", "", {"type": "dict"}),))
    with pytest.raises(ScoringError, match="schema can't be used"):
        score(expected, said(seat(guest="Ada")))


def test_the_target_is_right_on_every_public_item(public_data):
    for item in load_items(public_data / "bfcl"):
        right = target_calls(target_of(item.sample))
        calls = tuple(ToolCall("1", call.name, json.dumps(call.arguments)) for call in right)
        found = score(item.sample, Answer("", calls))
        assert set(found.values.values()) == {1.0}, item.id
        assert found.failure is None


def test_the_same_answer_gets_the_same_score_every_time():
    answer = Answer("Sure: {'name': 'seat', 'arguments': {'guest': 'Ada', 'table': 3}}")
    assert score(ADA, answer) == tool_calls()(ADA, answer)


COMBINING = "a" + "\u0301\u0323" * 40_000
DEEP = json.dumps(seat(guest="Ada", near=json.loads('{"a":' * 60 + "1" + "}" * 60)))
TEXTS = {
    **HOSTILE,
    "combining marks": json.dumps(seat(guest=COMBINING, table=3)),
    "long text": json.dumps(seat(guest="Ada" * 30_000, table=3)),
    "deep object": DEEP,
    "long list": json.dumps(seat(guest="Ada", tags=["a"] * 20_000)),
    "many arguments": json.dumps(seat(**{f"a{i}": i for i in range(5_000)})),
    "long name": json.dumps({"name": "s" * 90_000, "arguments": {}}),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_hostile_texts_are_judged_in_no_time(kind):
    near = sample(seat(guest="Ada" * 10_000, table=3, near={"a": 1}, tags=["a"]))
    functions = [{**PLAIN, "name": "seat"}]
    none = sample(category="irrelevance", functions=functions)
    started = time.process_time()
    for expected in (ADA, near, none):
        found = score(expected, Answer(TEXTS[kind]))
        assert found.values["tool_call_strict"] in (0.0, 1.0)
        assert len(json.dumps(found.notes).encode()) < 100_000
    assert time.process_time() - started < 10


def test_regex_bombs_in_a_schema_do_not_hang():
    parameters = {"type": "object", "properties": {"guest": {"pattern": "^(a+)+$"}}}
    guest = "a" * 5_000 + "!"
    expected = sample(seat(guest=guest), tools=(Tool("seat", "", parameters),))
    started = time.process_time()
    assert judged(expected, said(seat(guest=guest)))[0] == 1.0
    assert time.process_time() - started < 5
