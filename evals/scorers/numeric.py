r"""The number that an answer gives, against the one that is right: GSM8K's metric.

What is read, in this order: the last number right after `####`; the number after the last `A:`,
`Answer:`, "the answer is" (or the same in Portuguese) or `\boxed{`; the last number anywhere. A
heading's number (`#### 1. Count them`) is none, and of a calculation the result is read. LaTeX's
`\frac{3}{4}` and `1{,}234` are 3/4 and 1,234.
Numbers are compared as exact fractions: 3.0 is 3, 1/2 is 0.5, and 33.3 is not 33.33.
"""

import math
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from core.errors import ScoringError
from core.messages import JsonValue
from evals.sample import Answer, Sample, Score, Scorer

MAX_DIGITS = 100
"""A number that is written longer counts as none."""
NUMBER = re.compile(
    r"""
    (?:(?<![\w)\]%.])(?P<minus>[-\u2212]))?         # no minus in "16-3" or "pages 3-5"
    (?:(?:US|R)?[$\u20ac\u00a3\u00a5][ ]?(?P<late_minus>[-\u2212])?)?
    (?P<whole>[0-9]{1,3}(?:[,\u00a0\u202f][0-9]{3})+(?![0-9]) | [0-9]++ | (?<![\w.])(?=\.[0-9]))
    (?P<decimals>\.[0-9]++)?
    (?:[eE](?P<power>[+-]?[0-9]{1,2})(?!\w))?
    (?:(?:[ ](?P<above>[0-9]{1,9}))?/(?P<below>[0-9]++)(?![\w/]))?
    """,
    re.VERBOSE,
)
SEPARATORS = re.compile("[,\u00a0\u202f]")
CALCULATION = re.compile(r"<<[^<>\n]*>>")
"""GSM8K's notes for a calculator: `<<16-3=13>>`."""
HASHES = re.compile(r"#{4,}[\s*_:=]*+")
LISTED = re.compile(r"[.):][ \t]+\S")
"""What follows the number of a heading: `#### 2. Add them up`, or a sentence's end."""
STATED = re.compile(
    r"^[ \t>*_#]*(?-i:A:)|\\boxed\s?\{"
    r"|\b(?:answer|resposta)\b[^\n0-9]{0,40}?(?:\bis\b|\bé\b|:|=)",
    re.MULTILINE | re.IGNORECASE,
)
CALCULATED = re.compile(
    r"[ \t]?(?:(?:%|percent)[ \t]of\b|(?:times|plus|minus|(?:divided|multiplied)[ \t]by)\b"
    r"|[+*\u00d7\u00f7-])",
    re.IGNORECASE,
)
"""What follows the first number of a calculation in words: `20% of 50 which is 10`."""
RESULT = re.compile(r"\b(?:is|are|equals|makes|gives)\b", re.IGNORECASE)
FRACTION = re.compile(r"\\[dt]?frac(?:\{([0-9]{1,99})\}|([0-9]))(?:\{([0-9]{1,99})\}|([0-9]))")
LATEX_COMMA = re.compile(r"(?<=[0-9])(?:\{,\}|\\,|\\!,|,\\!)(?=[0-9])")


@dataclass(frozen=True, slots=True)
class FoundNumber:
    """A number in a text."""

    text: str
    """As it is written."""
    value: Fraction


def gsm8k() -> Scorer:
    """Return the scorer of numeric answers.

    Mark: `gsm8k`. Failures: `unparsed` (no number can be read), `wrong_number`. The target is a
    number, or a text that gives one in any of the ways that an answer may.
    """
    return score_number


def score_number(sample: Sample, answer: Answer) -> Score:
    """Return the mark of one answer.

    Raises:
        ScoringError: the sample's target holds no number.
    """
    target = read_target(sample)
    found = find_number(answer.text)
    if found is None:
        return Score(values={"gsm8k": 0.0}, failure="unparsed")
    is_right = found.value == target
    return Score(
        values={"gsm8k": float(is_right)},
        failure=None if is_right else "wrong_number",
        notes={"read": found.text},
    )


