"""How a language's announcements are written down: patterns over whole normalised clauses.

Patterns see a clause in lower case, with straight apostrophes, single spaces and no punctuation
at its end, at most 400 characters of it, and must match all of it.
"""

import re
from dataclasses import dataclass

STRAIGHT = str.maketrans("’‘ʼ´", "''''", "`*")
"""Apostrophes become straight ones; marks of code and emphasis go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """One language's ways of announcing an answer instead of giving it."""

    first_words: frozenset[str]
    """Words, or pairs of words, that an announcement may begin with.

    Any other sentence is let through at once.
    """
    acknowledgement: re.Pattern[str]
    """Cut only together with the announcement that follows: "Sure!"."""
    announcement: re.Pattern[str]
    """A whole sentence; group `later` matches where the verb may also mean a real plan."""
    heading: re.Pattern[str]
    """Presents the answer, and is cut only where a colon ends it: "Here is the list:"."""
    any_heading: re.Pattern[str]
    """The same right after an acknowledgement."""
    clause: re.Pattern[str]
    """Cut in front of a comma, whatever follows: "As an AI language model,"."""
    finding_clause: re.Pattern[str]
    """Cut in front of a comma if a `finding` follows: "After reviewing the document,"."""
    finding: re.Pattern[str]
    """How the speaker's own finding begins: "I found"."""
    content: re.Pattern[str]
    """Found in a sentence, it says more than an announcement does: "but", "it is"."""
    plan: re.Pattern[str]
    """Found in a sentence, it makes `later` a plan in the world: "tomorrow", "at six"."""


def beginnings(words: str, pairs: str) -> frozenset[str]:
    """Return the words, separated by blanks, and the pairs, separated by commas."""
    return frozenset(words.split()) | {normalised(pair) for pair in pairs.split(",")}


def pattern(*choices: str) -> re.Pattern[str]:
    """Compile the choices, each of which may span lines, whose indentation is dropped."""
    return re.compile("|".join(f"(?:{joined(one)})" for one in choices))


def joined(text: str) -> str:
    """Return a pattern written over several lines as one line.

    A line break stands for nothing; where a line must begin or end with a space, write `[ ]`.
    """
    return "".join(line.strip() for line in text.splitlines())


def normalised(text: str) -> str:
    """Return the text as the patterns expect it."""
    return " ".join(text.translate(STRAIGHT).lower().split())
