"""Tool calls as models write them who were not trained on our template.

Whether a text is a call must not be guessed, so how a call is dressed decides what is believed:
in tags any name is a call, a wrong one too; alone or in a code fence a name that was not offered
needs exactly `name` and `arguments`; amid prose only the offered names count.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from core.json_text import JsonRead, parse_json
from core.messages import ToolCall
from core.tool_calls.find import objects
from core.tool_calls.python_calls import python_calls
from core.tool_calls.shapes import Found, Trust, call_named, calls_of
from core.tool_calls.split import split_calls

MAX_TEXT_CHARACTERS = 100_000
"""Longest text in which repairs are tried."""
MAX_PARTS = 64
"""Tags or fences that are read in one text."""

TAGS = re.compile(
    r"<(?P<tag>tool_calls?|function_calls?)>(?P<content>.*?)(?:</(?P=tag)>|(?=<(?P=tag)>)|\Z)"
    r"|<\|python_tag\|>(?P<llama>.*?)(?:<\|e\w{1,5}_id\|>|\Z)"
    r"|\[TOOL_CALLS\](?P<mistral>.*?)(?:</s>|(?=\[TOOL_CALLS\])|\Z)",
    re.DOTALL,
)
FUNCTION = re.compile(
    r"<function=([\w.-]+)>(.*?)(?:(</function>)|(?=<function=)|\Z)",
    re.DOTALL,
)
FENCE = re.compile(r"```[ \t]*(?:[A-Za-z][\w+-]*(?=\s))?(.*?)(?:```|\Z)", re.DOTALL)
ACTION = re.compile(
    r"^[ \t]*Action:[ \t]*([\w.-]+)[ \t]*\n+"
    r"[ \t]*(?:Action |Tool )?(?:Input|Arguments|Args|Parameters):\s*(\{.*)",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
OBSERVATION = re.compile(r"^[ \t]*(?:Observation|Action|Thought|Final Answer):", re.MULTILINE)
NAMED = re.compile(r"([^\W\d][\w.-]*)(?:[ \t]*(?:\[ARGS\]|:))?\s*(\{.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ReadCalls:
    """The calls of one completion, as they stand and after repairs."""

    raw: tuple[ToolCall, ...]
    """As `split_calls` reads them: tags with valid JSON."""
    repaired: tuple[ToolCall, ...]
    """The same, or when there are none, what was found in another dress."""
    repairs: tuple[str, ...]
    """What was done, empty for raw calls: the dress (`tag`, `function_tag`, `bare`, `fence`,
    `action`, `prose`), then `python`, `name_first`, `native`, `alias`, `name_as_key`,
    `arguments_text`, `no_arguments`, and those of `parse_json`."""


def read_calls(text: str, names: Sequence[str]) -> ReadCalls:
    """Read the calls of a whole completion, in whatever dress; `names` are the offered tools.

    The first dress that holds calls is taken, and each call once. Repairs are tried on texts of
    up to 100,000 characters, in time linear in their length.
    """
    raw = split_calls(text).calls
    if raw or len(text) > MAX_TEXT_CHARACTERS:
        return ReadCalls(raw, raw, ())
    offered = frozenset(names)
    for dress, read in DRESSES.items():
        found = read(text, offered)
        if found.calls:
            repairs = dict.fromkeys((dress, *found.repairs))
            return ReadCalls((), found.calls, tuple(repairs))
    return ReadCalls((), (), ())


def _in_tags(text: str, offered: frozenset[str]) -> Found:
    contents = (
        match["content"] or match["llama"] or match["mistral"] or ""
        for match in islice(TAGS.finditer(text), MAX_PARTS)
    )
    return _joined(_read(content, offered, "any") for content in contents)


def _in_function_tags(text: str, _: frozenset[str]) -> Found:
    """Read them; an empty one is a call without arguments, once its tag is closed."""
    matches = islice(FUNCTION.finditer(text), MAX_PARTS)
    return _joined(call_named(m[1], m[2].strip() or ("{}" if m[3] else "")) for m in matches)


def _alone(text: str, offered: frozenset[str]) -> Found:
    return _read(text, offered, "exact")


def _in_fences(text: str, offered: frozenset[str]) -> Found:
    matches = islice(FENCE.finditer(text), MAX_PARTS)
    return _joined(_read(match[1], offered, "exact") for match in matches)


def _in_actions(text: str, _: frozenset[str]) -> Found:
    """Read ReAct's `Action:` and `Action Input:`; what follows is no longer the model's turn."""
    match = ACTION.search(text)
    if match is None:
        return Found()
    return call_named(match[1], OBSERVATION.split(match[2])[0])


def _in_prose(text: str, offered: frozenset[str]) -> Found:
    read = parse_json(text)
    if isinstance(read, JsonRead):
        found = calls_of(read.value, offered, "offered")
        return Found(found.calls, found.repairs + read.repairs)
    found = _joined(calls_of(value, offered, "offered") for _, _, value in objects(text))
    return found if found.calls else _joined(_python(line, offered) for line in _lines(text))


def _lines(text: str) -> Iterator[str]:
    return (line.strip(" \t`") for line in text.splitlines())


def _read(text: str, offered: frozenset[str], trust: Trust) -> Found:
    """Read a text that is nothing but calls: as JSON, as Python, as a name before its JSON."""
    text = text.strip()
    read = parse_json(text)
    if isinstance(read, JsonRead) and (trust == "any" or "prose" not in read.repairs):
        found = calls_of(read.value, offered, trust)
        if found.calls:
            return Found(found.calls, found.repairs + read.repairs)
    if (found := _python(text, offered, trust)).calls:
        return found
    match = NAMED.fullmatch(text)
    if match is None or not (trust == "any" or match[1] in offered):
        return Found()
    found = call_named(match[1], match[2])
    return Found(found.calls, ("name_first", *found.repairs))


def _python(text: str, offered: frozenset[str], trust: Trust = "offered") -> Found:
    """Read Python-like calls; names that were not offered need tags, or a list of calls."""
    calls = python_calls(text)
    is_list = text.startswith("[") and trust == "exact"
    if not (trust == "any" or is_list or all(call.name in offered for call in calls)):
        return Found()
    made = [call_named(call.name, call.arguments) for call in calls]
    return _joined([Found(each.calls, ("python", *each.repairs)) for each in made])


def _joined(parts: Iterable[Found]) -> Found:
    every = [part for part in parts if part.calls]
    calls = tuple(call for part in every for call in part.calls)
    return Found(calls, tuple(repair for part in every for repair in part.repairs))


Dress = Literal["tag", "function_tag", "bare", "fence", "action", "prose"]
DRESSES: dict[Dress, Callable[[str, frozenset[str]], Found]] = {
    "tag": _in_tags,
    "function_tag": _in_function_tags,
    "bare": _alone,
    "fence": _in_fences,
    "action": _in_actions,
    "prose": _in_prose,
}
"""In the order in which they are tried."""
