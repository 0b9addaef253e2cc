"""JSON answers under three readings that are kept apart: as it stands, in a fence, repaired."""

import re
from dataclasses import dataclass
from typing import Literal

from core.errors import InputError
from core.json_text import JsonFailure, JsonRead, canonical, parse_json
from core.messages import JsonValue

Level = Literal["raw", "fenced", "repaired"]
Kind = Literal["any", "object", "array"]
KINDS: dict[Kind, tuple[type, ...]] = {"any": (object,), "object": (dict,), "array": (list,)}

FENCE = "```"
LANGUAGE = re.compile(r"[ \t]*(?:[A-Za-z][\w+-]*(?=[\s\[{]))?")


@dataclass(frozen=True, slots=True)
class Reading:
    """A JSON value, and how strictly it could be read."""

    value: JsonValue
    level: Level
    """`raw`: the whole text is strict JSON. `fenced`: what stands in its only code fence is.
    `repaired`: a reader that names its repairs found one value."""
    repairs: tuple[str, ...]
    """See `JsonRead.repairs`; empty for `raw`."""


def read_json(text: str) -> Reading | JsonFailure:
    """Return the one JSON value of an answer, at the strictest level that finds it.

    Strict is RFC 8259 (so `null` and `1` are documents), and in addition: no key twice in an
    object, no NaN or Infinity, no half of a surrogate pair, numbers of at most 4,300 digits, 64
    levels and 1,000,000 bytes. Takes time linear in the text and never raises.
    """
    read = parse_json(text)
    if isinstance(read, JsonRead) and not read.repaired:
        return Reading(read.value, "raw", ())
    block = fenced_block(text)
    inner = None if block is None else parse_json(block)
    if isinstance(inner, JsonRead) and not inner.repaired:
        return Reading(inner.value, "fenced", ("fence",))
    if isinstance(read, JsonFailure):
        return read
    return Reading(read.value, "repaired", read.repairs)


def fenced_block(text: str) -> str | None:
    """Return what stands in the only closed code fence; None when there is none, or several."""
    parts = text.split(FENCE, 3)
    if len(parts) != 3:
        return None
    language = LANGUAGE.match(parts[1])
    return parts[1][language.end() :] if language else parts[1]


def check_kind(kind: str) -> Kind:
    """Return the kind of document that a task asks for.

    Raises:
        InputError: there is no such kind.
    """
    for known in KINDS:
        if kind == known:
            return known
    raise InputError(f"kind is {kind!r}; choose one of: {', '.join(KINDS)}")


def is_kind(value: JsonValue, kind: Kind) -> bool:
    """Say whether a value is the kind of document that was asked for."""
    return isinstance(value, KINDS[kind])


def is_same(one: JsonValue, other: JsonValue) -> bool:
    """Say whether two JSON values are equal: 1 is 1.0 and is not true; key order is free."""
    return canonical(one) == canonical(other)
