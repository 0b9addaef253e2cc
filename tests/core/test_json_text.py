"""JSON in a model's text: strict first, then repairs by name, never a guess."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.json_text import JsonFailure, JsonRead, canonical, parse_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Half of a surrogate pair is refused, see below.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=4
        )
    ),
    max_leaves=8,
)


def read(text):
    found = parse_json(text)
    assert isinstance(found, JsonRead), found
    return found


def reason(text):
    found = parse_json(text)
    assert isinstance(found, JsonFailure), found
    return found.reason


@given(values, st.booleans())
def test_strict_json_is_read_as_it_is(value, is_ascii):
    assert parse_json(json.dumps(value, ensure_ascii=is_ascii)) == JsonRead(value, False, ())


@given(
    st.lists(values, min_size=1) | st.dictionaries(st.text("ab", min_size=1), values, min_size=1)
)
def test_a_python_literal_is_read_as_the_value_it_is(value):
    """`repr` writes single quotes, True and None; its escapes \\x and \\U are not JSON's."""
    text = repr(value)
    if "\\x" in text or "\\U" in text:
        return
    assert read(text).value == value


@given(st.lists(values, min_size=1), st.floats(0.01, 0.99))
def test_a_value_that_was_cut_is_never_read_as_a_finished_one(value, share):
    """Only a number at the very end may be cut unseen; `closed` warns of that."""
    text = json.dumps(value)
    cut = text[: max(1, int(len(text) * share))]
    found = parse_json(cut)
    if isinstance(found, JsonRead):
        assert found.repairs == ("closed",)
        assert cut[-1] in '"]} ' or cut[-1].isdigit() or cut.endswith(("null", "true", "false"))


@given(st.text(max_size=80))
def test_any_text_gives_an_answer_or_a_reason(text):
    found = parse_json(text)
    if isinstance(found, JsonFailure):
        assert found.reason
    else:
        assert found.repaired == bool(found.repairs)


@pytest.mark.parametrize(
    ("text", "value", "repairs"),
    [
        ('```json\n{"a": 1}\n```', {"a": 1}, ("fence",)),
        ('```\n{"a": 1}\n```', {"a": 1}, ("fence",)),
        ('```JSON {"a": 1}```', {"a": 1}, ("fence",)),
        ('```json\n{"a": 1}', {"a": 1}, ("fence",)),
        ("```\n42\n```", 42, ("fence",)),
        ('Here:\n```json\n{"a": 1}\n```\nDone.', {"a": 1}, ("fence", "prose")),
        ('```json\nHere: {"a": 1}\n```', {"a": 1}, ("fence", "prose")),
        ('```python\nx = 1\n```\nso {"a": 1}', {"a": 1}, ("prose",)),
        ('Sure! {"a": [1, {"b": 2}]} Anything else?', {"a": [1, {"b": 2}]}, ("prose",)),
        ("The list is [1, 2].", [1, 2], ("prose",)),
        ('As [asked], {name}: {"a": 1}', {"a": 1}, ("prose",)),
        ('{"a": 1}}', {"a": 1}, ("prose",)),
        ('{{"a": 1}}', {"a": 1}, ("prose",)),
        ('{"a": 1,}', {"a": 1}, ("trailing_comma",)),
        ("[1, 2, ]", [1, 2], ("trailing_comma",)),
        ("{'a': 'b \"c\"'}", {"a": 'b "c"'}, ("single_quotes",)),
        ("{'a': 'it\\'s'}", {"a": "it's"}, ("single_quotes", "escape")),
        ("{a: 1, $b_2: 2}", {"a": 1, "$b_2": 2}, ("unquoted_key",)),
        (
            '{"a": True, "b": None, "c": False}',
            {"a": True, "b": None, "c": False},
            ("python_literal",),
        ),
        ('{"a": 1 // one\n, /* two */ "b": 2 # three\n}', {"a": 1, "b": 2}, ("comment",)),
        ('{"a": [1, {"b": 2', {"a": [1, {"b": 2}]}, ("closed",)),
        ('{"a": {"b": "x"}', {"a": {"b": "x"}}, ("closed",)),
        ('So: {"a": 1', {"a": 1}, ("prose", "closed")),
        ("{“a”: “b ‘c’”}", {"a": "b ‘c’"}, ("smart_quotes",)),
        ("{‘a’: 1}", {"a": 1}, ("smart_quotes",)),
        ('{"a": "b\nc"}', {"a": "b\nc"}, ("control_character",)),
        ('{"a": "find\\_table"}', {"a": "find_table"}, ("escape",)),
        ('{"a":\u00a01}', {"a": 1}, ("white_space",)),
        ('{"a": "\\ud83d\\ude00",}', {"a": "😀"}, ("trailing_comma",)),
        ("True", True, ("python_literal",)),
    ],
)
def test_each_repair_is_done_and_named(text, value, repairs):
    assert parse_json(text) == JsonRead(value, True, repairs)


