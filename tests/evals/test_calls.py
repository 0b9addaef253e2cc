"""Calls in an answer: raw, repaired, malformed or none."""

import json
import time

import pytest

from core.messages import ToolCall
from evals.calls import read_answer

NAMES = ("find_table", "seat", "music.play")
ADA = ("find_table", {"guest": "Ada"})
CALL = '{"name": "find_table", "arguments": {"guest": "Ada"}}'


def read(text, names=NAMES):
    return read_answer(text, (), names)


def calls(reading):
    return [(call.name, call.arguments) for call in reading.calls]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (f"<tool_call>{CALL}</tool_call>", "tags"),
        (f"Of course.\n<tool_call>\n{CALL}\n</tool_call>\n", "tags"),
        ('<tool_call name="find_table">{"guest": "Ada"}</tool_call>', "tags"),
        ('<tool_call name=\'find_table\'>\n{"guest": "Ada"}\n</tool_call>', "tags"),
        ('<tool_call>{"find_table": {"guest": "Ada"}}</tool_call>', "tags"),
        (CALL, "json"),
        (f" [{CALL}]\n", "json"),
        ('{"find_table": {"guest": "Ada"}}', "json"),
        ('[{"find_table": {"guest": "Ada"}}]', "json"),
        ('[{"find_table": "{\\"guest\\": \\"Ada\\"}"}]', "json"),
        (f'{{"type": "function", "function": {CALL}}}', "json"),
        (
            '[{"id": "1", "type": "function", "function": '
            '{"name": "find_table", "arguments": "{\\"guest\\": \\"Ada\\"}"}}]',
            "json",
        ),
        (f"```json\n{CALL}\n```", "json"),
        (f"```JSON\n[{CALL}]\n```\n", "json"),
        (f"```\n{CALL}\n```", "json"),
        ("find_table(guest='Ada')", "python"),
        ('[find_table(guest="Ada")]', "python"),
        ("```python\nfind_table(guest='Ada')\n```", "python"),
        ("```\n[find_table(guest='Ada')]\n```", "python"),
    ],
)
def test_what_a_strict_reader_accepts_is_raw(text, form):
    found = read(text)
    assert (found.outcome, found.form, found.repairs) == ("called", form, ())
    assert calls(found) == [ADA]


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>{CALL}</tool_call>and<tool_call>{CALL}</tool_call>",
        f"<tool_call>[{CALL}, {CALL}]</tool_call>",
        f"[{CALL}, {CALL}]",
        "find_table(guest='Ada')\nfind_table(guest='Ada')",
        "[find_table(guest='Ada'), find_table(guest='Ada')]",
    ],
)
def test_several_calls_keep_their_number(text):
    assert calls(read(text)) == [ADA, ADA]


@pytest.mark.parametrize(
    ("text", "repair"),
    [
        (f"Here it is: {CALL}", "prose"),
        (f"Here it is:\n```json\n{CALL}\n```\nDone.", "fence"),
        (CALL.replace('"', "'"), "single_quotes"),
        (CALL[:-1] + ",}", "trailing_comma"),
        (CALL[:-1], "closed"),
        (f"<tool_call>{CALL}", "tag"),
        (f"<tool_call>{CALL[:-1]}</tool_call>", "tag"),
        ('{"name": "find_table", "parameters": {"guest": "Ada"}}', "alias"),
        ('{"tool_calls": [' + CALL + "]}", "native"),
        ('<function=find_table>{"guest": "Ada"}</function>', "function_tag"),
        ('find_table({"guest": "Ada"})', "python"),
        ('Let me look into it. find_table(guest="Ada")', "python"),
        ('Sure! I run `find_table(guest="Ada")` and then tell you (soon).', "prose"),
        ('Let me do it. [find_table(guest="Ada")]', "python"),
        ('1. find_table(guest="Ada")', "python"),
        ('**find_table**(guest="Ada")', "python"),
        ('Calling: find_table (guest = "Ada")', "python"),
    ],
)
def test_what_needs_a_repair_says_which(text, repair):
    found = read(text)
    assert (found.outcome, found.form) == ("called", "repaired")
    assert repair in found.repairs
    assert calls(found) == [ADA]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("find_table('Ada')", "a positional argument"),
        ("[find_table('Ada', seats=2)]", "a positional argument"),
        ("find_table(guest='Ada', guest='Bo')", "an argument comes twice"),
        (CALL.replace('"guest": "Ada"', '"guest": "Ada", "guest": "Bo"'), "'guest' comes twice"),
        (f'<tool_call>{CALL[:-2]}, "guest": 1}}}}</tool_call>', "'guest' comes twice"),
        (f'So: {CALL[:-2]}, "guest": 1}}}}', "'guest' comes twice"),
        (f"<tool_call>{CALL}</tool_call><tool_call>{{</tool_call>", "expected a key"),
        (f"<tool_call>{CALL}</tool_call><tool_call>", "not closed"),
        ("<tool_call></tool_call>", "empty"),
        ("<tool_call>[]</tool_call>", "no call"),
        ("find_table(guest=", "can't be read"),
        ("find_table(guest=today())", "can't be read"),
        ("find_table(guest=2 * [1])", "can't be read"),
        ("seat(table=1e999)", "no JSON value"),
        ("seat(table=0x1" + "0" * 5000 + ")", "no JSON value"),
        ('{"name": "find_table", "arguments": {"guest": "Ad', "can't be read"),
        ('{"name": "find_table", "arguments": {"guest": NaN}}', "can't be read"),
        ('{"name": "find_table", "arguments": {"n": ' + "9" * 5000 + "}}", "can't be read"),
        ("Action: find_table\nAction Input: Ada", "can't be read"),
        ('{"name": "find_table"', "can't be read"),
        ("Let me see. find_table('Ada')", "can't be read"),
        ('Let me see. find_table(guest="Ada', "can't be read"),
        ("Let me see: seat[{guest: 1}", "can't be read"),
        ("Sure! seat(Ada)", "can't be read"),
        ('So: seat(guest="Ada") and seat(guest=today())', "can't be read"),
        ('{"function": "book_car", "params": {"x": 1}}', "can't be read"),
        ('{"book_car": {"x": 1}}', "can't be read"),
    ],
)
def test_what_looks_like_a_call_and_is_none_is_malformed(text, problem):
    found = read(text)
    assert (found.outcome, found.calls) == ("malformed", ())
    assert problem in found.problem


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "No tool can do that.",
        "The tool `find_table(guest)` finds tables, not songs.",
        "find_table needs a guest, and you named none.",
        "[Sorry] I can't.",
        "[1] says otherwise.",
        "[]",
        "{}",
        "```json\n[]\n```",
        '{"answer": "no tool fits"}',
        '{"name": "Ada", "table": 3}',
        "```python\nx = 1\n```",
        "I am sorry (really).",
        "I can't use find_table here.",
        "I can't use find_table() here.",
        "With seat(guest) I seat people, and find_table(guest) finds tables.",
        "seat (number 4) is free.",
        "The seat (number 4) is free: ask for it.",
        "Your seat(s) can't be found.",
        "seat(s) are free",
        "The seat: number 4. [seat](#4) {seat}",
        '{"seats": [1, 2], "table": {"n": 1}}',
    ],
)
def test_an_answer_without_calls_is_an_abstention(text):
    assert read(text).outcome == "abstained"


