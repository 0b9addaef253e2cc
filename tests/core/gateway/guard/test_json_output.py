"""Structured answers: schemas from callers, errors for the model, one more question."""

import json
import time
from typing import Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field, field_validator

from core.errors import InputError
from core.gateway.guard.json_output import (
    Mismatch,
    as_model,
    check_schema,
    re_ask,
    read_answer,
    schema_of,
    validate,
)
from core.gateway.guard.patterns import Pattern
from core.messages import Message

GUEST = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0},
        "code": {"type": "string", "pattern": "^[A-Z]{2}-\\d+$"},
        "menu": {"enum": ["fish", "meat", "none"]},
        "friends": {"type": "array", "items": {"$ref": "#/$defs/name"}, "uniqueItems": True},
        "table": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"name": {"type": "string"}},
}


@pytest.fixture(autouse=True)
def no_fetch(monkeypatch):
    """Fail where a schema is fetched; the suite's own guard lets loopback through."""
    fetched = []

    def refuse(address, *_, **__):
        fetched.append(address)
        raise OSError("nothing is fetched here")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    yield
    assert fetched == []


@pytest.mark.parametrize(
    ("value", "errors"),
    [
        ({"name": "Ada"}, ()),
        ({"name": "Ada", "age": 3.0, "code": "AB-12", "menu": "fish", "table": None}, ()),
        ({"name": "Ada", "friends": ["Rui", "Ana"]}, ()),
        ({}, ("$: 'name' is a required property",)),
        ([], ("$: [] is not of type 'object'",)),
        ({"name": ""}, ("$.name: '' should be non-empty",)),
        ({"name": "Ada", "age": True}, ("$.age: True is not of type 'integer'",)),
        ({"name": "Ada", "age": -1}, ("$.age: -1 is less than the minimum of 0",)),
        ({"name": "A", "friends": ["R", 2]}, ("$.friends[1]: 2 is not of type 'string'",)),
        ({"name": "A", "friends": ["R", "R"]}, ("$.friends: the items are not all different",)),
        ({"name": "A", "x": 1, "y": 2}, ("$: these properties are not allowed: 'x', 'y'",)),
        ({"name": "A", "code": "ab-1"}, ("$.code: 'ab-1' does not match '^[A-Z]{2}-\\\\d+$'",)),
        (
            {"name": "A", "table": "x"},
            (
                "$.table: 'x' is not valid under any of the given schemas "
                "('x' is not of type 'integer'; 'x' is not of type 'null')",
            ),
        ),
    ],
)
def test_errors_say_where_and_what(value, errors):
    check_schema(GUEST)
    assert validate(value, GUEST) == errors


def test_at_most_ten_errors_are_told_and_none_twice():
    schema = {"items": {"allOf": [{"type": "string"}, {"type": "string"}]}}
    errors = validate(list(range(50)), schema)
    assert errors == tuple(f"$[{n}]: {n} is not of type 'string'" for n in range(5))
    assert len(validate(list(range(50)), {"items": {"type": "string"}})) == 10


def test_an_error_of_a_large_value_is_short():
    (error,) = validate("x" * 100_000, {"type": "integer"})
    assert len(error) < 250
    assert error.endswith("is not of type 'integer'")


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}},
        {"$id": "https://example.com/s", "$ref": "#/$defs/a~1b", "$defs": {"a/b": {}}},
        {"properties": {"child": {"$ref": "#"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]},
        {"$schema": "https://json-schema.org/draft/2019-09/schema", "type": "array"},
        {"prefixItems": [{"type": "string"}], "items": False},
        {"patternProperties": {"^x-": {}}, "additionalProperties": {"type": "string"}},
        {"pattern": "^\\d{4}-\\d{2}-\\d{2}$", "format": "date"},
    ],
)
def test_a_good_schema_passes(schema):
    check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        ([], "must be a JSON object"),
        ("string", "must be a JSON object"),
        ({"type": "strnig"}, "$.type: 'strnig'"),
        ({"minLength": -1}, "$.minLength"),
        ({"properties": {"a": {"required": "a"}}}, "$.properties.a.required"),
        ({"type": {"string"}}, "not JSON"),
        ({"const": float("nan")}, "not JSON"),
        ({"$schema": "http://json-schema.org/draft-03/schema"}, "is not supported; use one of"),
        ({"$schema": "http://127.0.0.1:1/schema"}, "is not supported; use one of"),
        ({"$schema": 7}, "is not supported; use one of"),
        ({"$ref": "http://127.0.0.1:1/x.json"}, "never fetched"),
        ({"$ref": "file:///etc/passwd"}, "never fetched"),
        ({"properties": {"a": {"$ref": "other.json#/a"}}}, "never fetched"),
        ({"$ref": "#/$defs/none"}, "leads to no part"),
        ({"$ref": "#anchor"}, "leads to no part"),
        ({"$ref": "#/enum/0", "enum": ["x"]}, "leads to no part"),
        ({"$dynamicRef": "#x"}, "$dynamicRef is not supported"),
        ({"$defs": {"a": {"$id": "http://x.y/"}}}, "only at the top"),
        ({"pattern": "a" * 201}, "201 characters"),
        ({"pattern": "("}, "unclosed group"),
        ({"pattern": "(?=a)"}, "look-around"),
        ({"pattern": "(a)\\1"}, "back-references"),
        ({"pattern": "((a{1,99}){1,99}){1,99}"}, "repeats too much"),
        ({"patternProperties": {"(?!a)": {}}}, "look-around"),
        ({"anyOf": [{"pattern": f"a{{{n}}}"} for n in range(90, 130)]}, "together are too large"),
        ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "not supported"),
        ({"description": "x" * 50_000}, "bytes"),
    ],
)
def test_a_schema_that_can_not_be_used_is_refused_with_the_reason(schema, part):
    with pytest.raises(InputError) as caught:
        check_schema(schema)
    assert part in str(caught.value)


