"""Exact match: is the answer an accepted text, once both are brought into the declared forms?"""

import re
import string
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.errors import InputError, ScoringError
from evals.sample import Answer, Sample, Score, Scorer

NUMBER = re.compile(
    r"(?<![\w.])(?<![0-9],)(-?(?:[0-9]{1,3}(?:,[0-9]{3})++|[0-9]++)(?:\.[0-9]++)?)"
    r"(?!\w|[.,][0-9])"
)
ARTICLE = re.compile(r"\b(?:a|an|the)\b", re.IGNORECASE)
ASCII_MARKS = str.maketrans("‘’‚‛“”„‟‐‑‒–—−", "''''\"\"\"\"------")


def exact(normalise: Sequence[str] = ()) -> Scorer:
    """Return the scorer of exact matches; without forms, every character counts.

    Forms: `unicode` (NFKC; curly quotes and dashes as ASCII), `case` (case-folded), `number`
    (1,000.50 as 1000.5), `punctuation` (none; declared with `number`, numbers keep their signs),
    `articles` (without a, an, the), `whitespace` (runs as one blank, none around). They are
    applied in this order, however a task lists them. Mark: `exact_match`. Failures: `empty`,
    `different`. The target is a text or a list of accepted texts.

    Raises:
        InputError: there is no such form.
    """
    names = [normalise] if isinstance(normalise, str) else normalise
    unknown = [name for name in names if name not in FORMS]
    if unknown:
        raise InputError(f"no form {unknown[0]!r}; choose from: {', '.join(FORMS)}")
    return ExactMatch(frozenset(names))


@dataclass(frozen=True, slots=True)
class ExactMatch:
    """Compares texts in the declared forms."""

    forms: frozenset[str]

    def __call__(self, sample: Sample, answer: Answer) -> Score:
        """Return the mark.

        Raises:
            ScoringError: the target is neither a text nor a list of texts.
        """
        accepted = {self.normal(text) for text in accepted_texts(sample)}
        if self.normal(answer.text) in accepted:
            return Score(values={"exact_match": 1.0})
        failure = "different" if answer.text.strip() else "empty"
        return Score(values={"exact_match": 0.0}, failure=failure)

    def normal(self, text: str) -> str:
        """Return the text in the declared forms."""
        for name, apply in FORMS.items():
            if name == "punctuation" and {name, "number"} <= self.forms:
                text = _unpunctuated_but_numbers(text)
            elif name in self.forms:
                text = apply(text)
        return text


def accepted_texts(sample: Sample) -> list[str]:
    """Return the answers that count as right.

    Raises:
        ScoringError: the target is neither a text nor a list of at least one text.
    """
    target = sample.target
    texts = [target] if isinstance(target, str) or not isinstance(target, Sequence) else target
    accepted = [text for text in texts if isinstance(text, str)]
    if not accepted or len(accepted) < len(texts):
        raise ScoringError(
            f"the target of sample {sample.id!r} must be a text or a list of texts, "
            f"got {str(target)[:60]!r}"
        )
    return accepted


def _ascii_marks(text: str) -> str:
    return unicodedata.normalize("NFKC", text.translate(ASCII_MARKS))


def _plain_numbers(text: str) -> str:
    return NUMBER.sub(lambda found: _plain_number(found[0]), text)


def _plain_number(number: str) -> str:
    """Return a number without separators and zeros that say nothing; digits, never a float."""
    whole, _, decimals = number.lstrip("-").replace(",", "").partition(".")
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    value = f"{whole}.{decimals}" if decimals else whole
    return f"-{value}" if number.startswith("-") and value != "0" else value


def _unpunctuated(text: str) -> str:
    return "".join(
        character
        for character in text
        if character not in string.punctuation and unicodedata.category(character)[0] != "P"
    )


def _unpunctuated_but_numbers(text: str) -> str:
    # Every second part of the split is a number.
    parts = NUMBER.split(text)
    return "".join(part if place % 2 else _unpunctuated(part) for place, part in enumerate(parts))


def _without_articles(text: str) -> str:
    return ARTICLE.sub(" ", text)


def _single_blanks(text: str) -> str:
    return " ".join(text.split())


FORMS: Mapping[str, Callable[[str], str]] = {
    "unicode": _ascii_marks,
    "case": str.casefold,
    "number": _plain_numbers,
    "punctuation": _unpunctuated,
    "articles": _without_articles,
    "whitespace": _single_blanks,
}
"""Name to form, in the order of application."""
