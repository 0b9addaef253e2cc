"""Reads JSON as models write it, and names every liberty it takes.

Only what has one possible meaning is read: a value that was cut, a word without quotes or a key
that comes twice stays unreadable. Own code, because json-repair (0.64.5) invents values: it reads
`{"a": tru` as `{"a": "tru"}` without a way to forbid it, and takes seconds for 20 KB of brackets.
"""

import json
import math
import re
from collections.abc import Mapping

from core.messages import JsonValue

MAX_DEPTH = 64
MAX_DIGITS = 4000
"""Longest number that is read, in characters; Python itself stops at 4,300 digits."""

JSON_SPACE = " \t\r\n"
SPACE = re.compile(r"[\s\ufeff]+")
COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?(?![\w.])")
WORD = re.compile(r"[^\W\d][\w$]*|\$[\w$]*")
ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
NEEDLESS_ESCAPE = re.compile(r"\\(['_*`])")
CONTROL = re.compile(r"[\x00-\x1f]")
WORDS: Mapping[str, JsonValue] = {"true": True, "false": False, "null": None}
PYTHON_WORDS: Mapping[str, JsonValue] = {"True": True, "False": False, "None": None}
QUOTES: Mapping[str, str] = {
    '"': '"',
    "'": "'",
    "“": '”“"',
    "”": '”"',
    "„": '”“"',
    "‘": "’‘'",
    "’": "’'",
}
"""What may close a text, by what opened it."""
QUOTE_REPAIRS: Mapping[str, str] = {'"': "", "'": "single_quotes"}
"""The repair by opening quote; every other one is a smart quote."""
PLAIN = {closers: re.compile(rf"[^\\{closers}]*") for closers in QUOTES.values()}


class UnreadableError(ValueError):
    """The text is not JSON, not even with repairs."""


class LenientReader:
    """Reads one value from a place in a text."""

    def __init__(self, text: str, at: int = 0) -> None:
        self.at = at
        """Where the next character is read."""
        self.has_begun = False
        """Whether what was read is surely meant as JSON, and no bracket of prose."""
        self.repairs: dict[str, None] = {}
        """Names of the repairs so far, in order."""
        self._text = text

    def value(self, depth: int = 0) -> JsonValue:
        """Read the value that begins here, white space and comments before it included.

        Raises:
            UnreadableError: there is none, or it has several possible meanings.
        """
        self.skip()
        first = self._text[self.at : self.at + 1]
        if first in ("{", "["):
            if depth >= MAX_DEPTH:
                self.has_begun = True
                raise UnreadableError(f"nested deeper than {MAX_DEPTH} levels")
            self.at += 1
            items = self._object(depth + 1) if first == "{" else self._list(depth + 1)
            self.has_begun = True
            return items
        if first and first in QUOTES:
            return self._string(first)
        return self._number() if first and first in "-0123456789" else self._word()

    def skip(self) -> None:
        """Pass over white space and comments."""
        while match := SPACE.match(self._text, self.at) or COMMENT.match(self._text, self.at):
            if match[0][0] in "/#":
                self._note("comment")
            elif match[0].strip(JSON_SPACE):
                self._note("white_space")
            self.at = match.end()

    def _note(self, repair: str) -> None:
        self.repairs[repair] = None

    def _object(self, depth: int) -> dict[str, JsonValue]:
        members: dict[str, JsonValue] = {}
        self.skip()
        if self._takes("}"):
            return members
        while True:
            key = self._key()
            self.skip()
            if not self._takes(":"):
                raise self._unexpected(f"':' after the key {key[:40]!r}")
            self.has_begun = True
            value = self.value(depth)
            if key in members:
                raise UnreadableError(f"the key {key[:40]!r} comes twice in one object")
            members[key] = value
            if self._ends("}"):
                return members

    def _list(self, depth: int) -> list[JsonValue]:
        items: list[JsonValue] = []
        self.skip()
        if self._takes("]"):
            return items
        while True:
            items.append(self.value(depth))
            if self._ends("]"):
                return items

    def _ends(self, closer: str) -> bool:
        """Read what follows an item; say whether it was the last one."""
        self.skip()
        if self.at == len(self._text):
            self._note("closed")
            return True
        if self._takes(closer):
            return True
        if not self._takes(","):
            raise self._unexpected(f"',' or '{closer}'")
        self.has_begun = True
        self.skip()
        if self._takes(closer):
            self._note("trailing_comma")
            return True
        return False

    def _takes(self, character: str) -> bool:
        is_there = self._text.startswith(character, self.at)
        self.at += is_there
        return is_there

    def _key(self) -> str:
        self.skip()
        first = self._text[self.at : self.at + 1]
        if first and first in QUOTES:
            return self._string(first)
        match = WORD.match(self._text, self.at)
        if match is None:
            raise self._unexpected("a key")
        self._note("unquoted_key")
        self.at = match.end()
        return match[0]

    def _string(self, quote: str) -> str:
        """Read a text; it is put together as strict JSON, so that pairs of escapes join."""
        if name := QUOTE_REPAIRS.get(quote, "smart_quotes"):
            self._note(name)
        closers, parts = QUOTES[quote], list[str]()
        self.at += 1
        while True:
            plain = PLAIN[closers].match(self._text, self.at)
            chunk = plain[0] if plain else ""
            if CONTROL.search(chunk):
                self._note("control_character")
            parts.append(json.dumps(chunk, ensure_ascii=False)[1:-1])
            self.at += len(chunk)
            if self.at == len(self._text):
                self.has_begun = True
                raise UnreadableError("a text has no closing quote")
            if self._text[self.at] != "\\":
                self.at += 1
                return str(json.loads(f'"{"".join(parts)}"'))
            parts.append(self._escape())

    def _escape(self) -> str:
        if match := ESCAPE.match(self._text, self.at):
            self.at = match.end()
            return match[0]
        if match := NEEDLESS_ESCAPE.match(self._text, self.at):
            self.at = match.end()
            self._note("escape")
            return match[1]
        raise UnreadableError(f"unknown escape {self._text[self.at : self.at + 2]!r}")

    def _number(self) -> JsonValue:
        match = NUMBER.match(self._text, self.at)
        if match is None or len(match[0]) > MAX_DIGITS:
            raise self._unexpected("a number")
        self.at = match.end()
        if match[1] is None and match[2] is None:
            return int(match[0])
        number = float(match[0])
        if math.isinf(number):
            raise UnreadableError(f"the number {match[0][:40]} is too large")
        return number

    def _word(self) -> JsonValue:
        match = WORD.match(self._text, self.at)
        word = match[0] if match else ""
        if word in PYTHON_WORDS:
            self._note("python_literal")
        elif word not in WORDS:
            raise self._unexpected("a value")
        self.at += len(word)
        return PYTHON_WORDS[word] if word in PYTHON_WORDS else WORDS[word]

    def _unexpected(self, wanted: str) -> UnreadableError:
        rest = self._text[self.at : self.at + 20]
        found = repr(rest) if rest else "the end of the text"
        return UnreadableError(f"expected {wanted} at character {self.at}, found {found}")