def test_a_schema_that_is_too_deep_is_refused():
    for depth in (100, 5_000):
        schema = {}
        for _ in range(depth):
            schema = {"not": schema}
        with pytest.raises(InputError, match="nested deeper|not JSON"):
            check_schema(schema)


def test_nothing_is_fetched_even_for_a_schema_that_nobody_checked():
    with pytest.raises(Exception, match="127.0.0.1"):
        validate(1, {"$ref": "http://127.0.0.1:1/x.json"})


def laughs(depth):
    """Return a schema of a few lines that asks for 2 to the power of `depth` checks."""
    defs = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{depth}": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "value", "part"),
    [
        ({"$ref": "#"}, 1, "refers to itself"),
        ({"allOf": [{"$ref": "#"}]}, 1, "refers to itself"),
        (laughs(40), "x", "takes too long"),
        ({"items": {"pattern": "(?:[ab]{1,20}){1,20}c"}}, ["a" * 10_000] * 99, "takes too long"),
        ({"items": {"type": "integer"}}, list(range(200_000)), "takes too long"),
    ],
)
def test_a_schema_that_would_never_end_is_stopped(schema, value, part):
    check_schema(schema)
    before = time.process_time()
    with pytest.raises(InputError, match=part):
        validate(value, schema)
    assert time.process_time() - before < 10


@pytest.mark.parametrize("source", ["^(a+)+$", "^(a|a)*$", "^(\\w+\\s?)*$", "(.*a){20}$"])
def test_a_catastrophic_pattern_costs_linear_time(source):
    check_schema({"pattern": source})
    before = time.process_time()
    assert validate("a" * 9_000 + "!", {"pattern": source})
    assert time.process_time() - before < 2


def test_many_items_are_compared_in_linear_time():
    before = time.process_time()
    assert validate([{"n": n} for n in range(20_000)], {"uniqueItems": True}) == ()
    assert time.process_time() - before < 5
    assert validate([1, 1.0], {"uniqueItems": True})
    assert validate([{"a": 1, "b": 2}, {"b": 2, "a": 1}], {"uniqueItems": True})
    assert validate([1, True, "1", None, 0, False], {"uniqueItems": True}) == ()


@pytest.mark.parametrize(
    ("source", "text", "is_in"),
    [
        ("b", "abc", True),
        ("^b", "abc", False),
        ("^\\d+$", "12", True),
        ("^\\d+$", "١٢", False),
        ("^\\d+$", "12\n", False),
        ("^\\w+$", "Ana_1", True),
        ("^\\w+$", "Inês", False),
        ("^[\\w.-]+@[\\w-]+\\.[a-z]{2,}$", "ada@house.pt", True),
        ("^\\p{L}+$", "Inês", True),
        ("^\\/x\\-\\u0041$", "/x-A", True),
        ("\\W", "a_1", False),
        ("a", "a" * 10_001, False),
    ],
)
def test_patterns_mean_what_ecma_262_says(source, text, is_in):
    assert Pattern(source).is_in(text) is is_in


def test_property_names_are_matched_by_patterns():
    schema = {
        "properties": {"a": {}},
        "patternProperties": {"^n_": {"type": "integer"}},
        "additionalProperties": False,
    }
    check_schema(schema)
    assert validate({"a": "x", "n_1": 1}, schema) == ()
    assert validate({"n_1": "x"}, schema) == ("$.n_1: 'x' is not of type 'integer'",)
    assert validate({"b": 1}, schema) == ("$: these properties are not allowed: 'b'",)
    typed = {**schema, "additionalProperties": {"type": "string"}}
    assert validate({"b": 1, "n_2": 2}, typed) == ("$.b: 1 is not of type 'string'",)


