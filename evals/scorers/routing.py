"""Marks for routing: was the right label chosen, and how sure was the model of it?"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import ScoringError
from core.messages import JsonValue
from evals.sample import Answer, Sample, Score, Scorer
from evals.strict_json import Reading, read_json

LABEL_KEYS = ("route", "intent", "label")
MAX_LABEL_CHARACTERS = 200
MAX_WORDS = 2_000
"""How far into a wordy answer a label is looked for."""
DRESS = " \t\r\n\"'`*.:"
SEPARATORS = re.compile(r"[\s_-]+")
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Choice:
    """What an answer chose."""

    label: str | None
    """One of the task's labels; None: none of them, or several."""
    said: str
    """The text that stands for a label; empty when there is none."""
    confidence: float | None
    """The model's own, 0.0 to 1.0; None when it gave none."""
    is_exact: bool
    """Whether the answer was the label alone or strict JSON, and no prose around it."""


def routing() -> Scorer:
    """Return the scorer of routes.

    The sample's target is a label; `details` holds `labels`, all that there are, and, where one of
    them means that none fits, `out_of_scope`. An answer is a label alone, or JSON with the label
    under `route`, `intent` or `label` and, if the model has one, a `confidence`. Case and the
    choice of space, hyphen or underscore are free; a label is never read inside another word.
    Mark: `routing_accuracy`. Repaired: the only label that a wordy answer mentions counts.
    """
    return score_route


def score_route(sample: Sample, answer: Answer) -> Score:
    """Return the marks of one route.

    Raises:
        ScoringError: the sample's labels are missing or alike, or the target is none of them.
    """
    labels = _labels(sample)
    target, other = _target(sample, labels), _out_of_scope(sample, labels)
    choice = read_choice(answer.text, labels)
    label = choice.label if choice.is_exact else None
    is_right = label == target
    counts = _scope_counts(target, label, other)
    if choice.confidence is not None and label is not None:
        counts["confidence"] = choice.confidence
    return Score(
        values={"routing_accuracy": float(is_right)},
        repaired={"routing_accuracy": float(choice.label == target)},
        failure=None if is_right else _failure(choice, target, other),
        counts=counts,
        notes={
            "target": target,
            "predicted": label,
            "mentioned": choice.label,
            "said": choice.said[:80],
            "confidence": choice.confidence,
            "out_of_scope": other,
        },
    )


def read_choice(text: str, labels: Mapping[str, str]) -> Choice:
    """Return the label that a text chooses; `labels` are by their normal form.

    Takes time linear in the text.
    """
    read = read_json(text)
    if isinstance(read, Reading) and isinstance(read.value, dict):
        return _from_object(read.value, read.level == "raw", labels)
    said = read.value if isinstance(read, Reading) and isinstance(read.value, str) else text
    if label := labels.get(normal_label(said)):
        return Choice(label, label, None, True)
    mentioned = mentioned_labels(text, labels)
    if len(mentioned) == 1:
        return Choice(mentioned[0], mentioned[0], None, False)
    is_short = len(text) < MAX_LABEL_CHARACTERS
    return Choice(None, text.strip() if is_short else "", None, False)


def normal_label(text: str) -> str:
    """Return a label in the form that labels are compared in: lower case, single underscores."""
    if len(text) > MAX_LABEL_CHARACTERS:
        return ""
    return SEPARATORS.sub("_", text.strip(DRESS).casefold())


def mentioned_labels(text: str, labels: Mapping[str, str]) -> list[str]:
    """Return the labels that stand in a text as whole words, the longer of two that overlap."""
    forms: dict[str, list[tuple[list[str], str]]] = {}
    for label in labels.values():
        words = _words(label)
        if words:
            forms.setdefault(words[0], []).append((words, label))
    for alike in forms.values():
        alike.sort(key=lambda form: -len(form[0]))
    words, at, found = _words(text)[:MAX_WORDS], 0, dict[str, None]()
    while at < len(words):
        fitting = (f for f in forms.get(words[at], []) if words[at : at + len(f[0])] == f[0])
        form = next(fitting, None)
        if form is not None:
            found[form[1]] = None
        at += len(form[0]) if form else 1
    return list(found)


def _words(text: str) -> list[str]:
    return WORD.findall(text[: 20 * MAX_WORDS].casefold())


def _from_object(
    members: Mapping[str, JsonValue], is_exact: bool, labels: Mapping[str, str]
) -> Choice:
    chosen = [members[key] for key in LABEL_KEYS if key in members]
    said = chosen[0] if len(chosen) == 1 and isinstance(chosen[0], str) else ""
    label = labels.get(normal_label(said)) if said else None
    return Choice(label, said, _confidence(members.get("confidence")), is_exact)


def _confidence(value: JsonValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1 else None


def _labels(sample: Sample) -> dict[str, str]:
    listed = sample.details.get("labels")
    texts = [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []
    labels = {normal_label(text): text for text in texts}
    if not texts or "" in labels or len(labels) < len(texts):
        raise ScoringError(
            f"sample {sample.id!r} must list labels in details.labels, no two alike when case, "
            "spaces, hyphens and underscores are set aside"
        )
    return labels


def _target(sample: Sample, labels: Mapping[str, str]) -> str:
    target = sample.target
    if isinstance(target, str) and target in labels.values():
        return target
    raise ScoringError(f"the target {target!r} of sample {sample.id!r} is not in details.labels")


def _out_of_scope(sample: Sample, labels: Mapping[str, str]) -> str | None:
    label = sample.details.get("out_of_scope")
    if label is None or (isinstance(label, str) and label in labels.values()):
        return label
    raise ScoringError(f"details.out_of_scope {label!r} of sample {sample.id!r} is no label")


def _scope_counts(target: str, label: str | None, other: str | None) -> dict[str, float]:
    """Return what out-of-scope recall and precision are made of; nothing without such a label."""
    if other is None:
        return {}
    return {
        "oos_hits": float(target == other and label == other),
        "oos_missing": float(target == other and label != other),
        "oos_extra": float(target != other and label == other),
    }


def _failure(choice: Choice, target: str, other: str | None) -> str:
    if choice.label is None:
        return "unknown_label" if choice.said else "no_label"
    if not choice.is_exact:
        return "wordy_label" if choice.label == target else "wordy_wrong_label"
    if target == other:
        return "out_of_scope_missed"
    return "out_of_scope_invented" if choice.label == other else "wrong_label"
