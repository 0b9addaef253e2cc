"""Calls in every dress, and texts that are none."""

import json
import time

import pytest

from core.tool_calls import find_calls, read_calls

NAMES = ("find_table", "seat", "list_guests")
ADA = ("find_table", {"guest": "Ada"})


def calls(text, names=NAMES):
    """Return what is read, raw calls never among it."""
    found = read_calls(text, names)
    assert found.raw == ()
    return [(call.name, json.loads(call.arguments)) for call in found.repaired]


def repairs(text, names=NAMES):
    return read_calls(text, names).repairs


def test_tagged_calls_are_raw_and_not_repaired():
    text = 'Well.\n<tool_call>{"name": "find_table", "arguments": {"guest": "Ada"}}</tool_call>'
    found = read_calls(text, NAMES)
    assert [(c.name, c.arguments) for c in found.raw] == [("find_table", '{"guest": "Ada"}')]
    assert (found.repaired, found.repairs) == (found.raw, ())


def test_a_raw_call_keeps_a_broken_one_beside_it_out():
    good = '<tool_call>{"name": "seat", "arguments": {}}</tool_call>'
    found = read_calls(f"{good}<tool_call>{{'name': 'seat', 'arguments': {{}}}}</tool_call>", NAMES)
    assert len(found.raw) == 1
    assert found.repaired == found.raw


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("<tool_call>{'name': 'find_table', 'arguments': {'guest': 'Ada'}}</tool_call>", "tag"),
        ('<tool_call>{"name": "find_table", "arguments": {"guest": "Ada",}}</tool_call>', "tag"),
        ('<tool_call>{"name": "find_table", "arguments": {"guest": "Ada"}</tool_call>', "closed"),
        ('<tool_call>{"name": "find_table", "arguments": {"guest": "Ada"}}', "tag"),
        ('<tool_call>```json\n{"name": "find_table", "arguments": {"guest": "Ada"}}\n```', "fence"),
        ('<tool_call>[{"name": "find_table", "arguments": {"guest": "Ada"}}]</tool_call>', "tag"),
        ('<function_call>{"name": "find_table", "arguments": {"guest": "Ada"}}', "tag"),
        ('<tool_call>find_table(guest="Ada")</tool_call>', "python"),
        ('<tool_call>find_table {"guest": "Ada"}</tool_call>', "name_first"),
        ('<|python_tag|>{"name": "find_table", "parameters": {"guest": "Ada"}}<|eom_id|>', "alias"),
        ('<|python_tag|>find_table(guest="Ada")', "python"),
        ('[TOOL_CALLS][{"name": "find_table", "arguments": {"guest": "Ada"}}]</s>', "tag"),
        ('[TOOL_CALLS]find_table[ARGS]{"guest": "Ada"}', "name_first"),
        ('<function=find_table>{"guest": "Ada"}</function>', "function_tag"),
        ('Well. <function=find_table>{"guest": "Ada"}', "function_tag"),
        ('{"name": "find_table", "arguments": {"guest": "Ada"}}', "bare"),
        ('[{"name": "find_table", "arguments": {"guest": "Ada"}}]', "bare"),
        ('{"name": "find_table", "arguments": "{\\"guest\\": \\"Ada\\"}"}', "arguments_text"),
        ('{"name": "find_table", "parameters": {"guest": "Ada"}}', "alias"),
        ('{"name": "find_table", "args": {"guest": "Ada"}}', "alias"),
        (
            '{"type": "tool_use", "id": "1", "name": "find_table", "input": {"guest": "Ada"}}',
            "alias",
        ),
        ('{"action": "find_table", "action_input": {"guest": "Ada"}}', "alias"),
        (
            '{"id": "1", "type": "function", "function": '
            '{"name": "find_table", "arguments": "{\\"guest\\": \\"Ada\\"}"}}',
            "native",
        ),
        (
            '{"role": "assistant", "content": null, "tool_calls": [{"type": "function", '
            '"function": {"name": "find_table", "arguments": {"guest": "Ada"}}}]}',
            "native",
        ),
        ('{"find_table": {"guest": "Ada"}}', "name_as_key"),
        ('```json\n{"name": "find_table", "arguments": {"guest": "Ada"}}\n```', "fence"),
        (
            'Here:\n```tool_call\n{"name": "find_table", "arguments": {"guest": "Ada"}}\n```',
            "fence",
        ),
        ('Here:\n```python\nfind_table(guest="Ada")\n```', "python"),
        ("[find_table(guest='Ada')]", "python"),
        ('find_table(guest="Ada")', "python"),
        ('find_table({"guest": "Ada"})', "python"),
        ('find_table {"guest": "Ada"}', "name_first"),
        ('Let me look.\nfind_table(guest="Ada")', "prose"),
        ('I call {"name": "find_table", "arguments": {"guest": "Ada"}} now.', "prose"),
        ("I call {'name': 'find_table', 'arguments': {'guest': 'Ada'}} now.", "prose"),
        ('Thought: where?\nAction: find_table\nAction Input: {"guest": "Ada"}', "action"),
        ('Action: find_table\nAction Input: {"guest": "Ada"}\nObservation: 3', "action"),
    ],
)
def test_a_call_is_read_in_every_dress_and_the_repair_is_named(text, repaired):
    assert calls(text) == [ADA]
    assert repaired in repairs(text)