CASES = [
    (GUEST, {"name": "Ada", "age": 1}),
    (GUEST, {"name": 1, "code": "x", "y": 0}),
    ({"patternProperties": {"^a": {"type": "null"}}}, {"ab": 1, "b": 2}),
    ({"additionalProperties": {"minimum": 3}, "properties": {"a": {}}}, {"a": 1, "b": 2}),
    ({"uniqueItems": True}, [[1], [1.0]]),
    ({"uniqueItems": True}, [[1], [True]]),
    ({"uniqueItems": False}, [1, 1]),
    ({"additionalProperties": True}, {"a": 1}),
    ({"pattern": "b$"}, 3),
]


@pytest.mark.parametrize(("schema", "value"), CASES)
def test_the_verdict_is_that_of_the_plain_library(schema, value):
    assert (validate(value, schema) == ()) == Draft202012Validator(schema).is_valid(value)


class Guest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    menu: Literal["fish", "meat"] = "fish"
    friends: list["Guest"] = []

    @field_validator("name")
    @classmethod
    def is_not_nobody(cls, name: str) -> str:
        if name == "Nobody":
            raise ValueError("nobody is no guest")
        return name


def test_a_pydantic_model_gives_a_schema_that_its_values_pass():
    schema = schema_of(Guest)
    value = {"name": "Ada", "friends": [{"name": "Rui", "menu": "meat"}]}
    assert validate(value, schema) == ()
    assert as_model(value, Guest) == Guest(name="Ada", friends=[Guest(name="Rui", menu="meat")])
    assert validate({"name": "Ada", "friends": [{"name": 1}]}, schema) == (
        "$.friends[0].name: 1 is not of type 'string'",
    )


def test_a_model_s_errors_come_in_the_same_form():
    found = as_model({"name": "Ada", "menu": "soup", "friends": [{"name": "Nobody"}]}, Guest)
    assert isinstance(found, Mismatch)
    assert found.errors == (
        "$.menu: Input should be 'fish' or 'meat'",
        "$.friends[0].name: Value error, nobody is no guest",
    )
    many = as_model({"name": "A", "friends": [{}] * 50}, Guest)
    assert isinstance(many, Mismatch)
    assert len(many.errors) == 10


def test_a_model_that_has_no_schema_is_refused():
    class Odd(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        thing: Pattern

    class Looking(BaseModel):
        model_config = ConfigDict(regex_engine="python-re")
        name: str = Field(pattern="(?=a)a")

    with pytest.raises(InputError, match="Odd has no JSON Schema"):
        schema_of(Odd)
    with pytest.raises(InputError, match="look-around"):
        schema_of(Looking)


def test_an_answer_is_read_checked_and_written_canonically():
    found = read_answer('```json\n{"name": "Ada", "age": 3.0,}\n```', GUEST)
    assert found.value == {"name": "Ada", "age": 3}
    assert found.text == '{"age":3,"name":"Ada"}'
    assert found.raw_text.startswith("```")
    assert found.repairs == ("fence", "trailing_comma")
    assert (found.repaired, found.errors) == (True, ())


def test_a_strict_answer_is_not_called_repaired():
    found = read_answer(' {"name": "Ada"}\n', GUEST)
    assert (found.repaired, found.repairs, found.errors) == (False, (), ())


def test_an_answer_without_json_or_against_the_schema_has_errors():
    none = read_answer("I don't know.", GUEST)
    assert (none.value, none.text) == (None, "")
    assert none.errors == ("$: not JSON: the text holds no JSON object or list",)
    wrong = read_answer('{"age": 1}', GUEST)
    assert (wrong.value, wrong.errors) == ({"age": 1}, ("$: 'name' is a required property",))


def test_null_is_an_answer():
    found = read_answer("null", None)
    assert (found.value, found.text, found.errors) == (None, "null", ())


def test_without_a_schema_any_json_will_do():
    assert read_answer("[1, {}]", None).errors == ()


def test_the_second_question_shows_the_answer_and_every_error():
    asked = (Message("system", "Be brief."), Message("user", "Who?"))
    errors = ("$.a: wrong", "$.b: {odd} braces")
    *before, answer, question = re_ask(asked, '{"a": ', errors)
    assert tuple(before) == asked
    assert (answer.role, answer.text) == ("assistant", '{"a":')
    assert question.role == "user"
    assert "- $.a: wrong\n- $.b: {odd} braces\n" in question.text


def test_the_second_question_is_short_and_never_quotes_nothing():
    _, answer, question = re_ask((Message("user", "Who?"),), "x" * 100_000, ("$: wrong",))
    assert len(answer.text) == 8_000
    assert len(question.text) < 300
    assert re_ask((), "  \n", ("$: empty",))[0].text == "(no answer)"


def test_the_text_of_an_answer_is_json_that_reads_back():
    text = '{"b": [1.5, "é\\u2028", null, 1e3], "a": {"z": "😀", "y": 10000000000000000000001}}'
    found = read_answer(text, None)
    assert json.loads(found.text) == json.loads(text)
