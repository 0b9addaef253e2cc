"""JSON answers: three readings kept apart, and nothing that a text can do to the reader."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from core.json_text import JsonFailure
from evals.sample import Answer, Sample
from evals.scorers.json_answers import json_valid
from evals.strict_json import Reading, is_same, read_json

SAMPLE = Sample("a", (), None, "a")
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("null", "raw"),
        ("true", "raw"),
        ("1", "raw"),
        ('"x"', "raw"),
        (' {"a": [1, 2.5e3]}\n', "raw"),
        (r'"a ```json\n1\n``` b"', "raw"),
        ('```json\n{"a": 1}\n```', "fenced"),
        ('```JSON\n{"a": 1}\n```', "fenced"),
        ("```\nnull\n```", "fenced"),
        ('Sure:\n```json\n{"a": 1}\n```\nAnything else?', "fenced"),
        ('```json\n{"a": 1,}\n```', "repaired"),
        ('```json\n{"a": 1}', "repaired"),
        ('Input: {"a": 1}', "repaired"),
        ("{'a': True}", "repaired"),
        ("[1, 2", "repaired"),
    ],
)
def test_each_text_is_read_at_its_strictest_level(text, level):
    read = read_json(text)
    assert isinstance(read, Reading)
    assert read.level == level


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "Good evening",
        "NaN",
        "[Infinity]",
        '{"a": 1, "a": 2}',
        '{"a": {"b": 1, "b": 1}}',
        '{"a": 1} {"b": 2}',
        "```json\n1\n```\n```json\n2\n```",
        "9" * 5_000,
        f"[{'9' * 5_000}]",
        "1e999",
        "[" * 65 + "]" * 65,
        "\x00",
        '"\ud800"',
        r'"\ud800"',
        "[" + "1," * 600_000 + "1]",
    ],
)
def test_what_is_no_json_is_not_read(text):
    assert isinstance(read_json(text), JsonFailure)


@given(documents)
def test_the_level_follows_the_dress(document):
    text = json.dumps(document)
    dressed_by_level = [
        ("raw", text),
        ("fenced", f"```json\n{text}\n```"),
        ("fenced", f"Here:\n```\n{text}\n```"),
    ]
    for level, dressed in dressed_by_level:
        read = read_json(dressed)
        assert isinstance(read, Reading)
        assert (read.level, read.value) == (level, document)


@pytest.mark.parametrize("size", [90_000, 1_000_000])
@pytest.mark.parametrize(
    "part", ["[", '{"a":', "`", "```json\n", "```a", "[1,", '"', '{"a":1}', "\\", "<b>", " ", "[a"]
)
def test_a_flood_takes_linear_time(part, size):
    began = time.monotonic()
    read_json(part * (size // len(part)))
    assert time.monotonic() - began < 2


@given(st.text())
def test_any_text_gets_a_score(text):
    score = json_valid()(SAMPLE, Answer(text))
    assert set(score.values) == {"json_valid", "json_valid_fenced"}
    assert score.values["json_valid"] <= score.values["json_valid_fenced"]
    assert score.values["json_valid_fenced"] <= score.repaired["json_valid"]
    assert (score.failure is None) == (score.values["json_valid"] == 1.0)


@pytest.mark.parametrize(
    ("kind", "text", "marks", "failure"),
    [
        ("any", "null", (1, 1, 1), None),
        ("object", "null", (0, 0, 0), "wrong_kind"),
        ("object", "{}", (1, 1, 1), None),
        ("object", "[]", (0, 0, 0), "wrong_kind"),
        ("array", "[]", (1, 1, 1), None),
        ("array", "```\n[]\n```", (0, 1, 1), "json_fenced"),
        ("array", "[1,]", (0, 0, 1), "json_repairable"),
        ("array", "```\n{}\n```", (0, 0, 0), "wrong_kind"),
        ("any", "Good evening", (0, 0, 0), "not_json"),
    ],
)
def test_marks_by_the_kind_that_was_asked_for(kind, text, marks, failure):
    score = json_valid(kind)(SAMPLE, Answer(text))
    found = (*score.values.values(), score.repaired["json_valid"])
    assert (found, score.failure) == (marks, failure)


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match="'list'; choose one of: any, object, array"):
        json_valid("list")


@pytest.mark.parametrize(
    ("one", "other", "is_equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True),
        ([1, 2], [2, 1], False),
        ({}, [], False),
        (None, False, False),
        ("1", 1, False),
        (10**30, 10**30 + 1, False),
    ],
)
def test_equal_values(one, other, is_equal):
    assert is_same(one, other) is is_equal
