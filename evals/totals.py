"""A metric over all samples: the mean of the marks, or a ratio of what was counted.

Ratios are micro averages: counts are added up over all samples first. A metric that a scorer
only counts for is named in `RATIOS`; one that has neither marks nor counts has no estimate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evals.routing_report import calibration
from evals.sample import Estimate, Grade
from evals.stats.intervals import Bounds, bounds, estimate, ratio

CALIBRATION_ERROR = "expected_calibration_error"


@dataclass(frozen=True, slots=True)
class Ratio:
    """A metric made of counts: each is taken so many times."""

    above: Mapping[str, int]
    below: Mapping[str, int]
    has_repaired: bool = False
    """Whether the same counts with `repaired_` before their names are those after repairs."""

    def of(self, counts: Mapping[str, float], prefix: str) -> tuple[float, float] | None:
        """Return the numerator and the denominator of one sample; None: nothing was counted."""
        if not all(f"{prefix}{name}" in counts for name in self.below):
            return None
        above = sum(times * counts[f"{prefix}{name}"] for name, times in self.above.items())
        below = sum(times * counts[f"{prefix}{name}"] for name, times in self.below.items())
        return above, below


RATIOS: Mapping[str, Ratio] = {
    "field_f1": Ratio({"hits": 2}, {"hits": 2, "extra": 1, "missing": 1}, has_repaired=True),
    "field_precision": Ratio({"hits": 1}, {"hits": 1, "extra": 1}, has_repaired=True),
    "field_recall": Ratio({"hits": 1}, {"hits": 1, "missing": 1}, has_repaired=True),
    "ifeval_instruction_strict": Ratio({"ifeval_strict_followed": 1}, {"ifeval_instructions": 1}),
    "ifeval_instruction_loose": Ratio({"ifeval_loose_followed": 1}, {"ifeval_instructions": 1}),
    "out_of_scope_recall": Ratio({"oos_hits": 1}, {"oos_hits": 1, "oos_missing": 1}),
    "out_of_scope_precision": Ratio({"oos_hits": 1}, {"oos_hits": 1, "oos_extra": 1}),
    "citation_precision": Ratio({"citation_hits": 1}, {"citation_hits": 1, "citation_extra": 1}),
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What a metric is made of, sample by sample."""

    above: tuple[float, ...]
    below: tuple[float, ...]
    """Denominators; all 1.0 for a mean of marks."""
    groups: tuple[str, ...]
    is_ratio: bool


def estimate_of(metric: str, grades: Sequence[Grade], *, repaired: bool = False) -> Estimate | None:
    """Return the metric with its interval; None where no grade has anything to say of it.

    `repaired`: after what a lenient reader repairs; None where repair does not apply.
    """
    if metric == CALIBRATION_ERROR:
        return None if repaired else _calibration_error(grades)
    parts = _parts(metric, grades, repaired=repaired)
    if parts is None or not any(parts.below):
        return None
    if parts.is_ratio:
        return ratio(parts.above, parts.below, parts.groups)
    return estimate(parts.above, parts.groups)


def bounds_of(metric: str, grades: Sequence[Grade], missing: int) -> Bounds:
    """Return the metric if all missing answers are wrong, and if all are right.

    In a ratio a missing answer counts for as much as the largest of those there are, so that the
    bounds are rather too wide. Source: Manski (1989), worst-case bounds.
    """
    if metric == CALIBRATION_ERROR:
        found = _calibration_error(grades)
        n, total = (found.n, found.value * found.n) if found else (0, 0.0)
        return Bounds(max(0.0, total - missing) / (n + missing), (total + missing) / (n + missing))
    parts = _parts(metric, grades, repaired=False)
    if parts is None or not any(parts.below):
        return Bounds(0.0, 1.0)
    if not parts.is_ratio:
        return bounds(sum(parts.above), len(parts.above) + missing, missing)
    above, unknown = sum(parts.above), max(parts.below) * missing
    below = sum(parts.below) + unknown
    return Bounds(above / below, (above + unknown) / below)


def _parts(metric: str, grades: Sequence[Grade], *, repaired: bool) -> Parts | None:
    found = RATIOS.get(metric)
    if found is not None and (not repaired or found.has_repaired):
        counted = _counted(found, grades, "repaired_" if repaired else "")
        if counted is not None:
            return counted
    return _repaired_marks(metric, grades) if repaired else _marks(metric, grades)


def _counted(metric: Ratio, grades: Sequence[Grade], prefix: str) -> Parts | None:
    rows = [(metric.of(grade.score.counts, prefix), grade.group) for grade in grades]
    kept = [(pair, group) for pair, group in rows if pair is not None]
    if not kept:
        return None
    pairs, groups = zip(*kept, strict=True)
    above, below = zip(*pairs, strict=True)
    return Parts(above, below, groups, is_ratio=True)


def _marks(metric: str, grades: Sequence[Grade]) -> Parts | None:
    kept = [(g.score.values[metric], g.group) for g in grades if metric in g.score.values]
    return _mean(kept)


def _repaired_marks(metric: str, grades: Sequence[Grade]) -> Parts | None:
    """Return repaired marks, and raw ones where a sample has no other; None without any repair."""
    if not any(metric in grade.score.repaired for grade in grades):
        return None
    both = [({**grade.score.values, **grade.score.repaired}, grade.group) for grade in grades]
    return _mean([(marks[metric], group) for marks, group in both if metric in marks])


def _mean(kept: Sequence[tuple[float, str]]) -> Parts | None:
    if not kept:
        return None
    values, groups = zip(*kept, strict=True)
    return Parts(values, (1.0,) * len(values), groups, is_ratio=False)


def _calibration_error(grades: Sequence[Grade]) -> Estimate | None:
    """Return the expected calibration error over answers that state a confidence; no interval."""
    found = calibration(
        (grade.score.counts["confidence"], grade.score.values.get("routing_accuracy") == 1.0)
        for grade in grades
        if "confidence" in grade.score.counts
    )
    return None if found is None else Estimate(found.error, None, None, found.n)
