"""Schemas of a dataset: the public suite of draft 2020-12, and what must not happen."""

import json
import time
from pathlib import Path

import pytest

from core.errors import ScoringError
from evals.sample import Answer, Sample
from evals.schema_check import schema_errors
from evals.scorers.json_answers import schema_valid

REMOTE = "refers to a document on the suite's own web server; nothing is fetched"
VOCABULARY = "names a meta-schema on the suite's own web server"
NOT_JUDGED = {
    "refRemote.json": REMOTE,
    "dynamicRef.json: strict-tree schema, guards against misspelled properties": REMOTE,
    "dynamicRef.json: tests for implementation dynamic anchor and reference link": REMOTE,
    "dynamicRef.json: $ref and $dynamicAnchor are independent of order - $defs first": REMOTE,
    "dynamicRef.json: $ref and $dynamicAnchor are independent of order - $ref first": REMOTE,
    "dynamicRef.json: $ref to $dynamicRef finds detached $dynamicAnchor": REMOTE,
    "vocabulary.json": VOCABULARY,
}
"""Files and groups of the required tests that are refused, and why; everything else is met."""
OPTIONAL_LEFT = {
    "dependencies-compatibility.json": "`dependencies` is of draft 07",
    "format": "`format` says nothing about validity, as the draft has it by default",
}


def groups(folder: Path, optional: bool) -> list[tuple[str, dict]]:
    """Return the suite's groups with file names, of the required tests or of the optional ones."""
    return [
        (path.relative_to(folder).as_posix(), group)
        for path in sorted(folder.rglob("*.json"))
        if (path.parent != folder) is optional
        for group in json.loads(path.read_text(encoding="utf-8"))
    ]


@pytest.fixture(scope="module")
def suite(public_data) -> Path:
    return public_data / "json_schema" / "tests" / "draft2020-12"


def verdict(schema, value) -> bool | None:
    try:
        return not schema_errors(value, schema)
    except ScoringError:
        return None


def test_the_required_tests_of_the_suite_are_met(suite):
    wrong, refused, met = [], set(), 0
    for name, group in groups(suite, optional=False):
        title = f"{name}: {group['description']}"
        for case in group["tests"]:
            found = verdict(group["schema"], case["data"])
            if found is None:
                refused.add(name if name in NOT_JUDGED else title)
            elif found != case["valid"]:
                wrong.append((title, case["description"]))
            else:
                met += 1
    assert wrong == []
    assert refused == set(NOT_JUDGED)
    assert met == 1250


def test_the_optional_tests_that_are_not_met_are_known(suite):
    counts = {"met": 0, "refused": 0, "left": 0}
    for name, group in groups(suite, optional=True):
        is_left = any(part in name for part in OPTIONAL_LEFT)
        for case in group["tests"]:
            found = verdict(group["schema"], case["data"])
            known = "met" if found == case["valid"] else "refused" if found is None else "left"
            counts[known] += 1
            if known == "left" and not is_left:
                # What the engine of our patterns takes for white space.
                assert "zero-width whitespace" in case["description"], (name, case)
    assert counts == {"met": 513, "refused": 9, "left": 404}


def test_a_reference_beyond_the_schema_is_never_fetched(monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("something was fetched"))
    schema = {"$ref": "http://127.0.0.1:9/schema.json"}
    with pytest.raises(ScoringError, match="refers to what it does not contain"):
        schema_errors({}, schema)


LOOP = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
DOUBLING = {
    "$ref": "#/$defs/l0",
    "$defs": {
        **{
            f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}, {"$ref": f"#/$defs/l{n + 1}"}]}
            for n in range(60)
        },
        "l60": {},
    },
}
DEEP: dict = {}
for _ in range(2_000):
    DEEP = {"not": DEEP}


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        (3, "must be a JSON object"),
        ("object", "must be a JSON object"),
        ({"type": "strnig"}, "no valid JSON Schema"),
        ({"$schema": "http://json-schema.org/draft-03/schema"}, "is not supported"),
        ({"pattern": "(?=a)"}, "look-around"),
        ({"properties": {"a": {"pattern": "(a){9999}"}}}, "repeats too much"),
        (
            {"patternProperties": {"(a+)+$": {}}, "unevaluatedProperties": False},
            "use plain names",
        ),
        (LOOP, "refers to itself without end"),
        (DOUBLING, "takes too long"),
        (DEEP, "too deep"),
    ],
)
def test_a_schema_that_can_not_be_used_is_the_samples_fault(schema, part):
    began = time.monotonic()
    with pytest.raises(ScoringError, match=part):
        schema_errors({"a": "b"}, schema)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "schema", [{"pattern": "^(a+)+$"}, {"patternProperties": {"^(a+)+$": False}}]
)
def test_a_regex_bomb_ends_at_once(schema):
    began = time.monotonic()
    schema_errors("a" * 5_000 + "!", schema)
    schema_errors({"a" * 5_000 + "!": 1}, schema)
    assert time.monotonic() - began < 2


def test_an_answer_without_end_is_wrong_and_no_grading_failure():
    schema = {"type": "array", "items": {"type": "integer"}}
    text = json.dumps([1] * 100_000)
    sample = Sample("a", (), None, "a", details={"schema": schema})
    score = schema_valid()(sample, Answer(text))
    assert (score.values["schema_valid"], score.failure) == (0.0, "schema_mismatch")
    assert score.notes["errors"] == ["$: too large to be checked"]


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("text", "schema", "marks", "failure"),
    [
        ('{"a": 1}', SCHEMA, (1, 1, 1, 1, 1), None),
        ('{"a": "x"}', SCHEMA, (1, 1, 0, 1, 0), "schema_mismatch"),
        ('```json\n{"a": 1}\n```', SCHEMA, (0, 1, 0, 1, 1), "json_fenced"),
        ('{"a": 1,}', SCHEMA, (0, 0, 0, 1, 1), "json_repairable"),
        ('{"a": "x",}', SCHEMA, (0, 0, 0, 1, 0), "schema_mismatch"),
        ("Good evening", SCHEMA, (0, 0, 0, 0, 0), "not_json"),
        ("[1]", SCHEMA, (0, 0, 0, 0, 0), "wrong_kind"),
        ("{}", True, (1, 1, 1, 1, 1), None),
        ("{}", False, (1, 1, 0, 1, 0), "schema_mismatch"),
    ],
)
def test_marks_of_schema_validity(text, schema, marks, failure):
    sample = Sample("a", (), None, "a", details={"schema": schema})
    score = schema_valid("object")(sample, Answer(text))
    assert list(score.values) == ["json_valid", "json_valid_fenced", "schema_valid"]
    assert (*score.values.values(), *score.repaired.values()) == marks
    assert score.failure == failure


def test_a_bad_sample_fails_whatever_the_model_says():
    for details in ({}, {"schema": {"type": 3}}):
        for text in ("Good evening", '{"a": 1}'):
            with pytest.raises(ScoringError):
                schema_valid()(Sample("a", (), None, "a", details=details), Answer(text))