@pytest.mark.parametrize(
    "text",
    [
        '{"url": "http://x.y/#z", "a": "/* no */"}',
        '{"a": "True, None, \'x\', {b: 1,}"}',
        '{"a": "```json {} ```"}',
        '{"a": "“b”"}',
    ],
)
def test_what_stands_inside_of_texts_is_left_alone(text):
    assert parse_json(text) == JsonRead(json.loads(text), False, ())
    assert read(text[:-1] + ",}").value == json.loads(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("hello", "no JSON object or list"),
        ("The answer is 42.", "no JSON object or list"),
        ('{"a": 1, "a": 2}', "comes twice"),
        ('{"a": 1, "a": 1}', "comes twice"),
        ("{'a': 1, a: 2}", "comes twice"),
        ('Well: {"a": {"b": 1}, "a": 2}', "comes twice"),
        ('{"a": NaN}', "expected a value"),
        ("[Infinity]", "expected a value"),
        ("[-Infinity]", "expected a number"),
        ("[1e999]", "too large"),
        ("[1e999,]", "too large"),
        ("[" + "9" * 5000 + "]", "expected a number"),
        ('{"a": "b', "no closing quote"),
        ('{"a": tru', "expected a value"),
        ('{"a": [1, 2,', "expected a value"),
        ('{"a":', "expected a value"),
        ('{"a"', "expected ':'"),
        ('{"a": {', "expected a key"),
        ("[", "expected a value"),
        ('{"a": [1, 2}', "expected ',' or ']'"),
        ('{"a": 1 "b": 2}', "expected ',' or '}'"),
        ('{"a": b}', "expected a value"),
        ('{"a": 012}', "expected a number"),
        ('{"a": .5}', "expected a value"),
        ("[1,,2]", "expected a value"),
        ("{,}", "expected a key"),
        ('{"a": "\\d"}', "unknown escape"),
        ('"\\ud800"', "surrogate"),
        ('{"a": "\\udc00",}', "surrogate"),
        ("\ud800", "surrogate"),
        ('{"a": 1} {"b": 2}', "several"),
        ('Either {"a": 1} or {"b": 2}.', "several"),
        ('```json\n{"a": 1}\n{"b": 2}\n```', "several"),
        ('{"a": {"b": 1}, oops}', "expected ':'"),
        ('[{"a": 1} {"b": 2}]', "expected ',' or ']'"),
        ("[1 [2", "not closed"),
    ],
)
def test_what_has_no_one_meaning_is_a_failure_with_its_reason(text, part):
    assert part in reason(text)


def test_a_part_of_a_broken_value_is_never_taken_for_the_value():
    for text in ('{"a": {"b": 1}, "c": }', '[{"b": 1}, oops]', 'So: {"x": [1, 2] "y": 3}'):
        assert isinstance(parse_json(text), JsonFailure)


def test_depth_and_size_are_bounded():
    assert read("[" * 64 + "]" * 64).repairs == ()
    assert read("[" * 64 + "1," + "]" * 64).repairs == ("trailing_comma",)
    for deep in ("[" * 65 + "]" * 65, "[" * 65 + "1," + "]" * 65, "[" * 5000, '{"a":' * 65 + "1"):
        assert "deeper than 64" in reason(deep)
    longest = '"' + "é" * 499_999 + '"'
    assert read(longest).repairs == ()
    assert "1000001 bytes" in reason(longest + " ")
    assert "too long to repair" in reason('{"a": 1,} ' + " " * 100_000)


HOSTILE = {
    "brackets": "[ " * 50_000,
    "braces": "{" * 100_000,
    "words": "{a" * 50_000,
    "keys": '{"' * 50_000,
    "smart": "{‘" * 50_000,
    "closed once": "{'" + "{‘" * 49_000 + "'",
    "comments": "{/*" * 33_000,
    "hashes": "[#" * 50_000,
    "unclosed": "[1 " * 33_000,
    "colons": '{"a" ' * 20_000,
    "escapes": '["' + "\\n" * 49_000,
    "fences": "```" * 33_000,
    "quotes": '"' * 100_000,
    "keys twice": "{" + ",".join(f'"{i}":1' for i in range(100_000)) + ',"0":1}',
    "long": "[" + "{}," * 330_000 + "]",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_text_fails_fast(text):
    before = time.process_time()
    assert reason(text)
    assert time.process_time() - before < 5


@given(values)
def test_canonical_text_reads_back_as_the_same_value(value):
    assert json.loads(canonical(value)) == value


def test_canonical_text_has_one_form():
    assert canonical({"b": 1.0, "a": [True, -0.0, 1e20, 0.5, "é"]}) == (
        '{"a":[true,0,100000000000000000000,0.5,"é"],"b":1}'
    )
    assert canonical(True) != canonical(1)
    assert canonical(2**60 + 1) != canonical(2**60)
