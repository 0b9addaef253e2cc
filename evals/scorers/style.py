"""How an answer is written: announcements, length, topic, refusal. No model judges."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.errors import InputError, ScoringError
from evals.sample import Answer, Sample, Score, Scorer
from evals.scorers.refusals import is_refusal

MAX_CHARACTERS = 20_000
"""How much of an answer is searched for announcements; the longest generation has less."""
WORD = re.compile(r"\w+")
MIN_REPEATED = 4
"""Words of a question that an answer can repeat; a shorter one may well be part of an answer."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One metric's mark of one answer."""

    metric: str
    value: float
    failure: str | None
    """Label of what is wrong; None: nothing is."""


Rule = Callable[[Sample, str], Mark]
"""Marks an answer's text.

Raises:
    ScoringError: the sample lacks what the rule needs.
"""


@dataclass(frozen=True, slots=True)
class Style:
    """Marks an answer by several rules; its failure is the first that finds one."""

    rules: tuple[Rule, ...]

    def __call__(self, sample: Sample, answer: Answer) -> Score:
        """Return the marks.

        Raises:
            ScoringError: the sample lacks what a rule needs.
        """
        marks = [rule(sample, answer.text) for rule in self.rules]
        return Score(
            values={mark.metric: mark.value for mark in marks},
            failure=next((mark.failure for mark in marks if mark.failure), None),
        )


def meta_language() -> Scorer:
    """Return the scorer of `meta_language_rate`: 1.0 for an answer that announces anywhere.

    Lower is better. English and Portuguese: "I'll first analyze the list.", "Vou começar por
    ver a ementa." Failure: `meta_language`.
    """
    return Style((mark_meta_language,))


def length_band(low: int | None = None, high: int | None = None) -> Scorer:
    """Return the scorer of `length_in_band`: 1.0 for `low` to `high` characters, both included.

    White space around the answer does not count. Failures: `too_short`, `too_long`.

    Raises:
        InputError: no bound, a negative one, or `low` above `high`.
    """
    return Style((_length_rule(low, high),))


def refusal() -> Scorer:
    """Return the scorer of `refusal_rate`: 1.0 for an answer that declines.

    Whether lower is better depends on what was asked. Failure: `refused`.
    """
    return Style((mark_refusal,))


def style(low: int | None = None, high: int | None = None, on_topic: bool = False) -> Scorer:
    """Return a scorer of several at once: `meta_language_rate` (lower is better) and more.

    With a bound, `length_in_band`; with `on_topic`, a mark of that name: 1.0 where one of the
    words and phrases in the sample's `details.topic` occurs, as whole words in any case and not
    only in a repetition of the question. Failures in this order: `meta_language`, `too_short`,
    `too_long`, `off_topic`.

    Raises:
        InputError: a negative bound, or `low` above `high`.
    """
    rules: list[Rule] = [mark_meta_language]
    if low is not None or high is not None:
        rules.append(_length_rule(low, high))
    if on_topic:
        rules.append(mark_topic)
    return Style(tuple(rules))


def mark_meta_language(sample: Sample, text: str) -> Mark:  # noqa: ARG001  a rule's signature
    """Mark an answer that announces instead of answering with 1.0."""
    # Its patterns take most of a second to compile.
    from core.gateway.guard.meta_language import has_meta_language

    has_found = has_meta_language(text[:MAX_CHARACTERS])
    return Mark("meta_language_rate", float(has_found), "meta_language" if has_found else None)


def mark_refusal(sample: Sample, text: str) -> Mark:  # noqa: ARG001  a rule's signature
    """Mark an answer that declines with 1.0."""
    is_refused = is_refusal(text)
    return Mark("refusal_rate", float(is_refused), "refused" if is_refused else None)


def mark_topic(sample: Sample, text: str) -> Mark:
    """Mark an answer that has one of the topic's phrases in words of its own with 1.0.

    A phrase in a repetition of the whole question does not count, nor does an answer that has no
    word besides those of the question.

    Raises:
        ScoringError: `details.topic` is no list of phrases.
    """
    asked = _words(sample.messages[-1].text) if sample.messages else ""
    said = _words(text)
    if len(asked.split()) >= MIN_REPEATED:
        said = "" if set(said.split()) <= set(asked.split()) else said.replace(asked, "  ")
    is_on = any(phrase in said for phrase in _topic(sample))
    return Mark("on_topic", float(is_on), None if is_on else "off_topic")


def _topic(sample: Sample) -> list[str]:
    topic = sample.details.get("topic")
    if isinstance(topic, Sequence) and not isinstance(topic, str):
        phrases = [_words(phrase) for phrase in topic if isinstance(phrase, str)]
        if phrases and len(phrases) == len(topic) and all(map(str.strip, phrases)):
            return phrases
    raise ScoringError(
        f"sample {sample.id!r} needs details.topic as a list of words or phrases, "
        f"got {str(topic)[:60]!r}"
    )


def _words(text: str) -> str:
    """Return the words with one blank around each, so that only whole words are found in it."""
    return f" {' '.join(WORD.findall(text.casefold()))} "


def _length_rule(low: int | None, high: int | None) -> Rule:
    least, most = _bound("low", low), _bound("high", high)
    if least is None and most is None:
        raise InputError("a length band needs low, high or both, in characters")
    if least is not None and most is not None and least > most:
        raise InputError(f"low is {least} and high is {most}; low must not be above high")

    def mark(sample: Sample, text: str) -> Mark:  # noqa: ARG001  a rule's signature
        length = len(text.strip())
        if least is not None and length < least:
            return Mark("length_in_band", 0.0, "too_short")
        is_long = most is not None and length > most
        return Mark("length_in_band", float(not is_long), "too_long" if is_long else None)

    return mark


def _bound(name: str, value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise InputError(f"{name} must be a whole number of characters from 0, got {value!r}")
