"""Tool calls in an answer: what a strict reader accepts, and what only a repair can read.

A strict reader takes calls that came apart from the text; `<tool_call>` tags with strict JSON,
prose around them allowed; and a text that is nothing but calls, in a code fence or not, as strict
JSON or as Python-like calls with named literal arguments. All else that `core.tool_calls` can read
is a repair. Nothing is ever executed; a text of more than 100,000 characters is not read.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

from core.json_text import JsonFailure, parse_json
from core.messages import JsonObject, JsonValue, ToolCall
from core.tool_calls import read_calls
from core.tool_calls.dresses import MAX_TEXT_CHARACTERS
from core.tool_calls.python_calls import UNKNOWN_ESCAPE, python_calls
from core.tool_calls.split import MAX_CALL_CHARACTERS
from evals.call_marks import inline_calls, looks_like_call
from evals.strict_json import fenced_block

Outcome = Literal["abstained", "malformed", "called"]
"""`abstained`: nothing in the answer looks like a call. `malformed`: something does and can't be
read."""
Form = Literal["none", "apart", "tags", "json", "python", "repaired"]
"""How the calls were written; `apart`: they came beside the text."""

OPEN = re.compile(r"<tool_call(?:[ \t]+name=[\"']([^\"'<>\n]{1,200})[\"'])?[ \t]*>")
CLOSE = "</tool_call>"
MAX_CALLS = 1000
"""Calls that are read of one answer; one with more is malformed."""
TOO_LONG = f"longer than {MAX_TEXT_CHARACTERS} characters"
NO_JSON = "an argument has no JSON value; write plain texts and numbers of at most 4,300 digits"
SHAPE = "it is no call; write an object of name and arguments"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an answer."""

    name: str
    arguments: JsonObject = field(hash=False)


@dataclass(frozen=True, slots=True)
class AnswerCalls:
    """What was read of one answer."""

    outcome: Outcome
    calls: tuple[Call, ...] = ()
    form: Form = "none"
    repairs: tuple[str, ...] = ()
    """What a lenient reader did, as in `core.tool_calls.ReadCalls`; empty: the reading is raw."""
    problem: str | None = None
    """For people: why the strict reader refused what looks like a call."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a strict reader refuses a text."""

    problem: str
    is_call: bool = True
    """Whether the text is surely meant as a call."""

    is_final: bool = False
    """Whether no repair may choose what was meant."""


def read_answer(text: str, tool_calls: Sequence[ToolCall], names: Sequence[str]) -> AnswerCalls:
    """Read the calls of an answer; `names` are the offered tools.

    Calls that came apart from the text are all there is, unless the text holds a tag as well: then
    a call was lost on the way, and the answer is malformed. Takes time linear in the text and
    never raises.
    """
    if tool_calls:
        if "<tool_call" in text:
            return AnswerCalls("malformed", problem="the text holds another call that is broken")
        return _apart(tool_calls)
    strict = _strict(text, names)
    if isinstance(strict, AnswerCalls):
        return strict
    return _repaired(text, names, strict)


def _repaired(text: str, names: Sequence[str], refusal: _Refusal | None) -> AnswerCalls:
    """Return what repairs can read, where nothing says that they would have to guess."""
    is_final = refusal is not None and refusal.is_final
    if not is_final:
        found = read_calls(text, names)
        if found.repairs:
            calls = tuple(Call(call.name, _arguments(call)) for call in found.repaired[:MAX_CALLS])
            return AnswerCalls("called", calls, "repaired", found.repairs)
        inline = tuple(Call(call.name, call.arguments) for call in inline_calls(text, names))
        if inline and all(map(_is_json, inline)):
            return AnswerCalls("called", inline, "repaired", ("prose", "python"))
    if not (refusal is not None and refusal.is_call) and not looks_like_call(text, names):
        return AnswerCalls("abstained")
    return AnswerCalls("malformed", problem=_problem(text, refusal))


def _problem(text: str, refusal: _Refusal | None) -> str:
    if refusal is not None and (refusal.is_call or refusal.is_final):
        return refusal.problem
    return _python_problem(text) or "it can't be read"


def _apart(tool_calls: Sequence[ToolCall]) -> AnswerCalls:
    calls, repairs = list[Call](), dict[str, None]()
    if len(tool_calls) > MAX_CALLS:
        return AnswerCalls("malformed", problem=f"more than {MAX_CALLS} calls")
    for call in tool_calls:
        read = parse_json(call.arguments)
        if isinstance(read, JsonFailure):
            return AnswerCalls("malformed", problem=f"the arguments: {read.reason}")
        if not isinstance(read.value, Mapping) or not _is_text(call.name):
            return AnswerCalls("malformed", problem="the arguments must be an object")
        repairs.update(dict.fromkeys(read.repairs))
        calls.append(Call(call.name, read.value))
    return AnswerCalls("called", tuple(calls), "repaired" if repairs else "apart", tuple(repairs))


