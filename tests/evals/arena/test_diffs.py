import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.messages import ToolCall
from evals.arena.diffs import MAX_WORDS, call_diff, json_diff, text_diff


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


def test_json_is_compared_field_by_field_whatever_the_order_of_keys():
    fields = json_diff(
        '{"guest": "Ada", "table": 4}', 'Here: ```json\n{"table": 4.0, "vip": []}\n```'
    )
    assert [(f.path, f.a, f.b, f.presence) for f in fields] == [
        ("guest", '"Ada"', "", "only_a"),
        ("table", "4", "4", "same"),
        ("vip", "", "[]", "only_b"),
    ]


def test_lists_and_keys_that_look_like_paths_are_told_apart():
    fields = json_diff('{"a.b": 1, "a": {"b": [2, 3]}}', '{"a.b": 1, "a": {"b": [2, 4]}}')
    found = {f.path: f.presence for f in fields}
    assert found == {'"a.b"': "same", "a.b[0]": "same", "a.b[1]": "differs"}


@pytest.mark.parametrize("text", ["", "plain words", "4", '"a"', "{", '{"a": 1} {"b": 2}'])
def test_texts_without_one_object_or_list_have_no_fields(text):
    assert json_diff(text, '{"a": 1}') is None


def test_calls_of_the_same_tool_stand_beside_each_other():
    a = ("", [call("seat", '{"guest": "Ada", "table": 4}'), call("note", '{"text": "x"}')])
    b = ('<tool_call>{"name": "note", "arguments": {"text": "x"}}</tool_call>', [])
    seat, note = call_diff(a, b, ["seat", "note"])
    assert (seat.name_a, seat.name_b, seat.is_same) == ("seat", None, False)
    assert [f.presence for f in seat.fields] == ["only_a", "only_a"]
    assert (note.name_a, note.name_b, note.is_same) == ("note", "note", True)


def test_calls_of_other_tools_at_the_same_place_are_a_pair():
    a, b = ("", [call("seat", '{"table": 4}')]), ("", [call("place", '{"table": 5}')])
    (pair,) = call_diff(a, b, [])
    assert (pair.name_a, pair.name_b) == ("seat", "place")
    assert [(f.path, f.presence) for f in pair.fields] == [("table", "differs")]


def test_answers_without_calls_have_none():
    assert call_diff(("Good evening.", []), ("", []), ["seat"]) == ()
