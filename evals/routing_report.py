"""What a run of a routing task shows besides its accuracy: confusion, calibration, abstention."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from core.errors import InputError
from core.messages import JsonValue
from evals.sample import Grade

NO_LABEL = ""
"""Stands for an answer without one of the labels; never a label itself."""
BINS = 10


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """One label's share of right answers."""

    label: str
    precision: float | None
    """Of the answers with this label, the share that is right; None when there is none."""
    recall: float | None
    """Of the samples with this target, the share that is right; None when there is none."""
    f1: float
    """0.0 when nothing is right."""
    support: int
    """Samples with this target."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the figures as JSON."""
        return {
            "label": self.label,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "support": self.support,
        }


@dataclass(frozen=True, slots=True)
class Bin:
    """The answers whose confidence lies between `low` (included) and `high` (1.0 included)."""

    low: float
    high: float
    n: int
    confidence: float
    """Mean confidence of these answers."""
    accuracy: float
    """Share of these answers that is right."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well the stated confidence agrees with the share of right answers."""

    error: float
    """Expected calibration error, 0.0 (agrees) to 1.0."""
    n: int
    """Answers that stated a confidence."""
    bins: tuple[Bin, ...]
    """Those of ten equal ones that hold answers."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the calibration as JSON."""
        bins = [[b.low, b.high, b.n, b.confidence, b.accuracy] for b in self.bins]
        return {"error": self.error, "n": self.n, "bins": bins}


@dataclass(frozen=True, slots=True)
class RoutingReport:
    """All figures of one run of a routing task."""

    n: int
    accuracy: float
    macro_f1: float
    """Mean F1 of the labels that are a target."""
    labels: tuple[LabelFigures, ...]
    """Those that are a target or were answered, by name."""
    confusion: Mapping[str, Mapping[str, int]] = field(hash=False)
    """Target to answered label to samples; `NO_LABEL` where the answer has none."""
    calibration: Calibration | None
    """None: no answer stated a confidence."""
    out_of_scope: LabelFigures | None
    """None: the task has no such label."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the report as JSON."""
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "labels": [figures.to_dict() for figures in self.labels],
            "confusion": {target: dict(row) for target, row in self.confusion.items()},
            "calibration": self.calibration.to_dict() if self.calibration else None,
            "out_of_scope": self.out_of_scope.to_dict() if self.out_of_scope else None,
        }


def routing_report(grades: Iterable[Grade]) -> RoutingReport:
    """Return the figures of grades that `score_route` made.

    Raises:
        InputError: there are no grades, or another scorer made them.
    """
    notes = [grade.score.notes for grade in grades]
    if not notes or any("predicted" not in note or "target" not in note for note in notes):
        raise InputError("a routing report needs grades of the routing scorer, at least one")
    pairs = Counter((str(n["target"]), str(n["predicted"] or NO_LABEL)) for n in notes)
    names = sorted({label for pair in pairs for label in pair} - {NO_LABEL})
    labels = tuple(_figures(label, pairs) for label in names)
    targets = [figures for figures in labels if figures.support]
    other = next((str(n["out_of_scope"]) for n in notes if n.get("out_of_scope")), None)
    right = sum(count for (target, said), count in pairs.items() if target == said)
    return RoutingReport(
        n=len(notes),
        accuracy=right / len(notes),
        macro_f1=sum(figures.f1 for figures in targets) / len(targets),
        labels=labels,
        confusion=_confusion(pairs),
        calibration=calibration(
            (float(c), n["predicted"] == n["target"])
            for n in notes
            if n["predicted"] is not None and isinstance(c := n.get("confidence"), int | float)
        ),
        out_of_scope=_figures(other, pairs) if other else None,
    )


def calibration(answers: Iterable[tuple[float, bool]]) -> Calibration | None:
    """Return the expected calibration error of (confidence, is right); None without answers.

    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks", equation 3; ten bins of
    equal width, each with its lower bound.
    """
    binned: dict[int, list[tuple[float, bool]]] = {}
    for confidence, is_right in answers:
        place = min(int(confidence * BINS), BINS - 1)
        binned.setdefault(place, []).append((confidence, is_right))
    if not binned:
        return None
    bins = tuple(_bin(place, binned[place]) for place in sorted(binned))
    n = sum(one.n for one in bins)
    error = sum(one.n / n * abs(one.accuracy - one.confidence) for one in bins)
    return Calibration(error, n, bins)


def _bin(place: int, answers: list[tuple[float, bool]]) -> Bin:
    n = len(answers)
    return Bin(
        low=place / BINS,
        high=(place + 1) / BINS,
        n=n,
        confidence=sum(confidence for confidence, _ in answers) / n,
        accuracy=sum(is_right for _, is_right in answers) / n,
    )


def _figures(label: str, pairs: Counter[tuple[str, str]]) -> LabelFigures:
    hits = pairs[label, label]
    said = sum(count for (_, answer), count in pairs.items() if answer == label)
    wanted = sum(count for (target, _), count in pairs.items() if target == label)
    return LabelFigures(
        label=label,
        precision=hits / said if said else None,
        recall=hits / wanted if wanted else None,
        f1=2 * hits / (said + wanted) if said + wanted else 0.0,
        support=wanted,
    )


def _confusion(pairs: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    rows: dict[str, dict[str, int]] = {}
    for (target, said), count in sorted(pairs.items()):
        rows.setdefault(target, {})[said] = count
    return rows
