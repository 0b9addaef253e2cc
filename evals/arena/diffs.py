"""What differs between two answers: word by word, field by field, call by call."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal, NamedTuple

from core.json_text import JsonFailure, canonical, parse_json
from core.messages import JsonValue, ToolCall
from evals.calls import Call, read_answer

WORD = re.compile(r"\s*\S+|\s+")
PLAIN_KEY = re.compile(r"[\w-]+")
MAX_CHARACTERS = 100_000
"""Characters of each text that are read."""
MAX_WORDS = 6_000
"""Words of each text that are compared; the work grows with the square."""
MAX_FIELDS = 500
"""Fields of two JSON values that are shown; all are compared."""
Presence = Literal["same", "differs", "only_a", "only_b"]


class Piece(NamedTuple):
    """Part of a text, and whether the other text lacks it."""

    text: str
    is_changed: bool


@dataclass(frozen=True, slots=True)
class TextDiff:
    """Both texts in pieces."""

    a: tuple[Piece, ...]
    b: tuple[Piece, ...]
    is_cut: bool
    """Whether the ends of long texts were left out."""
    is_same: bool
    """Whether the whole texts are equal, what was left out included."""

    @property
    def has_marks(self) -> bool:
        """Whether anything of the pieces differs."""
        return any(piece.is_changed for piece in (*self.a, *self.b))


@dataclass(frozen=True, slots=True)
class Field:
    """One place of two JSON values; the values are written as JSON, "" where there is none."""

    path: str
    """Empty: the whole value, which is an empty object or list on one side."""
    a: str
    b: str
    presence: Presence


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """Two JSON values, field by field."""

    shown: tuple[Field, ...]
    """In their order; where some are left out, those that differ come first."""
    left_out: int
    """Fields beyond `MAX_FIELDS`."""
    is_same: bool
    """Whether all fields agree, those left out included."""


@dataclass(frozen=True, slots=True)
class CallPair:
    """Two calls that stand at the same place, or one with nothing beside it."""

    name_a: str | None
    name_b: str | None
    arguments: FieldDiff
    """Without a field where neither has any."""

    @property
    def is_same(self) -> bool:
        """Whether name and arguments agree."""
        return self.name_a == self.name_b and self.arguments.is_same


def text_diff(a: str, b: str) -> TextDiff:
    """Compare two texts word by word; white space counts as part of the word after it."""
    from rapidfuzz.distance import Indel

    is_cut = max(len(a), len(b)) > MAX_CHARACTERS
    words_a, words_b = (WORD.findall(text[:MAX_CHARACTERS]) for text in (a, b))
    is_cut = is_cut or max(len(words_a), len(words_b)) > MAX_WORDS
    words_a, words_b = words_a[:MAX_WORDS], words_b[:MAX_WORDS]
    pieces_a, pieces_b = list[Piece](), list[Piece]()
    for step in Indel.opcodes(words_a, words_b):
        is_changed = step.tag != "equal"
        _add(pieces_a, words_a[step.src_start : step.src_end], is_changed)
        _add(pieces_b, words_b[step.dest_start : step.dest_end], is_changed)
    return TextDiff(tuple(pieces_a), tuple(pieces_b), is_cut, is_same=a == b)


def json_diff(a: str, b: str) -> FieldDiff | None:
    """Compare two texts field by field; None unless each holds one JSON object or list.

    Prose and a code fence around the value are overlooked. The order of keys does not count, that
    of list items does.
    """
    read_a, read_b = _structure(a), _structure(b)
    return None if read_a is None or read_b is None else _fields(read_a[0], read_b[0])


def call_diff(
    a: tuple[str, Sequence[ToolCall]], b: tuple[str, Sequence[ToolCall]], tools: Sequence[str]
) -> tuple[CallPair, ...] | None:
    """Compare the calls of two answers, given as text and calls apart from it, in order.

    Calls are read as evaluations read them, those within the text too. Calls of the same tool
    stand beside each other wherever the order allows. None: a call can't be read, so that only
    the answers as they were written can be compared.
    """
    read_a, read_b = (read_answer(text, calls, tools) for text, calls in (a, b))
    if "malformed" in (read_a.outcome, read_b.outcome):
        return None
    return tuple(_pair(one, other) for one, other in _beside(read_a.calls, read_b.calls))


def _add(pieces: list[Piece], words: Sequence[str], is_changed: bool) -> None:
    """Append words, to the last piece where that is of the same kind."""
    text = "".join(words)
    if pieces and pieces[-1].is_changed == is_changed:
        text = pieces.pop().text + text
    if text:
        pieces.append(Piece(text, is_changed))


def _structure(text: str) -> tuple[JsonValue] | None:
    read = parse_json(text) if len(text) <= MAX_CHARACTERS else JsonFailure("too long")
    if isinstance(read, JsonFailure) or not isinstance(read.value, dict | list):
        return None
    return (read.value,)


def _fields(a: JsonValue, b: JsonValue) -> FieldDiff:
    flat_a, flat_b = _flat(a), _flat(b)
    paths = dict.fromkeys([*flat_a, *flat_b])
    fields = [_field(path, flat_a.get(path), flat_b.get(path)) for path in paths]
    left_out = max(0, len(fields) - MAX_FIELDS)
    if left_out:
        fields.sort(key=lambda field: field.presence == "same")
    is_same = all(field.presence == "same" for field in fields)
    return FieldDiff(tuple(fields[:MAX_FIELDS]), left_out, is_same)


def _field(path: str, a: str | None, b: str | None) -> Field:
    presence: Presence = "same" if a == b else "differs"
    if a is None or b is None:
        presence = "only_b" if a is None else "only_a"
    return Field(path, a or "", b or "", presence)


def _flat(value: JsonValue, path: str = "") -> dict[str, str]:
    """Return every leaf by its path; empty objects and lists are leaves."""
    items: list[tuple[str, JsonValue]] = []
    if isinstance(value, Mapping):
        dot = "." if path else ""
        items = [(f"{path}{dot}{_key(key)}", item) for key, item in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items = [(f"{path}[{place}]", item) for place, item in enumerate(value)]
    if not items:
        return {path: canonical(value)}
    return {where: leaf for name, item in items for where, leaf in _flat(item, name).items()}


def _key(key: str) -> str:
    """Return a key as it stands in a path, quoted where it could be mistaken for several."""
    return key if PLAIN_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _beside(a: Sequence[Call], b: Sequence[Call]) -> list[tuple[Call | None, Call | None]]:
    """Return the calls in order, those of the same tool beside each other."""
    from rapidfuzz.distance import Indel

    pairs: list[tuple[Call | None, Call | None]] = []
    apart_a, apart_b = list[Call](), list[Call]()
    for step in Indel.opcodes([call.name for call in a], [call.name for call in b]):
        here, there = a[step.src_start : step.src_end], b[step.dest_start : step.dest_end]
        if step.tag == "equal":
            pairs += [*zip_longest(apart_a, apart_b), *zip(here, there, strict=True)]
            apart_a, apart_b = [], []
        else:
            apart_a += here
            apart_b += there
    return [*pairs, *zip_longest(apart_a, apart_b)]


def _pair(a: Call | None, b: Call | None) -> CallPair:
    found = _fields(a.arguments if a else {}, b.arguments if b else {})
    named = replace(found, shown=tuple(field for field in found.shown if field.path))
    return CallPair(a.name if a else None, b.name if b else None, named)
