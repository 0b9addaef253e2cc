"""BFCL's verdict, ours against the official package's, on all public items and mutated answers."""

import json
import random
from collections import Counter

import pytest

from core.messages import Tool, ToolCall
from evals.sample import Answer, Sample
from evals.scorers.bfcl_decode import decode_prompt
from evals.scorers.tool_calls import tool_calls
from tests.evals.scorers.bfcl_items import item_of, load_items, mutated_calls, mutated_text, text_of
from tests.evals.scorers.bfcl_oracle import UNDERSCORED, Oracle

SEED = 20260323
CALL_ROUNDS, TEXT_ROUNDS = 14, 7
"""Mutated answers to each item; those of calls are judged in both modes."""
FAULTS = (
    "wrong_count",
    "wrong_name",
    "missing_required",
    "unexpected_parameter",
    "type_error",
    "value_error",
    "missing_optional",
    "no_match",
)
PROSE = (
    "",
    " \n",
    "No tool can do that.",
    "[]",
    "[{}]",
    "{}",
    "None",
    "f",
    "f()",
    "[f(), g(a=1)]",
    "I would call f(a=1)",
    "f(a=1) # as asked",
    "```\nf(a=1)\n```",
    "[f(a=1)",
    "[f(1, 2)]",
    "()",
    "'f(a=1)'",
    "f(a=1)\ng(b=2)",
    "Error during inference: Connection refused",
)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    pytest.importorskip("bfcl_eval")
    return Oracle(tmp_path_factory.mktemp("bfcl"))


@pytest.fixture(scope="module")
def items(public_data):
    return load_items(public_data / "bfcl")


score = tool_calls()


def ours(item, answer):
    """Return our mark and what we find wrong."""
    found = score(item.sample, answer)
    return bool(found.values["bfcl_ast"]), found.notes["bfcl"]


def structured(calls):
    return Answer("", tuple(ToolCall("1", name, arguments) for name, arguments in calls))


def test_the_true_answers_are_right_in_both_modes(oracle, items):
    assert Counter(item.category for item in items) == {
        "simple_python": 400,
        "multiple": 200,
        "parallel": 200,
        "irrelevance": 240,
    }
    for item in items:
        calls = [(name, json.dumps(arguments)) for name, arguments in item.right_calls()]
        text = text_of(item.right_calls())
        assert oracle.of_text(item, text) == ours(item, Answer(text)) == (True, None), item.id
        assert oracle.of_calls(item, calls) == (True, None), item.id
        if calls:
            assert ours(item, structured(calls)) == (True, None), item.id


def test_mutated_calls_are_judged_as_the_official_checker_judges_them(oracle, items):
    draw, faults = random.Random(SEED), Counter()
    for item in items[:800]:
        for _ in range(CALL_ROUNDS):
            calls = mutated_calls(item, draw)
            text = text_of(calls)
            official = oracle.of_text(item, text)
            assert ours(item, Answer(text)) == official, (item.id, text)
            faults[official.fault] += 1
            try:
                written = [(name, json.dumps(arguments)) for name, arguments in calls]
            except TypeError:  # Bytes and complex numbers, which only Python's literals have.
                continue
            official = oracle.of_calls(item, written)
            if written:
                assert ours(item, structured(written)) == official, (item.id, written)
                faults[official.fault] += 1
    assert faults.total() > 20_000, faults
    assert {*FAULTS, None} <= {fault for fault, count in faults.items() if count >= 100}, faults


def test_mutated_texts_are_judged_as_the_official_decoder_reads_them(oracle, items):
    draw, faults = random.Random(SEED + 1), Counter()
    for item in items:
        for _ in range(TEXT_ROUNDS):
            calls = item.right_calls() or [["f", {"a": 1, "b": [1.5, "x"]}]]
            text = mutated_text(text_of(calls), draw)
            official = oracle.of_text(item, text)
            assert ours(item, Answer(text)) == official, (item.id, text)
            faults[official.fault] += 1
    assert faults.total() == len(items) * TEXT_ROUNDS
    assert min(faults[None], faults["undecodable"], faults["needless_call"]) > 500, faults


