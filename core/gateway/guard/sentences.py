"""Tells, character by character, where a text's sentences begin and what is not prose in it.

Not prose: fenced code, inline code, lists, block quotes, tables, headings, indented blocks, JSON,
`<tool_call>` blocks, and a letter from its "Dear Ana," on; nor does a sentence begin inside of a
quotation. Every decision rests on the characters before, so it can't depend on how a stream was
cut into pieces.
"""

import re
from enum import Enum
from typing import Literal

OPEN_CALL, CLOSE_CALL = "<tool_call>", "</tool_call>"
CLOSERS = "\"'”’»)]*_"
QUOTES = {"“": "”", "„": "”", "«": "»", "‘": "’"}
MAX_WORD = 24
LIST_MARK = re.compile(r"[-*+•–—]|(?:\d{1,3}|[a-z])[.)]|\d{1,3}\.\)")
ABBREVIATION = re.compile(
    r"(?:mr|mrs|ms|dr|drs|prof|st|jr|sr|srs|sra|sras|dra|eng|exm[oa]|vs|cf|approx|fig|p|pp|pág|ex"
    r"|art|av|no|nº|e\.g|i\.e|p\.ex)\.|(?-i:[a-zà-ý])\.",
    re.IGNORECASE,
)
BEFORE_NUMBER = frozenset({"no.", "nº.", "p.", "pp.", "fig.", "art."})
LETTER = frozenset(
    ("dear", "caro", "cara", "caros", "caras", "estimado", "estimada")
    + ("prezado", "prezada", "prezados", "prezadas")
)
SUBJECT = frozenset({"subject:", "assunto:"})
Mode = Literal["text", "line", "fence", "json", "call", "letter"]


class Step(Enum):
    """What a character does."""

    SAME = 0
    """Belongs to what came before, or is white space."""
    NEW = 1
    """Begins a sentence, or something that is not prose."""
    BLOCK = 2
    """Completes the mark of a block inside of a sentence: three backticks or `<tool_call>`."""


