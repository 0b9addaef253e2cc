"""Cuts announcements ("I'll first analyze the list.") out of an answer and keeps its content.

English and Portuguese, both always on. Letters are never changed: the result is the answer less
the cuts and the white space around them. What is not prose, and every quotation, is left alone;
an answer that is nothing but announcements stays as it is.
"""

import re
from dataclasses import dataclass

from core.gateway.guard.announcements import judge, may_announce
from core.gateway.guard.sentences import SentenceReader, Step

MAX_HELD = 400
"""Characters held back at most while a sentence is in the making; a longer one goes out."""
MAX_ACKNOWLEDGEMENT = 100
PARTS = re.compile(r"[^\W_]+|[\W_]")


@dataclass(frozen=True, slots=True)
class Cut:
    """A piece that was taken out."""

    text: str
    start: int
    """Its place in the unfiltered answer, in characters."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """An answer without its announcements."""

    text: str
    cuts: tuple[Cut, ...]


@dataclass(frozen=True, slots=True)
class _Acknowledgement:
    """A "Sure!" that waits: it goes or stays with what follows it."""

    text: str
    start: int
    lead: str
    is_after_cut: bool


class MetaLanguageFilter:
    """Filters one answer as it streams; any chunking gives the same text and the same cuts."""

    def __init__(self) -> None:
        self._reader = SentenceReader()
        self._position = 0
        self._out: list[str] = []
        self._raw: list[str] | None = []
        """The whole answer, until something of it has gone out."""
        self._quiet = ""
        """What would go out but has no letter or digit yet."""
        self._gap, self._lead = "", ""
        """White space just read; white space due before whatever goes out next."""
        self._held: str | None = None
        """A sentence in the making that may be an announcement."""
        self._is_open = False
        """Whether the held sentence's first words have not decided yet."""
        self._start = 0
        self._yes: _Acknowledgement | None = None
        self._cuts: list[Cut] = []
        self._is_after_cut = False
        """Whether nothing has gone out since the last cut."""
        self._has_found = False

    @property
    def has_found(self) -> bool:
        """Whether there was any announcement, even if `flush` had to give it back."""
        return self._has_found

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """What has been cut so far, in order; empty once `flush` gave everything back."""
        return tuple(self._cuts)

    def push(self, piece: str) -> str:
        """Return what is certain after this piece; holds back at most one sentence.

        White space before the next sentence is held back too.
        """
        if self._raw is not None:
            self._raw.append(piece)
        for part in PARTS.findall(piece):
            first = 0
            if not self._reader.is_in_word or not part[0].isalnum():
                self._read(part[0])
                first = 1
            if len(part) > first:
                self._read_rest(part[first:])
            self._position += len(part)
        return self._taken()

    def flush(self) -> str:
        """Return the rest at the end of the stream; everything, if nothing would be left."""
        self._settle(is_whole=True)
        self._release_acknowledgement()
        if self._raw is not None and self._cuts:
            self._out, self._cuts = self._raw, []
        else:
            rest = "" if self._is_after_cut else self._lead + self._gap
            self._out.append(self._quiet + rest)
        self._raw, self._quiet, self._gap, self._lead = None, "", "", ""
        return self._taken()

    def _taken(self) -> str:
        text = "".join(self._out)
        self._out.clear()
        return text

    def _read(self, character: str) -> None:
        step = self._reader.read(character)
        if character.isspace():
            if self._is_open and not self._gap:
                self._weigh_opening()
            self._gap += character
            if len(self._gap) > MAX_HELD:
                self._settle(is_whole=False)
                self._write(self._gap)
                self._gap = ""
            return
        if step is Step.NEW:
            self._begin(character)
            return
        if self._held is None:
            self._write(self._gap + character)
        else:
            self._held += self._gap + character
            if step is Step.BLOCK:
                self._split_before_block()
            elif len(self._held) + self._waiting() >= MAX_HELD:
                self._settle(is_whole=False)
        self._gap = ""

    def _read_rest(self, rest: str) -> None:
        """Read the rest of a word at once, unless the limit lies within."""
        if self._held is not None and len(self._held) + self._waiting() + len(rest) >= MAX_HELD:
            for character in rest:
                self._read(character)
            return
        self._reader.read_word(rest)
        if self._held is None:
            self._write(rest)
        else:
            self._held += rest

    def _begin(self, character: str) -> None:
        """Settle the sentence before and begin one with this character."""
        self._settle(is_whole=True)
        self._lead = _merged(self._lead, self._gap) if self._is_after_cut else self._gap
        self._gap, self._start = "", self._position
        if character.isalpha() and self._reader.is_prose:
            self._held, self._is_open = character, True
        else:
            self._write(character)

    def _weigh_opening(self) -> None:
        """Let the sentence go on its way once its first words can't begin an announcement."""
        held = self._held or ""
        is_possible = may_announce(held) if self._reader.is_prose else False
        if is_possible is None:
            return
        self._is_open = False
        if not is_possible:
            self._held = None
            self._write(held)

    def _split_before_block(self) -> None:
        held, size = self._held or "", self._reader.mark_size
        sentence, mark = held[:-size], held[-size:]
        self._held = sentence.rstrip()
        gap = sentence[len(self._held) :]
        self._settle(is_whole=True)
        self._lead = _merged(self._lead, gap) if self._is_after_cut else gap
        self._write(mark)

    def _settle(self, *, is_whole: bool) -> None:
        """Cut what the held sentence announces, let the rest go."""
        sentence, start = self._held, self._start
        self._held, self._is_open = None, False
        while sentence:
            judged = judge(
                sentence, is_whole=is_whole, is_after_acknowledgement=self._yes is not None
            )
            if judged.is_acknowledgement:
                self._keep_acknowledgement(sentence, start)
                return
            if not judged.cut:
                self._write(sentence)
                return
            self._cut(sentence[: judged.cut], start)
            rest = sentence[judged.cut :].lstrip()
            gap = sentence[judged.cut : len(sentence) - len(rest)]
            self._lead = _merged(self._lead, gap)
            start, sentence = start + len(sentence) - len(rest), rest

    def _cut(self, text: str, start: int) -> None:
        if self._yes is not None:
            text, start = self._yes.text + self._lead + text, self._yes.start
            self._lead, self._yes = _merged(self._yes.lead, self._lead), None
        self._cuts.append(Cut(text, start))
        self._is_after_cut = self._has_found = True

    def _waiting(self) -> int:
        return len(self._yes.text) if self._yes else 0

    def _keep_acknowledgement(self, text: str, start: int) -> None:
        lead, is_after_cut = self._lead, self._is_after_cut
        if self._yes and self._waiting() + len(lead) + len(text) <= MAX_ACKNOWLEDGEMENT:
            text, start = self._yes.text + lead + text, self._yes.start
            lead, is_after_cut = self._yes.lead, self._yes.is_after_cut
        else:
            self._release_acknowledgement()
            lead = self._lead
        self._yes = _Acknowledgement(text, start, lead, is_after_cut)
        self._lead, self._is_after_cut = "", False

    def _release_acknowledgement(self) -> None:
        if self._yes is None:
            return
        yes, between = self._yes, self._lead
        self._yes, self._lead, self._is_after_cut = None, yes.lead, yes.is_after_cut
        self._write(yes.text)
        self._lead = between

    def _write(self, text: str) -> None:
        """Let text out, after the white space that is due before it."""
        if self._raw is None and not self._lead and self._yes is None:
            self._is_after_cut = False
            self._out.append(text)
            return
        self._release_acknowledgement()
        is_first = self._raw is not None and not self._quiet.strip()
        lead = _indentation(self._lead) if is_first and self._is_after_cut else self._lead
        self._lead, self._is_after_cut = "", False
        if self._raw is None:
            self._out.append(lead + text)
            return
        self._quiet += lead + text
        if any(c.isalnum() for c in text) or len(self._quiet.strip()) > MAX_HELD:
            self._out.append(self._quiet)
            self._quiet, self._raw = "", None


def filter_text(text: str) -> Filtered:
    """Return the whole text without its announcements, and what was cut."""
    stream = MetaLanguageFilter()
    kept = stream.push(text) + stream.flush()
    return Filtered(kept, stream.cuts)


def has_meta_language(text: str) -> bool:
    """Say whether the text, as a model wrote it, announces anywhere.

    True also where it is nothing but announcements, which `filter_text` leaves as it is.
    """
    stream = MetaLanguageFilter()
    stream.push(text)
    stream.flush()
    return stream.has_found


def _merged(before: str, after: str) -> str:
    """Return the white space that stands where a cut left two: the larger break, no more."""
    if before.count("\n") <= after.count("\n"):
        return after or before
    if "\n" not in after:
        return before
    return before[: before.rindex("\n") + 1] + after[after.rindex("\n") + 1 :]


def _indentation(lead: str) -> str:
    """Return what an answer may begin with after a cut: nothing, unless it begins with code."""
    line = lead[lead.rindex("\n") + 1 :] if "\n" in lead else ""
    return line if "\t" in line or len(line) >= 4 else ""