@pytest.mark.parametrize("text", PROSE)
def test_what_is_no_call_is_an_abstention_as_it_is_officially(oracle, text):
    item = item_of("irrelevance_0", "irrelevance", [], [])
    assert ours(item, Answer(text)) == oracle.of_text(item, text)
    one = simple({"a": {"type": "integer"}}, {"a": [1]})
    assert ours(one, Answer(text)) == oracle.of_text(one, text)


def simple(properties, allowed, required=()):
    """Return an item with one function and one expected call."""
    parameters = {"type": "dict", "properties": properties, "required": list(required)}
    functions = [{"name": "f", "description": "", "parameters": parameters}]
    return item_of("simple_python_0", "simple_python", functions, [{"f": allowed}])


TEXT, WHOLE, FRACTION = {"type": "string"}, {"type": "integer"}, {"type": "float"}
FRACTIONS = {"type": "array", "items": {"type": "float"}}
PAIR = {"type": "tuple", "items": {"type": "integer"}}
WHOLES = {"type": "array", "items": {"type": "integer"}}
OBJECT, OBJECTS = {"type": "dict"}, {"type": "array", "items": {"type": "dict"}}


@pytest.mark.parametrize(
    ("parameter", "allowed", "written", "is_right"),
    [
        (TEXT, ["New York"], "'new-york.'", True),
        (TEXT, ["15"], "'1.5'", True),
        (TEXT, ["it's"], "'IT\"S'", True),
        (TEXT, ["a b"], "'a\\tb'", False),
        (TEXT, ["x", ""], "'-'", True),
        (TEXT, [5], "5", True),
        (TEXT, ["true"], "true", True),
        (TEXT, ["g(1)"], "g(1)", True),
        (WHOLE, [5], "5.0", False),
        (WHOLE, [1], "True", False),
        (WHOLE, [5], "'5'", False),
        (WHOLE, [-5], "+5", True),
        (WHOLE, [12], "3 * 4", True),
        (FRACTION, [5.0], "5", True),
        (FRACTION, [0.3], "0.1 + 0.2", False),
        (FRACTIONS, [[1.0, 2.0]], "[1, 2]", False),
        (FRACTIONS, [[1.0], ""], "[]", True),
        (WHOLES, [[1, 2]], "(1, 2)", False),
        (WHOLES, [[1, 2]], "[2, 1]", False),
        (PAIR, [[1, 2]], "(1, 2)", True),
        (OBJECT, [{"k": ["V"], "o": [1, ""]}], "{'k': 'v'}", True),
        (OBJECT, [{"k": [1]}], "{'k': True}", True),
        (OBJECT, [{"k": [1]}], "{'k': 1, 'x': 1}", False),
        (OBJECTS, [[{"k": [1]}]], "[{'k': 1}]", True),
        (OBJECTS, [[{"k": [1]}, {"k": [2]}]], "[{'k': 2}, {'k': 1}]", False),
        (OBJECT, [{"g": [{"x": 1}]}], "{'g': g(x=1)}", False),
    ],
)
def test_known_quirks(oracle, parameter, allowed, written, is_right):
    item, text = simple({"a": parameter}, {"a": allowed}), f"[f(a={written})]"
    official = oracle.of_text(item, text)
    assert official.is_right == is_right
    assert ours(item, Answer(text)) == official


@pytest.mark.parametrize(
    ("written", "is_right"),
    [("f(5, b=1)", False), ("f(a=2, a=5, b=1)", True), ("f(**{'a': 5}, b=1)", False)],
)
def test_arguments_without_names_are_dropped_and_of_doubles_the_last_counts(
    oracle, written, is_right
):
    item = simple({"a": WHOLE, "b": WHOLE}, {"a": [5], "b": [1]}, ["a"])
    official = oracle.of_text(item, written)
    assert official.is_right == is_right
    assert ours(item, Answer(written)) == official


