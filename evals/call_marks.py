"""Whether a text that can't be read as calls was meant as one: malformed, or an abstention.

What tells a call amid prose from a mention: `seat(guest="Ada")` has arguments, the offered
`seat(guest)` of a sentence has none.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from core.json_text import JsonFailure, parse_json
from core.tool_calls.python_calls import PythonCall, python_calls

MAX_CHARACTERS = 100_000
"""Part of a longer text that is looked at, from its beginning."""
MAX_NAMES = 200
"""Offered names that are looked for."""
MAX_INLINE, MAX_CLOSINGS, MAX_INLINE_CHARACTERS = 20, 10, 2000
"""Of the calls amid prose: how many are read, brackets where one may end, and its length."""

MARKS = re.compile(
    r"</?tool_calls?\b|<function_calls?>|<function=|<\|python_tag\|>|\[TOOL_CALLS\]|<TOOLCALL>"
    r"|^[ \t]*Action Input:",
    re.IGNORECASE | re.MULTILINE,
)
NAMES_KEY = r"[\"'](?:name|function|function_name|tool|tool_name|action)[\"']\s{0,9}:"
NAME_KEY = re.compile(NAMES_KEY)
ARGUMENTS_KEY = re.compile(
    r"[\"'](?:arguments|args|kwargs|parameters|params|tool_input|action_input)[\"']\s{0,9}:"
)
BEGINS_AS_CALL = re.compile(r"\[?\s{0,9}[^\W\d][\w.]{0,200}\((?!s\))")
BEGINS_AS_JSON = re.compile(r"\{|\[\s{0,9}[\[{\]\"']")
LANGUAGE = re.compile(r"(?:json|python|py|tool_code|tool_call)\s", re.IGNORECASE)


def looks_like_call(text: str, names: Sequence[str]) -> bool:
    """Say whether something in a text is meant as a call; `names` are the offered tools.

    That is: a tag or another mark of a call; JSON with keys of a call, or that is one object in a
    name; an offered name as a key, at the beginning of a line with an opening bracket, or anywhere
    with arguments in brackets; and a text that begins as a call or as JSON and is not valid JSON.
    A tool that prose only mentions is no call: `seat (number 4)`, `seat(guest)`, "I can't use
    seat()".
    """
    text = text[:MAX_CHARACTERS]
    if MARKS.search(text) or (NAME_KEY.search(text) and ARGUMENTS_KEY.search(text)):
        return True
    if names and (_offered(names).search(text) or _inline(names).search(text)):
        return True
    body = text.strip("`\n\t ")
    if language := LANGUAGE.match(body):
        body = body[language.end() :].strip()
    if BEGINS_AS_CALL.match(body):
        return True
    return bool(BEGINS_AS_JSON.match(body)) and _is_broken_or_named(body)


def inline_calls(text: str, names: Sequence[str]) -> tuple[PythonCall, ...]:
    """Return the Python-like calls of offered tools amid prose; nothing unless all can be read."""
    if not names or len(text) > MAX_CHARACTERS:
        return ()
    calls: list[PythonCall] = []
    end = 0
    for place in islice(_inline(names).finditer(text), MAX_INLINE + 1):
        if place.start() < end:
            continue
        found = next(_readings(text, place), None)
        if found is None or len(calls) == MAX_INLINE:
            return ()
        calls.append(found[0])
        end = found[1]
    return tuple(calls)


def _readings(text: str, place: re.Match[str]) -> Iterator[tuple[PythonCall, int]]:
    """Yield the call that begins at a place, and where it ends; nothing if it can't be read."""
    opening = text.find("(", place.start("name"), place.end())
    part = text[opening : opening + MAX_INLINE_CHARACTERS] if opening >= 0 else ""
    for closing in islice(re.finditer(r"\)", part), MAX_CLOSINGS):
        for call in python_calls(place["name"] + part[: closing.end()]):
            yield call, opening + closing.end()


def _offered(names: Sequence[str]) -> re.Pattern[str]:
    words = _either(names)
    return re.compile(
        rf"^[ \t>*`\[-]{{0,9}}(?:{words})[({{](?!s\))"
        rf"|{NAMES_KEY}\s{{0,9}}[\"'](?:{words})[\"']"
        rf"|\{{\s{{0,9}}[\"'](?:{words})[\"']\s{{0,9}}:",
        re.MULTILINE,
    )


def _inline(names: Sequence[str]) -> re.Pattern[str]:
    """Return what finds a name with arguments, or with empty brackets where a call would stand.

    Markup may stand between name and bracket; a blank only where arguments have their names.
    """
    return re.compile(
        r"(?:(?:(?<=[.!?:][ \t])|(?<=[.!?:][ \t][`*\[]))(?P<begun>))?"
        rf"(?<!\w)(?P<name>{_either(names)})"
        r"(?:[*_`]{0,3}\((?=[^()]{0,200}[=:\"'{\[\d]|[^()]{0,200}\Z)"
        r"|[*_` \t]{0,9}\(\s{0,9}[^\W\d]\w{0,99}\s{0,9}=(?!=)"
        r"|[*_`]{0,3}(?:\[ARGS\]|:)?\s{0,9}\{\s{0,9}[\"'}]"
        r"|\[\s{0,9}[\"'{]"
        r"|(?(begun)\([ \t]{0,9}\w{0,99}[ \t]{0,9}\)[ \t`*\]]{0,9}$|(?!)))",
        re.MULTILINE,
    )


def _either(names: Sequence[str]) -> str:
    return "|".join(map(re.escape, sorted(names[:MAX_NAMES], key=len, reverse=True)))


def _is_broken_or_named(text: str) -> bool:
    """Say whether a text that begins as JSON is none, or an object in a name: BFCL's shape."""
    read = parse_json(text)
    if isinstance(read, JsonFailure) or read.repaired:
        return True
    value = read.value
    return isinstance(value, Mapping) and [type(item) for item in value.values()] == [dict]
