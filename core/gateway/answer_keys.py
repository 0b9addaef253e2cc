"""When two answers are the same: each kind of answer is read into a key that is compared.

An answer that can't be read as its kind has no key, and so no vote.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from fractions import Fraction
from typing import Literal

from core.json_text import JsonFailure, canonical, parse_json

AnswerKind = Literal["text", "json", "number", "label"]

MAX_NUMBER_CHARACTERS = 100
SPACES = "\u00a0\u2009\u202f"
"""What stands between thousands in print: no-break, thin and narrow no-break space."""
NUMBER = re.compile(
    rf"""(?<![\w.,/])
    (?P<sign>[-+\u2212]?)[$€£¥]?(?P<sign_after>[-\u2212]?)
    (?>(?P<number>
        (?:[1-9][0-9]{{0,2}}(?P<mark>[,.'’{SPACES}])[0-9]{{3}}(?:(?P=mark)[0-9]{{3}})*(?![0-9])
          |[0-9]+)
        (?:(?!(?P=mark))[.,][0-9]+)?(?:[eE][-+]?[0-9]{{1,3}})?
        |[.][0-9]+
    ))
    (?>(?:[/\u2044](?P<divisor>[0-9]+))?)
    (?![0-9_/²³½¼¾]|[.,][0-9])
    (?:[{SPACES} ]?(?P<scale>k|thousand|million|billion|mil|milhão|milhões)\b)?""",
    re.VERBOSE | re.IGNORECASE,
)
SCALES: Mapping[str, int] = {
    "k": 3,
    "thousand": 3,
    "mil": 3,
    "million": 6,
    "milhão": 6,
    "milhões": 6,
    "billion": 9,
}
EXACT = Context(prec=2 * MAX_NUMBER_CHARACTERS)
LIST_MARK = re.compile(r"(?:[-*•]|#+)\s+")
LABEL_EDGES = " \t.,;:!?\"'`*_()[]{}“”„‘’«»…¿¡"
"""What is no part of a label at its ends; `+`, `-` and `#` are: C++, -1, C#."""


def key_of(text: str, kind: AnswerKind) -> str | None:
    """Return what the answer is compared by; None when it is no such answer.

    `text`: Unicode NFKC, no case, white space collapsed.
    `label`: the first line that has one, no case, without punctuation and quotes at its ends.
    `number`: the last number, as an exact decimal or fraction; thousands separators, decimal
    commas, currency, `%` and scale words are read. `50%` is 50, not 0.5.
    `json`: canonical JSON, also of repaired text (`parse_json`), but not of text that was cut.
    """
    if not any(character.isprintable() and not character.isspace() for character in text):
        return None
    return KEYS[kind](text)


def _folded(text: str) -> str:
    once = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", once).split())


def _label(text: str) -> str | None:
    for line in text.splitlines():
        folded = LIST_MARK.sub("", _folded(line), count=1).strip(LABEL_EDGES)
        if folded:
            return folded
    return None


def _json(text: str) -> str | None:
    read = parse_json(text)
    if isinstance(read, JsonFailure) or "closed" in read.repairs:
        return None
    return canonical(read.value)


def _number(text: str) -> str | None:
    every = list(NUMBER.finditer(text))
    if not every:
        return None
    found = every[-1]
    if len(found["number"]) + len(found["divisor"] or "") > MAX_NUMBER_CHARACTERS:
        return None
    value = Decimal(_with_point(found["number"], found["mark"]))
    if found["sign"] in ("-", "\u2212") or found["sign_after"]:
        value = -value
    if found["scale"]:
        value = value.scaleb(SCALES[found["scale"].lower()], EXACT)
    return _written(value, Decimal(found["divisor"] or 1))


def _with_point(number: str, mark: str | None) -> str:
    """Return the number with a decimal point and nothing between thousands.

    A single point before three digits is a decimal point (1.234), a single comma before three
    digits stands between thousands (1,234), as in English.
    """
    if mark == "." and number.count(".") == 1 and "," not in number:
        return number
    if mark:
        number = number.replace(mark, "")
    return number.replace(",", ".")


def _written(value: Decimal, divisor: Decimal) -> str | None:
    if not divisor:
        return None
    if divisor != 1:
        fraction = Fraction(value) / Fraction(divisor)
        quotient = EXACT.divide(value, divisor)
        if Fraction(quotient) != fraction:
            return str(fraction)
        value = quotient
    plain = value.normalize(EXACT)
    if not plain:
        return "0"
    return format(plain, "f") if abs(plain.adjusted()) < 30 else str(plain)


KEYS: Mapping[AnswerKind, Callable[[str], str | None]] = {
    "text": _folded,
    "json": _json,
    "number": _number,
    "label": _label,
}