def test_several_calls_keep_their_order():
    two = [("seat", {"n": 1}), ("seat", {"n": 2})]
    one = '{"name": "seat", "arguments": {"n": 1}}'
    other = one.replace("1", "2")
    for text in (
        f"[{one}, {other}]",
        f"{one}\n{other}",
        f"{one}; {other}",
        f"```json\n{one}\n```\nand\n```json\n{other}\n```",
        f"<tool_call>{one},}}</tool_call><tool_call>{{'name': 'seat', 'arguments': {{'n': 2}}}}",
        "[seat(n=1), seat(n=2)]",
        "seat(n=1)\nseat(n=2)",
        "<function=seat>{'n': 1}</function><function=seat>{'n': 2}</function>",
    ):
        assert calls(text) == two, text


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ("n=-1", {"n": -1}),
        ("n=-1.5", {"n": -1.5}),
        ("n=[1, [2, {'a': None}]]", {"n": [1, [2, {"a": None}]]}),
        ("n=(1, 2)", {"n": [1, 2]}),
        ("n=True, m=false, k=null", {"n": True, "m": False, "k": None}),
        ("n='it\\'s', m=\"-- # (x)\"", {"n": "it's", "m": "-- # (x)"}),
        ("", {}),
        ("\n  n=1,\n", {"n": 1}),
    ],
)
def test_python_literals_are_read(written, arguments):
    assert calls(f"seat({written})") == [("seat", arguments)]


@pytest.mark.parametrize(
    "written",
    [
        "'Ada'",
        "guest",
        "n=1, n=2",
        "n=__import__('os').system('x')",
        "n=1+1",
        "n=f'{x}'",
        "n=b'x'",
        "n={1, 2}",
        "n={1: 2}",
        "n={'a': 1, 'a': 2}",
        "n=...",
        "n=1j",
        "n=1e999",
        "n='\\ud800'",
        "n='\\d'",
        "n=lambda: 1",
        "n=-True",
        "*[1]",
        "**{'n': 1}",
    ],
)
def test_what_is_no_literal_or_has_no_name_is_no_call(written):
    assert calls(f"seat({written})") == []
    assert calls(f"<tool_call>seat({written})</tool_call>") == []


