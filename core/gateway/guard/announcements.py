"""Says how much of a sentence announces the answer instead of giving it."""

import re
from typing import NamedTuple

from core.gateway.guard.english import ENGLISH
from core.gateway.guard.phrases import Phrases, normalised
from core.gateway.guard.portuguese import PORTUGUESE

LANGUAGES = (ENGLISH, PORTUGUESE)
FIRST_WORDS = ENGLISH.first_words | PORTUGUESE.first_words
FIRST_OF_TWO = frozenset(words.split()[0] for words in FIRST_WORDS if " " in words)
ENDS = " \t\n.!?…:;,–—-*_\"'”’»)]"
"""Characters that say nothing at the end of a clause."""
SEPARATOR = re.compile(r":(?=\s)|\s[–—-](?=\s)|—")
COMMA = re.compile(r",(?=\s)")
MAX_COMMAS = 4
"""A lead-in clause has at most this many commas of its own."""
MAX_ANNOUNCEMENT = 240
"""Characters; a longer sentence is taken to say something."""
INITIAL = re.compile(r"\b[A-ZÀ-Ý]\.$")
"""Ends "The answer is B.", and stands inside of "I'll check J. Silva's seat."."""
FOREIGN = re.compile(r"[{}<>|]|://")
"""Stands for code, markup or an address, which no cut may take away."""


class Judgement(NamedTuple):
    """What a sentence proves to be."""

    cut: int
    """Characters at its beginning that announce; 0 if none do, its length if all do."""
    is_acknowledgement: bool


def may_announce(beginning: str) -> bool | None:
    """Say whether a sentence with these first words has to be read to its end.

    None: one more word decides.
    """
    words = [word.strip(ENDS) for word in normalised(beginning).split()]
    if words[0] in FIRST_WORDS:
        return True
    if len(words) > 1:
        return f"{words[0]} {words[1]}" in FIRST_WORDS
    return None if words[0] in FIRST_OF_TWO else False


def judge(sentence: str, *, is_whole: bool, is_after_acknowledgement: bool) -> Judgement:
    """Judge one sentence, without the white space around it.

    Without its end (`is_whole` false) only what a comma or a colon closes can be cut.
    """
    if cut := _clause(sentence) or _before_separator(sentence, is_after_acknowledgement):
        return Judgement(cut, is_acknowledgement=False)
    if not is_whole:
        return Judgement(0, is_acknowledgement=False)
    clause, end = _split_end(sentence)
    if any(phrases.acknowledgement.fullmatch(clause) for phrases in LANGUAGES):
        return Judgement(0, is_acknowledgement=True)
    is_open = "?" in end or INITIAL.search(sentence)
    is_cut = not is_open and _is_announcement(
        sentence, has_colon=":" in end, is_after_yes=is_after_acknowledgement
    )
    return Judgement(len(sentence) if is_cut else 0, is_acknowledgement=False)


def _split_end(sentence: str) -> tuple[str, str]:
    """Return what the patterns look at, and the marks that end it."""
    body = sentence.rstrip(ENDS)
    return normalised(body), sentence[len(body) :]


def _is_announcement(clause: str, *, has_colon: bool, is_after_yes: bool) -> bool:
    is_quoting = clause.count('"') % 2 or clause.count("“") != clause.count("”")
    if len(clause) > MAX_ANNOUNCEMENT or is_quoting or FOREIGN.search(clause):
        return False
    plain = _split_end(clause)[0]
    return any(_announces(plain, phrases, has_colon, is_after_yes) for phrases in LANGUAGES)


def _announces(clause: str, phrases: Phrases, has_colon: bool, is_after_yes: bool) -> bool:
    if has_colon and (
        phrases.heading.fullmatch(clause)
        or (is_after_yes and phrases.any_heading.fullmatch(clause))
    ):
        return True
    found = phrases.announcement.fullmatch(clause)
    if not found or phrases.content.search(clause):
        return False
    return not (found["later"] and phrases.plan.search(clause))


def _before_separator(sentence: str, is_after_yes: bool) -> int:
    """Return the length of the announcement before the first colon or dash, 0 if it is none."""
    mark = SEPARATOR.search(sentence)
    if mark is None or not sentence[mark.end() :].strip(ENDS):
        return 0
    is_cut = _is_announcement(
        sentence[: mark.start()], has_colon=mark[0] == ":", is_after_yes=is_after_yes
    )
    return mark.end() if is_cut else 0


def _clause(sentence: str) -> int:
    """Return the length of the lead-in clause up to its comma, 0 if there is none."""
    for count, comma in enumerate(COMMA.finditer(sentence)):
        if count == MAX_COMMAS:
            break
        clause = normalised(sentence[: comma.start()])
        rest = normalised(sentence[comma.end() :])
        for phrases in LANGUAGES:
            if phrases.clause.fullmatch(clause) or (
                phrases.finding_clause.fullmatch(clause) and phrases.finding.fullmatch(rest)
            ):
                return comma.end()
    return 0
