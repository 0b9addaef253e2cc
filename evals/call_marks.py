"""Whether a text that can't be read as calls was meant as one: malformed, or an abstention."""

import re
from collections.abc import Sequence

from core.json_text import JsonFailure, parse_json

MAX_CHARACTERS = 100_000
"""Part of a longer text that is looked at, from its beginning."""
MAX_NAMES = 200
"""Offered names that are looked for."""

MARKS = re.compile(
    r"</?tool_calls?\b|<function_calls?>|<function=|<\|python_tag\|>|\[TOOL_CALLS\]|<TOOLCALL>"
    r"|^[ \t]*Action Input:",
    re.IGNORECASE | re.MULTILINE,
)
NAME_KEY = re.compile(r"[\"'](?:name|function|function_name|tool|tool_name)[\"']\s{0,9}:")
ARGUMENTS_KEY = re.compile(r"[\"'](?:arguments|parameters|tool_input)[\"']\s{0,9}:")
BEGINS_AS_CALL = re.compile(r"\[?\s{0,9}[^\W\d][\w.]{0,200}\(")
BEGINS_AS_JSON = re.compile(r"\{|\[\s{0,9}[\[{\]\"']")
LANGUAGE = re.compile(r"(?:json|python|py|tool_code|tool_call)\s", re.IGNORECASE)


def looks_like_call(text: str, names: Sequence[str]) -> bool:
    """Say whether something in a text is meant as a call; `names` are the offered tools.

    That is: a tag or another mark of a call, JSON with keys of a call, an offered name with an
    opening bracket at the beginning of a line or as a key, and a text that begins as a call or
    as JSON and is not valid JSON. A tool that prose only mentions is no call.
    """
    text = text[:MAX_CHARACTERS]
    if MARKS.search(text) or (NAME_KEY.search(text) and ARGUMENTS_KEY.search(text)):
        return True
    if names and _offered(names).search(text):
        return True
    body = text.strip("`\n\t ")
    if language := LANGUAGE.match(body):
        body = body[language.end() :].strip()
    if BEGINS_AS_CALL.match(body):
        return True
    return bool(BEGINS_AS_JSON.match(body)) and _is_broken(body)


def _offered(names: Sequence[str]) -> re.Pattern[str]:
    words = "|".join(map(re.escape, names[:MAX_NAMES]))
    return re.compile(
        rf"^[ \t>*`\[-]{{0,9}}(?:{words})[ \t]{{0,9}}[({{]"
        rf"|[\"'](?:name|function|tool)[\"']\s{{0,9}}:\s{{0,9}}[\"'](?:{words})[\"']"
        rf"|\{{\s{{0,9}}[\"'](?:{words})[\"']\s{{0,9}}:",
        re.MULTILINE,
    )


def _is_broken(text: str) -> bool:
    read = parse_json(text)
    return isinstance(read, JsonFailure) or read.repaired
