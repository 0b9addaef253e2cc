import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.messages import ToolCall
from core.tool_calls import CallSplitter, CallText, find_calls, same_call, split_calls

GOOD = '<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>'
PARTS = (
    "<tool_call>",
    "</tool_call>",
    '{"name": "f", "arguments": {"x": 1}}',
    "<tool",
    "_call>",
    "</",
    "{",
    " ",
    "\n",
    "é🎉",
    "Good evening",
    GOOD,
)
completions = st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=5)), max_size=12).map(
    "".join
)


def facts(parts: CallText) -> tuple[str, list[tuple[str, str]]]:
    """Return what must not depend on how the text came; ids are drawn anew."""
    return parts.content, [(call.name, call.arguments) for call in parts.calls]


def streamed(pieces: list[str]) -> CallText:
    splitter = CallSplitter()
    parts = [splitter.push(piece) for piece in pieces]
    content = "".join(part.content for part in parts) + splitter.flush()
    return CallText(content, tuple(call for part in parts for call in part.calls))


@given(completions, st.lists(st.integers(0, 200), max_size=8))
def test_a_stream_is_split_as_the_whole_is(text, cuts):
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in zip(places, places[1:], strict=False)]
    assert facts(streamed(pieces)) == facts(split_calls(text)) == facts(streamed(list(text)))


@given(completions)
def test_text_is_never_lost(text):
    found = split_calls(text)
    calls = "".join(call.arguments for call in found.calls)
    kept = "".join((found.content + calls).split())
    if not found.calls:
        assert found.content == text.rstrip()
    assert len(kept) <= len("".join(text.split()))


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (GOOD, ""),
        (f"Let me see.\n{GOOD}", "Let me see."),
        (f"Let me see.  {GOOD}\n\nDone. ", "Let me see.\nDone."),
        (f"{GOOD}\n{GOOD}", ""),
        (f"  {GOOD} Done.", "Done."),
    ],
)
def test_tagged_calls_are_taken_out(text, content):
    found = split_calls(text)
    assert found.content == content
    assert {(call.name, call.arguments) for call in found.calls} == {("f", '{"x": 1}')}
    assert len({call.id for call in found.calls}) == text.count("<tool_call>")


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "not JSON",
        '{"name": "f"}',
        '{"name": 1, "arguments": {}}',
        '{"name": "f", "arguments": []}',
        '{"name": "f", "arguments": "{}"}',
        '{"name": "f", "arguments": {}, "more": 1}',
        '{"name": "f", "arguments": {"x": NaN}}',
        '{"name": "f", "arguments": {"x": 1e999}}',
        '[{"name": "f", "arguments": {}}]',
        '{"a":' * 5000,
        '{"name": "f", "arguments": {"x": "' + "y" * 20_000 + '"}}',
    ],
)
def test_a_broken_call_stays_text_exactly(inside):
    text = f"Well:\n  <tool_call>{inside}</tool_call> so."
    assert split_calls(text) == CallText(text, ())


def test_an_unfinished_call_stays_text():
    text = 'Well: <tool_call>{"name": "f", "argu'
    assert split_calls(text) == CallText(text, ())


def test_a_call_in_the_making_is_shown_without_what_came_before():
    splitter = CallSplitter()
    first = splitter.push('Well.\n<tool_call>{"name"')
    assert (first.content, first.call_text) == ("Well.", '{"name"')
    assert splitter.push(': "f"').call_text == ': "f"'
    assert splitter.push(', "arguments": {}}</tool_call>').calls[0].name == "f"


@pytest.mark.parametrize(
    "text",
    [
        'I call {"name": "find_table", "arguments": {"guest": "Ada"}} now.',
        '```json\n{"name": "find_table", "arguments": {"guest": "Ada"}}\n```',
        '[{"name": "find_table", "arguments": {"guest": "Ada"}}]',
        '<tool_call>{"name": "find_table", "arguments": {"guest": "Ada"}}',
        'find_table {"guest": "Ada"}',
        'Action: find_table\nInput: {"guest": "Ada"}',
        '{broken {"name": "find_table", "arguments": {"guest": "Ada"}}',
    ],
)
def test_calls_are_found_in_any_dress(text):
    (call,) = find_calls(text, ["find_table", "seat"])
    assert (call.name, json.loads(call.arguments)) == ("find_table", {"guest": "Ada"})


def test_several_calls_come_in_order_and_with_the_nearest_name():
    text = 'seat {"n": 1} then find_table {"n": 2}, last {"name": "seat", "arguments": {}}'
    found = find_calls(text, ["find_table", "seat"])
    assert [(c.name, c.arguments) for c in found] == [
        ("seat", '{"n": 1}'),
        ("find_table", '{"n": 2}'),
        ("seat", "{}"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "find_table",
        '{"guest": "Ada"}',
        'unfind_tables {"guest": "Ada"}',
        'reseated {"guest": "Ada"}',
        'find_table {"guest": "Ada"',
        'find_table ["Ada"]',
        'find_table {"x": NaN}',
        "{" * 3000,
    ],
)
def test_what_is_no_call_is_not_found(text):
    assert find_calls(text, ["find_table", "seat"]) == ()


def test_same_call_ignores_the_order_of_keys():
    call = ToolCall("1", "f", '{"a": 1, "b": [1, 2]}')
    assert same_call(call, "f", {"b": [1, 2], "a": 1})
    assert not same_call(call, "f", {"b": [2, 1], "a": 1})
    assert not same_call(call, "g", {"a": 1, "b": [1, 2]})
    assert not same_call(ToolCall("1", "f", "{broken"), "f", {})