def test_calls_that_came_apart_are_all_there_is():
    apart = (ToolCall("1", "find_table", '{"guest": "Ada"}'),)
    found = read_answer("seat(table=1)", apart, NAMES)
    assert (found.form, calls(found)) == ("apart", [ADA])


@pytest.mark.parametrize(
    "arguments", ["", "{", "[]", "5", '{"guest": "Ada", "guest": "Bo"}', '{"guest": NaN}', "\ud800"]
)
def test_bad_arguments_of_calls_that_came_apart_are_malformed(arguments):
    found = read_answer("", (ToolCall("1", "find_table", arguments),), NAMES)
    assert found.outcome == "malformed"


def test_mended_arguments_of_calls_that_came_apart_are_repaired():
    found = read_answer("", (ToolCall("1", "find_table", "{'guest': 'Ada',}"),), NAMES)
    assert (found.form, calls(found)) == ("repaired", [ADA])
    assert found.repairs == ("single_quotes", "trailing_comma")


def test_a_broken_tag_beside_calls_that_came_apart_is_malformed():
    apart = (ToolCall("1", "find_table", '{"guest": "Ada"}'),)
    assert read_answer("<tool_call>{", apart, NAMES).outcome == "malformed"


def test_no_tools_need_be_offered():
    assert calls(read(CALL, ())) == [ADA]
    assert read("find_table(", ()).outcome == "malformed"
    assert read("Hello.", ()).outcome == "abstained"


BIG = 1_000_000
HOSTILE = {
    "brackets": "[" * BIG,
    "braces": "{" * BIG,
    "objects": '{"a":' * 20_000,
    "closed": "[" * 40_000 + "]" * 40_000,
    "parentheses": "find_table(" * 9_000,
    "opened tags": "<tool_call>" * 9_000,
    "named tags": '<tool_call name="' * 5_000,
    "closed tags": "</tool_call>" * 8_000,
    "empty tags": "<tool_call></tool_call>" * 4_000,
    "long tags": "<tool_call>" + " " * 90_000,
    "fences": "```" * 30_000,
    "names": '"name":' * 14_000,
    "quotes": "'" * 99_000,
    "backslashes": "find_table(guest='" + "\\" * 19_000,
    "spaces": "find_table" + " " * 89_000 + "(",
    "inline calls": "So: find_table(guest=1, (" * 4_000,
    "inline closings": "So: find_table(a='" + ")" * 90_000,
    "lines": "\n" * 99_999,
    "lines of names": "find_table\n" * 9_000,
    "minuses": f"find_table(a={'-' * 19_000}1)",
    "attributes": f"find_table(a=x{'.b' * 9_000})",
    "sums": f"find_table(a={'1+' * 9_000}1)",
    "digits": f"find_table(a={'9' * 5_000})",
    "powers": "find_table(a=9**9**9**9)",
    "null": f"\0{CALL}\0",
    "half a pair": f"\ud800{CALL}",
    "half a pair in a tag": '<tool_call>{"name": "\ud800", "arguments": {}}</tool_call>',
    "html": f"<script>alert(1)</script>{'<b>' * 30_000}",
    "actions": "Action:\n" * 12_000,
    "many calls": f"[{', '.join([CALL] * 1_500)}]",
    "many python calls": f"[{'seat(),' * 2_500}]",
    "regex bomb": "a" * 50_000 + "!",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_texts_are_read_in_no_time(kind):
    started = time.process_time()
    found = read(HOSTILE[kind])
    assert time.process_time() - started < 5
    assert len(found.calls) <= 1000
    json.dumps([call.arguments for call in found.calls]).encode()
    "".join(call.name for call in found.calls).encode()