def read_target(sample: Sample) -> Fraction:
    """Return the number that is right.

    Raises:
        ScoringError: the target is neither a number nor a text that holds one.
    """
    number = _number_of(sample.target)
    if number is None:
        raise ScoringError(
            f"the target of sample {sample.id!r} must be a number or hold one, "
            f"got {str(sample.target)[:60]!r}"
        )
    return number


def find_number(text: str) -> FoundNumber | None:
    """Return the number that a text gives as its answer; None when it gives none.

    None too when that number divides by zero or is written in more than 100 characters. Takes
    time linear in the text.
    """
    text = _plain(CALCULATION.sub("", text))
    found = _last(_hashed(text)) or _stated(text) or _last(NUMBER.finditer(text))
    return _read(found) if found else None


def _number_of(target: JsonValue) -> Fraction | None:
    if isinstance(target, str):
        found = find_number(target)
        return found.value if found else None
    if isinstance(target, bool) or not isinstance(target, int | float):
        return None
    if not math.isfinite(target):
        return None
    # By way of its digits: 0.1 means a tenth, not the double that is nearest to it.
    return Fraction(repr(target)) if isinstance(target, float) else Fraction(target)


def _plain(text: str) -> str:
    """Return LaTeX's fractions and thousands as they are written without it."""
    if "\\" not in text and "{,}" not in text:
        return text
    return FRACTION.sub(_fraction, LATEX_COMMA.sub(",", text))


def _fraction(found: re.Match[str]) -> str:
    # Between a whole number and its fraction there must be a blank: 2 1/2 is not 21/2.
    is_mixed = found.start() > 0 and found.string[found.start() - 1].isdigit()
    return f"{' ' * is_mixed}{found[1] or found[2]}/{found[3] or found[4]}"


def _hashed(text: str) -> Iterator[re.Match[str]]:
    """Yield the numbers that stand right after `####` and don't number a heading.

    A heading has text on its own line and under it, and is the next of headings that are counted
    from 1, or comes before a stated answer.
    """
    stated = _last(STATED.finditer(text))
    headed = stated.start() if stated else 0
    last_line = text.rfind("\n", 0, len(text.rstrip()))
    ordinal = 1
    for mark in HASHES.finditer(text):
        found = NUMBER.match(text, mark.end())
        if not found:
            continue
        is_counted = found.end() < headed or found[0] == str(ordinal)
        if is_counted and found.end() <= last_line and LISTED.match(text, found.end()):
            ordinal += 1
        else:
            yield found


def _stated(text: str) -> re.Match[str] | None:
    """Return the number of the last answer line: a calculation's result, else its first."""
    mark = _last(STATED.finditer(text))
    if mark is None:
        return None
    line = text[mark.end() :].lstrip(" \t\r\n*_:{").partition("\n")[0]
    _, equals, result = line.rpartition("=")
    return (NUMBER.search(result) if equals else None) or _result(line)


def _result(line: str) -> re.Match[str] | None:
    """Return the first number of a line, or the one after "is" where a calculation begins it."""
    first = NUMBER.search(line)
    if first is None or not CALCULATED.match(line, first.end()):
        return first
    results = (NUMBER.search(line, verb.end()) for verb in RESULT.finditer(line, first.end()))
    return next((found for found in results if found), first)


def _last(found: Iterator[re.Match[str]]) -> re.Match[str] | None:
    last = deque(found, maxlen=1)
    return last[0] if last else None


def _read(found: re.Match[str]) -> FoundNumber | None:
    """Return the value of what was found."""
    text = found[0].strip()
    if len(text) > MAX_DIGITS:
        return None
    whole = SEPARATORS.sub("", found["whole"]) or "0"
    value = Fraction(f"{whole}{found['decimals'] or ''}e{found['power'] or 0}")
    if found["below"]:
        below = int(found["below"])
        if below == 0:
            return None
        value = value + Fraction(int(found["above"]), below) if found["above"] else value / below
    return FoundNumber(text, -value if found["minus"] or found["late_minus"] else value)