def _strict(text: str, names: Sequence[str]) -> AnswerCalls | _Refusal | None:
    """Read what a strict reader accepts."""
    if len(text) > MAX_TEXT_CHARACTERS:
        return _Refusal(TOO_LONG, is_call=False, is_final=True)
    if OPEN.search(text):
        return _called(_tagged(text), "tags")
    whole = text.strip()
    if whole.startswith("```") and whole.endswith("```") and (block := fenced_block(whole)):
        whole = block.strip()
    value = _json(whole)
    if not isinstance(value, _Refusal):
        calls = _calls_of(value, frozenset(names))
        return _called(calls, "json") if calls else None
    if _python_problem(whole) is None and (found := python_calls(whole)):
        calls = tuple(Call(each.name, each.arguments) for each in found)
        return _called(calls, "python") if all(map(_is_json, calls)) else _Refusal(NO_JSON)
    return replace(value, is_call=False)


def _called(calls: tuple[Call, ...] | _Refusal, form: Form) -> AnswerCalls | _Refusal:
    if isinstance(calls, _Refusal):
        return calls
    if len(calls) > MAX_CALLS:
        return AnswerCalls("malformed", problem=f"more than {MAX_CALLS} calls")
    return AnswerCalls("called", calls, form)


def _tagged(text: str) -> tuple[Call, ...] | _Refusal:
    """Read all tags; a broken one spoils the others."""
    *closed, rest = text.split(CLOSE)
    if OPEN.search(rest):
        return _Refusal("a <tool_call> tag is not closed")
    calls: list[Call] = []
    for part in closed:
        openings = list(islice(OPEN.finditer(part), 2))
        if len(openings) != 1:
            return _Refusal("a <tool_call> tag is not closed, or not opened")
        value = _json(part[openings[0].end() :])
        if isinstance(value, _Refusal):
            return value
        name = openings[0][1]
        found = _calls_of(value, None) if name is None else _named(name, value)
        if not found:
            return _Refusal(SHAPE)
        calls += found
    return tuple(calls)


def _json(text: str) -> JsonValue | _Refusal:
    """Return the value of strict JSON."""
    read = parse_json(text)
    if isinstance(read, JsonFailure):
        return _Refusal(read.reason, is_final=read.reason.endswith("comes twice in one object"))
    return _Refusal(f"JSON with {', '.join(read.repairs)}") if read.repaired else read.value


def _calls_of(value: JsonValue, offered: frozenset[str] | None) -> tuple[Call, ...]:
    """Return strict JSON as calls, all or nothing; in tags any name is one (`offered` is None)."""
    if not isinstance(value, list):
        return _call_of(value, offered)
    # A list is no answer to a person, so a name that was not offered is a wrong call.
    found = [_call_of(item, None) for item in value]
    return tuple(call for calls in found for call in calls) if all(found) else ()


def _call_of(item: JsonValue, offered: frozenset[str] | None) -> tuple[Call, ...]:
    if not isinstance(item, Mapping):
        return ()
    function = item.get("function")
    if isinstance(function, Mapping) and not item.keys() - {"id", "type", "index", "function"}:
        if function.keys() == {"name", "arguments"}:
            return _named(function["name"], function["arguments"])
        return ()
    if item.keys() == {"name", "arguments"} and isinstance(item["arguments"], Mapping):
        return _named(item["name"], item["arguments"])
    if len(item) != 1:
        return ()
    # BFCL's shape, `{"f": {"a": 1}}`; its function-calling mode writes the arguments as text.
    name, arguments = next(iter(item.items()))
    return _named(name, arguments) if offered is None or name in offered else ()


def _named(name: JsonValue, arguments: JsonValue) -> tuple[Call, ...]:
    if isinstance(arguments, str):
        value = _json(arguments)
        arguments = None if isinstance(value, _Refusal) else value
    if not isinstance(name, str) or not isinstance(arguments, Mapping):
        return ()
    return (Call(name, arguments),)


def _arguments(call: ToolCall) -> JsonObject:
    read = parse_json(call.arguments)
    return read.value if not isinstance(read, JsonFailure) and isinstance(read.value, dict) else {}


def _is_json(call: Call) -> bool:
    """Say whether Python's literals are JSON: no infinity, no huge number, no half of a pair."""
    try:
        json.dumps(call.arguments, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


def _is_text(name: str) -> bool:
    """Say whether the name can be written to a file: no half of a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _python_problem(text: str) -> str | None:
    """Say which liberty of Python a call takes that a strict reader does not allow."""
    text = text.strip("`\n\t ")
    if len(text) > MAX_CALL_CHARACTERS or UNKNOWN_ESCAPE.search(text):
        return None
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    values = [statement.value for statement in body if isinstance(statement, ast.Expr)]
    nodes = [n for v in values for n in (v.elts if isinstance(v, ast.List) else [v])]
    for call in nodes:
        if not isinstance(call, ast.Call):
            continue
        if call.args:
            return "a positional argument; give every argument its name"
        if len({keyword.arg for keyword in call.keywords}) < len(call.keywords):
            return "an argument comes twice"
    return None
