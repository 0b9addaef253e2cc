"""How far a judge can be trusted: its marks beside people's labels, and rates corrected by both.

An answer counts as good to the judge when its mark reaches the rubric's `pass_mark`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from core.errors import InputError, ScoringError
from core.messages import JsonValue
from evals.judge.anchors import AnchorCheck, anchor_pairs, check_marks
from evals.judge.asking import Judge
from evals.judge.judged import Judged
from evals.judge.labelled import Label, Labelled
from evals.judge.pairwise import Pair, PairReport, compare_pairs, pair_report
from evals.judge.pointwise import Marked, mark_items
from evals.judge.rubric import Rubric
from evals.judge.verdicts import VerdictFile
from evals.sample import Estimate
from evals.stats.agreement import cohen_kappa, krippendorff_alpha
from evals.stats.arrays import Z
from evals.stats.correction import Tally, ppi_mean, rogan_gladen
from evals.stats.intervals import proportion

MOST_PAIRS = 200
UNDECIDED = 0.5
"""Stands for a missing mark in a corrected rate, which is right for whatever stands there."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A judge's marks beside the labels of people."""

    rubric: Rubric
    anchors: AnchorCheck
    n: int
    missing: int
    """Answers without a mark; the other figures leave them out."""
    kappa: Estimate
    """Cohen's, of good or not: 1.0 full agreement with the labels, 0.0 chance."""
    alpha: Estimate
    """Krippendorff's, of the same."""
    sensitivity: Tally
    """Of the good answers, how many the judge found good."""
    specificity: Tally
    """Of the bad answers, how many the judge found bad."""
    own_alpha: Estimate | None
    """Krippendorff's, ordinal, of the judge's calls with each other; None: all marks are equal."""
    length_preference: Estimate | None
    """How much more often longer answers pass than shorter ones of the same label, -1.0 to 1.0;
    None: too few answers."""
    pairs: PairReport | None
    """Good and bad answers to one question, anchors included, compared in both orders: how far the
    judge follows the position; None: there are no such pairs."""

    @property
    def is_usable(self) -> bool:
        """Whether the judge agrees with the labels beyond chance."""
        return self.kappa.low is not None and self.kappa.low > 0

    def corrected_rate(self, judged: Judged) -> Estimate:
        """Return the share of good answers in another run, corrected for the judge's error rates.

        It holds as far as the judge errs on that run as it does on the labelled answers. Missing
        marks are left out.

        Raises:
            InputError: no answer has a mark.
            ScoringError: the judge is no better than chance.
        """
        passed = [is_good for each in judged.marked if (is_good := passes(self.rubric, each))]
        n = len(judged.marked) - len(judged.missing)
        if not n:
            raise InputError("no answer of the run has a mark")
        if not self.is_usable:
            raise ScoringError(f"{self.reason}; nothing can be corrected by it")
        return rogan_gladen(Tally(len(passed), n), self.sensitivity, self.specificity)

    @property
    def reason(self) -> str:
        """Say in words how the judge agrees with the labels."""
        kappa = self.kappa
        low = "unknown" if kappa.low is None else f"{kappa.low:.2f}"
        high = "unknown" if kappa.high is None else f"{kappa.high:.2f}"
        told = "agrees with people" if self.is_usable else "is not shown to be better than chance"
        return f"the judge {told}: Cohen's kappa {kappa.value:.2f} ({low} to {high})"

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the figures as JSON; what is undefined is null."""
        own, length = self.own_alpha, self.length_preference
        return {
            "rubric": self.rubric.name,
            "rubric_digest": self.rubric.digest,
            "anchors": self.anchors.to_dict(),
            "n": self.n,
            "missing": self.missing,
            "is_usable": self.is_usable,
            "reason": self.reason,
            "kappa": self.kappa.to_dict(),
            "alpha": self.alpha.to_dict(),
            "sensitivity": proportion(*self.sensitivity).to_dict(),
            "specificity": proportion(*self.specificity).to_dict(),
            "own_alpha": None if own is None else own.to_dict(),
            "length_preference": None if length is None else length.to_dict(),
            "pairs": None if self.pairs is None else self.pairs.to_dict(),
        }


def calibrate(judge: Judge, rows: Sequence[Labelled], verdicts: VerdictFile) -> Calibration:
    """Return how a judge's marks agree with labels, after it has agreed with the anchors.

    Raises:
        InputError: the labels are all good or all bad.
        ScoringError: the judge does not agree with the anchors, or has no mark for any good or
            any bad answer.
        StorageError: a verdict can't be written.
    """
    if len({row.is_good for row in rows}) < 2:
        raise InputError("calibration needs labelled answers that are good and such that are not")
    anchors = check_marks(judge, verdicts)
    marked = mark_items(judge, [row.item for row in rows], verdicts)
    told = [
        _Told(len(row.item.answer), row.is_good, is_good)
        for each, row in zip(marked, rows, strict=True)
        if (is_good := passes(judge.rubric, each)) is not None
    ]
    on_good = [each.found for each in told if each.label]
    on_bad = [each.found for each in told if not each.label]
    if not on_good or not on_bad:
        raise ScoringError(
            f"the judge {judge.model!r} has marks for {len(on_good)} good and {len(on_bad)} bad "
            "answers; it needs both to be calibrated"
        )
    return Calibration(
        rubric=judge.rubric,
        anchors=anchors,
        n=len(rows),
        missing=len(rows) - len(told),
        kappa=cohen_kappa([each.label for each in told], [each.found for each in told]),
        alpha=krippendorff_alpha([(float(each.label), float(each.found)) for each in told]),
        sensitivity=Tally(sum(on_good), len(on_good)),
        specificity=Tally(len(on_bad) - sum(on_bad), len(on_bad)),
        own_alpha=own_agreement(judge.rubric, marked),
        length_preference=_length_preference(told),
        pairs=_compared(judge, rows, verdicts),
    )


def labelled_rate(judged: Judged, labels: Sequence[Label]) -> Estimate:
    """Return the share of good answers in a run, from labels of some and marks of all.

    Prediction-powered: unbiased whatever the judge is worth, if the labelled answers were drawn at
    random. A missing mark stands as 0.5, which costs precision and no truth.

    Raises:
        InputError: a label is of no answer of the run, or fewer than 2 or all are labelled.
    """
    by_key = {(label.id, label.repeat): label.is_good for label in labels}
    known = {(each.item.id, each.item.repeat): each for each in judged.marked}
    if foreign := [key for key in by_key if key not in known]:
        raise InputError(f"the label {foreign[0][0]!r} is of no answer of the run")
    if len(by_key) == len(known):
        raise InputError("every answer is labelled; take the labels' own mean")
    marks = {key: _mark(judged.rubric, each) for key, each in known.items()}
    return ppi_mean(
        [float(is_good) for is_good in by_key.values()],
        [marks[key] for key in by_key],
        [mark for key, mark in marks.items() if key not in by_key],
    )


def passes(rubric: Rubric, marked: Marked) -> bool | None:
    """Say whether an answer is good to the judge; None where its mark is missing."""
    return None if marked.mark is None else marked.mark >= rubric.pass_mark


def own_agreement(rubric: Rubric, marked: Sequence[Marked]) -> Estimate | None:
    """Return Krippendorff's ordinal alpha of the calls with each other, over all dimensions."""
    ratings = [
        [verdict.marks.get(name) for verdict in each.verdicts if verdict.call < rubric.calls]
        for each in marked
        for name in rubric.names
        if name not in each.zeroed
    ]
    try:
        return krippendorff_alpha(ratings, "ordinal")
    except InputError:  # All marks are equal, or no answer has two.
        return None