class SentenceReader:
    """Reads a text once, in characters."""

    def __init__(self) -> None:
        self._mode: Mode = "text"
        self._before = " "
        self._word = ""
        """The last run of characters without white space, its end only."""
        self._is_over = True
        """Whether the next character begins a sentence."""
        self._newlines, self._indent = 1, 0
        """Line breaks in the white space just read; blanks after the last of them."""
        self._is_in_list, self._is_mark = False, False
        """Whether the line before is a list's; whether the first word of a line is being read."""
        self._first_word = ""
        self._quote, self._code = "", 0
        """What will close the open quotation; how many backticks the open inline code."""
        self._run, self._is_run_first = 0, False
        """Length of the run of fence characters just read; whether it began its line."""
        self._fence, self._fence_size = "", 0
        self._is_opening, self._is_fence_line, self._is_block = False, False, False
        """Whether the fence's own run, and then its line, is being read; whether it began one."""
        self._depth, self._is_string, self._is_escaped = 0, False, False

    @property
    def mark_size(self) -> int:
        """Characters of the mark that the last `Step.BLOCK` completed."""
        return 3 if self._mode == "fence" else len(OPEN_CALL)

    @property
    def is_prose(self) -> bool:
        """Whether the last character stands in prose, outside of code and quotations."""
        return self._mode == "text" and not self._quote and not self._code and not self._run

    @property
    def is_in_word(self) -> bool:
        """Whether the last character was a letter or a digit."""
        return self._before.isalnum()

    def read(self, character: str) -> Step:
        """Take the next character."""
        if character.isspace():
            self._read_space(character)
            self._before = character
            return Step.SAME
        is_new = self._mode == "text" and self._begins(character)
        if self._mode == "text" and self._newlines:
            self._open_line(character)
        if is_new:
            self._is_over = False
            if self._mode == "text" and character in "{[":
                self._mode, self._depth, self._is_string = "json", 0, False
        self._word = character if self._before.isspace() else (self._word + character)[-MAX_WORD:]
        is_block = self._take(character)
        self._before, self._newlines, self._indent = character, 0, 0
        if is_new:
            return Step.NEW
        return Step.BLOCK if is_block else Step.SAME

    def read_word(self, rest: str) -> None:
        """Take letters and digits that follow a letter or a digit; they change nothing else."""
        self._word, self._before = (self._word + rest)[-MAX_WORD:], rest[-1]

    def _read_space(self, character: str) -> None:
        if self._mode == "text" and not self._before.isspace():
            self._end_word(character)
        self._run, self._is_opening, self._is_escaped = 0, False, False
        self._indent += 4 if character == "\t" else 1
        if character != "\n":
            return
        self._newlines, self._indent = self._newlines + 1, 0
        self._is_string = self._is_fence_line = False
        if self._mode == "line":
            self._mode, self._is_over = "text", True
        elif self._mode == "text" and self._begins_letter():
            self._mode = "letter"
        if self._newlines > 1:
            self._quote, self._code = "", 0

    def _end_word(self, space: str) -> None:
        """Decide at the first white space whether the word before ends its sentence."""
        self._toggle_code()
        self._toggle_apostrophe(space)
        if self._is_mark and LIST_MARK.fullmatch(self._word):
            self._mode, self._is_in_list = "line", True
        if self._is_mark:
            self._is_mark, self._first_word = False, self._word.lower()
        if not self._quote and not self._code and not self._is_over:
            word = self._word.rstrip(CLOSERS)
            is_end = word.endswith((".", "!", "?", "…"))
            self._is_over = is_end and not ABBREVIATION.fullmatch(word.lstrip("\"'“‘«(["))

    def _begins(self, character: str) -> bool:
        """Say whether this character, in text, begins a sentence."""
        if self._is_over or self._newlines > 1:
            return True
        if not self._before.isspace():
            return False
        if self._newlines:
            return not character.islower() or self._word.endswith(":")
        if self._quote or self._code:
            return False
        if self._word.lower() in BEFORE_NUMBER and not character.isdigit():
            return self._word.lower() == "no."
        return self._word.endswith(":") and character in '`{["“«<'

    def _begins_letter(self) -> bool:
        """Say whether the line just read opens a letter, which is another's words to its end."""
        is_salutation = self._first_word in LETTER and self._word.endswith(",")
        return is_salutation or self._first_word in SUBJECT

    def _open_line(self, character: str) -> None:
        """Decide from its first character what a line is."""
        if self._indent >= 4 or (self._is_in_list and self._indent >= 2):
            self._mode = "line"
            return
        self._is_in_list = False
        self._is_mark = True
        if character in ">|#":
            self._mode = "line"

    def _take(self, character: str) -> bool:
        """Update the state; return whether the mark of a block is complete."""
        if self._mode == "text":
            return self._take_text(character)
        if self._mode == "fence":
            self._take_fence(character)
        elif self._mode == "json":
            self._take_json(character)
        elif self._mode == "call" and character == ">" and self._word.endswith(CLOSE_CALL):
            self._mode, self._is_over = "text", True
        return False

    def _take_text(self, character: str) -> bool:
        if character == "`" or (character == "~" and (self._newlines or self._before == "~")):
            return self._take_tick(character)
        self._toggle_code()
        self._toggle_apostrophe(character)
        self._toggle_quote(character)
        if character == ">" and self._word.endswith(OPEN_CALL) and not self._code:
            self._mode = "call"
            return True
        return False

    def _take_tick(self, character: str) -> bool:
        if not self._run:
            self._is_run_first = self._newlines > 0
        self._run += 1
        if self._run < 3 or self._code or (character == "~" and not self._is_run_first):
            return False
        self._mode, self._fence, self._fence_size = "fence", character, 3
        self._is_opening = self._is_fence_line = True
        self._is_block = self._is_run_first
        return True

    def _take_fence(self, character: str) -> None:
        if character != self._fence:
            self._run, self._is_opening = 0, False
            return
        self._run += 1
        if self._is_opening:
            self._fence_size = self._run
            return
        if self._run == 1:
            self._is_run_first = self._newlines > 0
        may_close = self._is_run_first or self._is_fence_line or not self._is_block
        if may_close and self._run >= self._fence_size:
            self._mode = "line" if self._is_run_first else "text"
            self._is_over, self._run = True, 0

    def _take_json(self, character: str) -> None:
        if self._is_string:
            if self._is_escaped or character == "\\":
                self._is_escaped = not self._is_escaped
            elif character == '"':
                self._is_string = False
        elif character == '"':
            self._is_string = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            if not self._depth:
                self._mode, self._is_over = "text", True

    def _toggle_code(self) -> None:
        """Open or close inline code at the end of a run of backticks."""
        if self._run and self._before == "`":
            is_free = len(self._word) <= self._run + 1 or self._code
            if self._code == self._run:
                self._code = 0
            elif not self._code and is_free:
                self._code = self._run
        self._run = 0

    def _toggle_apostrophe(self, character: str) -> None:
        """Open or close a single quotation, now that the character after the mark is known."""
        if self._quote and self._quote in "'’":
            if self._before == self._quote and not character.isalnum():
                self._quote = ""
        elif not self._quote and self._word == f"'{character}" and character.isalpha():
            self._quote = "'"

    def _toggle_quote(self, character: str) -> None:
        if self._quote:
            if character == self._quote and character not in "'’":
                self._quote = ""
        elif character == '"':
            if self._before.isspace() or self._before in "([{:*_-–—":
                self._quote = character
        elif not self._before.isalnum():
            self._quote = QUOTES.get(character, "")