def test_python_in_an_answer_is_never_run(tmp_path):
    place = tmp_path / "ran"
    read_calls(f"[seat(n=open({str(place)!r}, 'w').write('x'))]", NAMES)
    read_calls(f"<|python_tag|>seat(n=open({str(place)!r}, 'w'))", NAMES)
    assert not place.exists()


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "fly", "args": {"to": "Rome"}}</tool_call>',
        "<function=fly>{'to': 'Rome'}</function>",
        '<|python_tag|>fly(to="Rome")',
        '{"name": "fly", "arguments": {"to": "Rome"}}',
        '```json\n{"name": "fly", "arguments": {"to": "Rome"}}\n```',
        '{"type": "function", "function": {"name": "fly", "arguments": {"to": "Rome"}}}',
        '[fly(to="Rome")]',
    ],
)
def test_a_name_that_was_not_offered_stays_a_call_when_it_is_dressed_as_one(text):
    assert calls(text) == [("fly", {"to": "Rome"})]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "Good evening.",
        "find_table",
        "I would use find_table for that.",
        'The record is {"name": "Ana"}.',
        '{"name": "Ana"}',
        '{"name": "Ana", "age": 30}',
        '[{"name": "Ana"}, {"name": "Rui"}]',
        '[{"name": "seat", "arguments": {}}, {"name": "Ana"}]',
        '{"name": "Ana", "parameters": {"age": 3}}',
        '{"name": "Ana", "input": {"age": 3}}',
        '{"name": "Ana", "type": "guest", "arguments": {"age": 3}}',
        '{"name": "find_table", "arguments": {"guest": "Ada"}, "note": "an example"}',
        'The body is {"name": "fly", "arguments": {"to": "Rome"}} in their API.',
        '{"name": "find_table"}',
        '{"name": "find_table", "description": "Finds.", "parameters": {"type": "object"}}',
        '{"name": "find_table", "parameters": {"type": "object", "properties": {}}}',
        '{"tools": [{"name": "find_table", "arguments": {}}]}',
        '{"guest": "Ada"}',
        '{"fly": {"to": "Rome"}}',
        '{"find_table": "Ada"}',
        '{"name": "find_table", "arguments": ["Ada"]}',
        '{"name": "find_table", "arguments": "Ada"}',
        '{"name": "", "arguments": {}}',
        '{"name": 3, "arguments": {}}',
        "call me (maybe)",
        "seat (n)",
        "Guests seat (as in sit) where they like.",
        'print("hello")',
        "print(x=1)",
        '```python\nprint("seat")\n```',
        "```python\ndef seat(n):\n    return n\n```",
        "```python\nx = seat(n=1)\n```",
        "```sh\nls -la\n```",
        "for n in range(3): seat(n=n)",
        "f(x) = 2x + 1, so f(3) = 7",
        "The set {1, 2} and the list [1, 2].",
        'I used find_table and it said {"table": 4}.',
        "Use find_table(guest='Ada') to look.",
        "[1]",
        "[]",
        "{}",
        "null",
        "Dear {name}, your table is [table].",
        "<b>seat</b>",
        "<tool_call></tool_call>",
        "<tool_call>not a call</tool_call>",
        "The tag <tool_call> opens a call.",
        "The tag <function=seat>",
        "Action: leave the room",
        "Action: seat\nThen we wait.",
        '{"name": "find_table", "arguments": {"guest": "Ad',
        '{"name": "find_table", "arguments": {"guest": {',
        '<tool_call>{"name": "find_table", "arguments": {"guest": "Ad',
        '{"a": {"name": "seat", "arguments": {}}, "a": 1} is broken',
    ],
)
def test_an_innocent_text_gives_no_call(text):
    assert calls(text) == []


def test_an_empty_function_tag_is_a_call_without_arguments():
    assert calls("<function=list_guests></function>") == [("list_guests", {})]


def test_a_name_alone_is_a_call_only_in_a_tag():
    assert calls('<tool_call>{"name": "list_guests"}</tool_call>') == [("list_guests", {})]
    assert calls('<tool_call>{"name": "Ana"}</tool_call>') == []
    assert calls('{"type": "function", "function": {"name": "list_guests"}}') == [
        ("list_guests", {})
    ]


HOSTILE = {
    "objects": '{"a":' * 20_000,
    "lists": "[" * 100_000,
    "braces": "{" * 100_000,
    "keys": '{"' * 50_000,
    "comments": "{/*" * 33_000,
    "tags": "<tool_call>" * 9_000,
    "closed tags": "<tool_call>{</tool_call>" * 4_000,
    "functions": "<function=f>" * 8_000,
    "mistral": "[TOOL_CALLS]{" * 7_000,
    "fences": "```" * 33_000,
    "open fences": "```json {" * 11_000,
    "actions": "Action: f\nInput: {\n" * 5_000,
    "parentheses": "seat(" * 20_000,
    "signs": "seat(n=" + "-" * 19_000 + "1)",
    "python list": "[seat(n=" * 2_400,
    "names": "find_table " * 9_000,
    "lines": "seat(n=\n" * 12_000,
    "named": 'seat {"n":\n' * 9_000,
    "spaces": "seat" + " " * 99_000,
    "spaces before something": "seat" + " " * 99_000 + "(",
    "dots": "a." * 50_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_text_of_100_kb_costs_little_time(text):
    before = time.process_time()
    assert calls(text) == []
    assert time.process_time() - before < 5


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_searching_a_hostile_text_costs_little_time(text):
    before = time.process_time()
    find_calls(text, NAMES)
    assert time.process_time() - before < 0.8