def _compared(judge: Judge, rows: Sequence[Labelled], verdicts: VerdictFile) -> PairReport | None:
    pairs = [each.pair for each in anchor_pairs(judge.rubric)] + labelled_pairs(rows)
    return pair_report(compare_pairs(judge, pairs, verdicts)) if pairs else None


def labelled_pairs(rows: Sequence[Labelled]) -> list[Pair]:
    """Return a good and a bad answer to each question that has both, in turn the good one first."""
    good = {row.item.conversation: row.item for row in reversed(rows) if row.is_good}
    bad = {row.item.conversation: row.item for row in reversed(rows) if not row.is_good}
    found: list[Pair] = []
    for asked in sorted(good.keys() & bad.keys())[:MOST_PAIRS]:
        one, other = (good[asked], bad[asked]) if len(found) % 2 else (bad[asked], good[asked])
        found.append(Pair(f"{one.id}|{other.id}", asked, one.answer, other.answer))
    return found


def _mark(rubric: Rubric, marked: Marked) -> float:
    is_good = passes(rubric, marked)
    return UNDECIDED if is_good is None else float(is_good)


class _Told(NamedTuple):
    """An answer that both people and the judge found good or not."""

    size: int
    """Characters."""
    label: bool
    found: bool


def _length_preference(rows: Sequence[_Told]) -> Estimate | None:
    """Return the difference in pass rates of longer and shorter answers, label by label.

    The labels' differences are weighted by their answers; a success and a failure are added to
    each half.

    Source: Agresti & Caffo (2000), in strata.
    """
    value, variance, n = 0.0, 0.0, 0
    for label in (True, False):
        alike = [row for row in rows if row.label == label]
        middle = median(row.size for row in alike)
        halves = [
            [row.found for row in alike if (row.size > middle) == is_long]
            for is_long in (True, False)
        ]
        if not all(halves):
            continue
        share = len(alike) / len(rows)
        longer, shorter = (((sum(half) + 1) / (len(half) + 2), len(half) + 2) for half in halves)
        value += share * (longer[0] - shorter[0])
        variance += share**2 * sum(rate * (1 - rate) / size for rate, size in (longer, shorter))
        n += len(alike)
    half_width = Z * variance**0.5
    return Estimate(value, value - half_width, value + half_width, n) if n else None
