import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.messages import ToolCall
from evals.arena.diffs import MAX_FIELDS, MAX_WORDS, call_diff, json_diff, text_diff


def call(name, arguments):
    return ToolCall("1", name, arguments)


def marked(pieces):
    return "".join(f"[{piece.text}]" if piece.is_changed else piece.text for piece in pieces)


def test_words_that_the_other_text_lacks_are_marked():
    diff = text_diff("The quartet plays at nine.", "The big quartet plays at ten.")
    assert marked(diff.a) == "The quartet plays at[ nine.]"
    assert marked(diff.b) == "The[ big] quartet plays at[ ten.]"
    assert not diff.is_same


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_pieces_are_the_texts_and_equal_texts_have_no_marks(a, b):
    diff = text_diff(a, b)
    assert "".join(piece.text for piece in diff.a) == a
    assert "".join(piece.text for piece in diff.b) == b
    assert diff.is_same == (a == b)
    kept = ["".join(p.text for p in side if not p.is_changed) for side in (diff.a, diff.b)]
    assert kept[0] == kept[1]


def test_endless_texts_are_cut():
    diff = text_diff("a b " * 100_000, "b a " * 100_000)
    assert diff.is_cut
    assert len("".join(piece.text for piece in diff.a).split()) == MAX_WORDS


def test_texts_that_differ_only_where_they_are_cut_are_not_the_same():
    diff = text_diff("word " * MAX_WORDS + "pay", "word " * MAX_WORDS + "refuse")
    assert (diff.is_cut, diff.has_marks, diff.is_same) == (True, False, False)


def test_json_is_compared_field_by_field_whatever_the_order_of_keys():
    fields = json_diff(
        '{"guest": "Ada", "table": 4}', 'Here: ```json\n{"table": 4.0, "vip": []}\n```'
    ).shown
    assert [(f.path, f.a, f.b, f.presence) for f in fields] == [
        ("guest", '"Ada"', "", "only_a"),
        ("table", "4", "4", "same"),
        ("vip", "", "[]", "only_b"),
    ]


def test_lists_and_keys_that_look_like_paths_are_told_apart():
    fields = json_diff('{"a.b": 1, "a": {"b": [2, 3]}}', '{"a.b": 1, "a": {"b": [2, 4]}}')
    found = {f.path: f.presence for f in fields.shown}
    assert not fields.is_same
    assert found == {'"a.b"': "same", "a.b[0]": "same", "a.b[1]": "differs"}


def test_a_difference_beyond_what_is_shown_is_found_and_shown_first():
    here, there = list(range(600)), list(range(600))
    there[550] = -1
    fields = json_diff(json.dumps(here), json.dumps(there))
    assert (fields.is_same, fields.left_out, len(fields.shown)) == (False, 100, MAX_FIELDS)
    assert (fields.shown[0].path, fields.shown[0].b) == ("[550]", "-1")
    assert json_diff(json.dumps(here), json.dumps(here)).is_same


@pytest.mark.parametrize("text", ["", "plain words", "4", '"a"', "{", '{"a": 1} {"b": 2}'])
def test_texts_without_one_object_or_list_have_no_fields(text):
    assert json_diff(text, '{"a": 1}') is None


def test_calls_of_the_same_tool_stand_beside_each_other():
    a = ("", [call("seat", '{"guest": "Ada", "table": 4}'), call("note", '{"text": "x"}')])
    b = ('<tool_call>{"name": "note", "arguments": {"text": "x"}}</tool_call>', [])
    seat, note = call_diff(a, b, ["seat", "note"])
    assert (seat.name_a, seat.name_b, seat.is_same) == ("seat", None, False)
    assert [f.presence for f in seat.arguments.shown] == ["only_a", "only_a"]
    assert (note.name_a, note.name_b, note.is_same) == ("note", "note", True)


def test_calls_of_other_tools_at_the_same_place_are_a_pair():
    a, b = ("", [call("seat", '{"table": 4}')]), ("", [call("place", '{"table": 5}')])
    (pair,) = call_diff(a, b, [])
    assert (pair.name_a, pair.name_b) == ("seat", "place")
    assert [(f.path, f.presence) for f in pair.arguments.shown] == [("table", "differs")]


def test_calls_that_can_t_be_read_are_not_compared_as_if_there_were_none():
    broken, listed = ("", [call("pay", '{"a":')]), ("", [call("delete_all", "[1]")])
    assert call_diff(broken, listed, []) is None
    assert call_diff(broken, ("", []), ["pay"]) is None


def test_answers_without_calls_have_none():
    assert call_diff(("Good evening.", []), ("", []), ["seat"]) == ()
