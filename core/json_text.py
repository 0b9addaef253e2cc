"""JSON in a model's text: read strictly first, then with repairs that are named.

A repair never guesses. What has several meanings is a failure, and the caller asks the model again.
"""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass

from core.lenient_json import MAX_DEPTH, LenientReader, UnreadableError
from core.messages import JsonValue

MAX_BYTES = 1_000_000
MAX_REPAIR_CHARACTERS = 100_000
"""Longest text that repairs are tried on; the strict reading goes up to `MAX_BYTES`."""
ATTEMPT_COST = 100
"""What beginning to read at one more bracket costs, in characters read."""

FENCE = re.compile(r"```[ \t]*(?:[A-Za-z][\w+-]*(?=[\s\[{]))?(.*?)(?:```|\Z)", re.DOTALL)
BRACKET = re.compile(r"[\[{]")
HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class JsonRead:
    """A value that was read from a text."""

    value: JsonValue
    repaired: bool
    """Whether the text as it stood was no strict JSON."""
    repairs: tuple[str, ...]
    """What was done, in order: `fence`, `prose`, `trailing_comma`, `single_quotes`,
    `smart_quotes`, `unquoted_key`, `python_literal`, `comment`, `control_character`, `escape`,
    `white_space`, `closed`. With `closed`, brackets were missing at the end: more may be missing,
    digits of the last number too."""


@dataclass(frozen=True, slots=True)
class JsonFailure:
    """A text that holds no JSON value, or not exactly one."""

    reason: str
    """For the model as well as for people: what is wrong, and where."""


def parse_json(text: str) -> JsonRead | JsonFailure:
    """Read the one JSON value that the text holds.

    Strict is RFC 8259, and in addition: no key twice in an object, no NaN or Infinity, no half of
    a surrogate pair, at most 64 levels and 1,000,000 bytes. Around the value prose and a code
    fence are removed, but only for objects and lists. Takes time linear in the text.
    """
    try:
        return JsonRead(_strict(text), False, ())
    except UnreadableError as error:
        return JsonFailure(str(error))
    except ValueError as error:
        if len(text) > MAX_REPAIR_CHARACTERS:
            return JsonFailure(f"{error}; too long to repair")
    try:
        read = _repaired(text)
        _refuse_half_pairs(text, read.value)
    except UnreadableError as error:
        return JsonFailure(str(error))
    return read


def canonical(value: JsonValue) -> str:
    """Return the one JSON text of a value: keys sorted, no white space, 1.0 written as 1.

    Follows RFC 8785 but for numbers with a fraction, which Python writes, and integers, which
    keep all their digits.
    """
    return json.dumps(
        _plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def _plain(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    return value


def _strict(text: str) -> JsonValue:
    """Read strict JSON; an `UnreadableError` is final, another ValueError may be repaired."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise UnreadableError("the text holds half of a surrogate pair") from error
    if size > MAX_BYTES:
        raise UnreadableError(f"the text has {size} bytes, at most {MAX_BYTES} are read")
    if not text.strip():
        raise UnreadableError("the text is empty")
    try:
        value: JsonValue = json.loads(
            text, parse_constant=_constant, parse_float=_float, object_pairs_hook=_members
        )
    except RecursionError as error:
        raise UnreadableError(f"nested deeper than {MAX_DEPTH} levels") from error
    if _is_deep(text, value):
        raise UnreadableError(f"nested deeper than {MAX_DEPTH} levels")
    _refuse_half_pairs(text, value)
    return value


def _constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is no JSON number")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _members(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = counts.most_common(1)[0][0]
        raise ValueError(f"the key {twice[:40]!r} comes twice in one object")
    return members


def _is_deep(text: str, value: JsonValue) -> bool:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for holder in level for item in _items(holder)]
    return any(isinstance(item, dict | list) for item in level)


def _items(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _refuse_half_pairs(text: str, value: JsonValue) -> None:
    if not HALF_PAIR.search(text):
        return
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise UnreadableError("an escape stands for half of a surrogate pair") from error


def _repaired(text: str) -> JsonRead:
    """Read the whole text, else what is in its only fence, else what stands between prose."""
    try:
        return _whole(text)
    except UnreadableError as error:
        is_value = text.lstrip()[0] in "{[\"'"
        reason = error if is_value else UnreadableError("the text holds no JSON object or list")
    fences = list(FENCE.finditer(text))
    if len(fences) == 1:
        outside = text[: fences[0].start()] + text[fences[0].end() :]
        dress = ("fence", "prose") if outside.strip() else ("fence",)
        try:
            return _dressed(_whole(fences[0][1]), dress)
        except UnreadableError as error:
            reason = error
        if read := _outermost(fences[0][1]):
            return _dressed(read, ("fence", "prose"))
    if read := _outermost(text):
        return _dressed(read, ("prose",))
    raise reason


def _dressed(read: JsonRead, dress: tuple[str, ...]) -> JsonRead:
    return JsonRead(read.value, True, dress + read.repairs)


def _whole(text: str) -> JsonRead:
    reader = LenientReader(text)
    value = reader.value()
    reader.skip()
    if reader.at < len(text):
        rest = text[reader.at : reader.at + 20]
        raise UnreadableError(f"expected the end at character {reader.at}, found {rest!r}")
    return JsonRead(value, bool(reader.repairs), tuple(reader.repairs))


def _outermost(text: str) -> JsonRead | None:
    """Return the only object or list between prose; None when there is none.

    A part of a broken value is never taken for the value.
    """
    found: JsonRead | None = None
    at = spent = 0
    while match := BRACKET.search(text, at):
        reader = LenientReader(text, match.start())
        try:
            value = reader.value()
        except UnreadableError:
            spent += reader.at - match.start() + ATTEMPT_COST
            if reader.has_begun or spent > 4 * len(text) + 1000 * ATTEMPT_COST:
                raise
            at = match.start() + 1
            continue
        if found is not None:
            raise UnreadableError("the text holds several JSON values; write only one")
        if spent and "closed" in reader.repairs:
            raise UnreadableError("brackets are not closed")
        found = JsonRead(value, True, tuple(reader.repairs))
        at = reader.at
    return found