def test_of_parallel_calls_each_answer_takes_the_first_that_fits(oracle):
    functions = simple({"a": WHOLE}, {}).functions
    answers = [{"f": {"a": [1, 2]}}, {"f": {"a": [1]}}]
    item = item_of("parallel_0", "parallel", functions, answers)
    for text, is_right in (("f(a=1), f(a=2)", False), ("f(a=2), f(a=1)", True)):
        assert oracle.of_text(item, text).is_right == is_right
        assert ours(item, Answer(text)) == oracle.of_text(item, text)


CRASHES = {
    "an integer is too large for a float": (FRACTION, [5.0], f"1{'0' * 400}"),
    "a list of dictionaries holds something else": (OBJECTS, [[{"k": [1]}], ""], "[5]"),
}


@pytest.mark.parametrize("reason", CRASHES)
def test_where_the_official_checker_crashes_the_answer_is_wrong(oracle, reason):
    parameter, allowed, written = CRASHES[reason]
    item, text = simple({"a": parameter}, {"a": allowed}), f"f(a={written})"
    assert oracle.of_text(item, text) == (False, "crash")
    assert ours(item, Answer(text)) == (False, "crash")


def test_a_crash_spoils_the_parallel_call_that_would_fit(oracle):
    functions = simple({"a": FRACTION}, {}).functions
    answers = [{"f": {"a": [1.0]}}, {"f": {"a": [2.0]}}]
    item = item_of("parallel_0", "parallel", functions, answers)
    text = f"f(a=1{'0' * 400}), f(a=1)"
    assert ours(item, Answer(text)) == oracle.of_text(item, text) == (False, "crash")


def test_a_tool_offered_without_its_dot_may_be_called_by_either_name(oracle, items):
    item = next(item for item in items if item.functions[0]["name"] == "math.factorial")
    text, plain = "math_factorial(number=5)", "math.factorial(number=5)"
    tool = Tool("math_factorial", "", {"type": "object"})
    fields = {name: getattr(item.sample, name) for name in ("id", "messages", "target", "group")}
    offered = Sample(**fields, tools=(tool,), details=item.sample.details)
    calls = structured([("math.factorial", '{"number": 5}')])
    for written in (Answer(text), Answer(plain), calls):  # Officially the model decides which.
        assert score(offered, written).values == {"tool_call_strict": 1.0, "bfcl_ast": 1.0}
    other = score(offered, Answer("math-factorial(number=5)"))
    assert set(other.values.values()) == {0.0}
    assert oracle.of_text(item, text, UNDERSCORED).is_right
    assert oracle.of_text(item, plain).is_right
    for written in (text, plain):
        assert ours(item, Answer(written)) == oracle.of_text(item, written)


CODE = (
    "__import__('os').mkdir('FOLDER') or 1",
    "__import__('os').mkdir('FOLDER') + 1",
    "len(str(__import__('os').mkdir('FOLDER'))) + 1",
    "'a' * len(__import__('pathlib').Path('FOLDER').mkdir() or 'b')",
    "[i for i in [__import__('os').mkdir('FOLDER')]]",
    "(lambda: __import__('os').mkdir('FOLDER'))()",
    'f\'{__import__("os").mkdir("FOLDER")}\'',
    "2 * [1]",
    "9 ** 9 ** 9 ** 9",
    "1 << 99999999999",
)


@pytest.mark.parametrize("code", CODE)
def test_nothing_is_executed(tmp_path, code):
    folder = tmp_path / "made"
    text = f"[f(a={code.replace('FOLDER', str(folder))})]"
    item = simple({"a": WHOLE}, {"a": [1]})
    assert ours(item, Answer(text))[0] is False
    assert not folder.exists()
    if "lambda" not in code:
        assert decode_prompt(text) is None


def test_the_official_decoder_does_execute(oracle, tmp_path):
    folder = tmp_path / "made"
    text = f"[f(a=len(str(__import__('os').mkdir({str(folder)!r}))) + 1)]"
    oracle.of_text(simple({"a": WHOLE}, {"a": [1]}), text)
    assert folder.exists()
