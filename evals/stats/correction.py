"""A judge's figures corrected by the labels that people gave to some of the items."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from core.errors import InputError
from evals.sample import Estimate
from evals.stats.arrays import ALPHA, Floats, Z, check_lengths, clip, marks
from evals.stats.intervals import t_point


class Tally(NamedTuple):
    """How many of how many."""

    hits: int
    n: int


def rogan_gladen(passed: Tally, sensitivity: Tally, specificity: Tally) -> Estimate:
    """Return the true pass rate, 0.0 to 1.0, from a judge's rate and its known error rates.

    `sensitivity`: of the truly good, how many the judge passed; `specificity`: of the truly bad,
    how many it failed. Both come from other items than `passed` does.

    Raises:
        InputError: a count is impossible, or the judge is no better than chance on its labels.

    Source: Rogan & Gladen (1978); interval of Lang & Reiczigel (2014), "Confidence limits for
    prevalence of disease adjusted for estimated sensitivity and specificity".
    """
    for name, tally in (("passed", passed), ("good", sensitivity), ("bad", specificity)):
        if tally.n < 1 or not 0 <= tally.hits <= tally.n:
            raise InputError(f"{tally.hits} of {tally.n} {name} items is impossible")
    p, se, sp = (tally.hits / tally.n for tally in (passed, sensitivity, specificity))
    if se + sp <= 1:
        raise InputError(
            f"the judge is no better than chance: sensitivity {se:.3g}, specificity {sp:.3g}; "
            "it can't be corrected, calibrate another"
        )
    value = clip((p + sp - 1) / (se + sp - 1), 0.0, 1.0)
    low, high = _lang_reiczigel(passed, sensitivity, specificity)
    return Estimate(value, clip(low, 0.0, value), clip(high, value, 1.0), passed.n)


def _lang_reiczigel(passed: Tally, sensitivity: Tally, specificity: Tally) -> tuple[float, float]:
    n, n_se, n_sp = passed.n + Z**2, sensitivity.n + 2, specificity.n + 2
    p = (passed.hits + Z**2 / 2) / n
    se, sp = (sensitivity.hits + 1) / n_se, (specificity.hits + 1) / n_sp
    youden = se + sp - 1
    if youden <= 0:
        return 0.0, 1.0
    rate = (p + sp - 1) / youden
    noise_se, noise_sp = se * (1 - se) / n_se, sp * (1 - sp) / n_sp
    shift = 2 * Z**2 * (rate * noise_se - (1 - rate) * noise_sp)
    variance = p * (1 - p) / n + rate**2 * noise_se + (1 - rate) ** 2 * noise_sp
    half = Z * math.sqrt(variance) / youden
    return rate + shift - half, rate + shift + half


def ppi_mean(
    labels: Sequence[float], judged: Sequence[float], judged_only: Sequence[float]
) -> Estimate:
    """Return the mean that people would give, from few labels and many judgements.

    `labels` and `judged` are of the same items, in the same order; `judged_only` of further items
    drawn from the same source. All are marks from 0.0 to 1.0. A judge that tells nothing is given
    no weight, so that the result is then the labels' own mean. `n` counts all items. The interval
    takes t with one degree of freedom less than labels, where the source takes the normal.

    Raises:
        InputError: different lengths, fewer than 2 labels, no further items, or a mark outside
            0.0 to 1.0.

    Source: Angelopoulos, Duchi & Zrnic (2023), "PPI++", arXiv:2311.01453.
    """
    check_lengths("labels and judgements of them", labels, judged)
    if len(labels) < 2:
        raise InputError(f"a correction needs at least 2 labels, got {len(labels)}")
    y, f, more = marks(labels), marks(judged), marks(judged_only)
    weight = _weight(y, f, more)
    rest = y - weight * f
    value = weight * float(more.mean()) + float(rest.mean())
    spare = weight**2 * float(more.var()) / len(more)
    half = math.sqrt(spare + float(rest.var(ddof=1)) / len(y)) * t_point(1 - ALPHA / 2, len(y))
    value = clip(value, 0.0, 1.0)
    low, high = clip(value - half, 0.0, 1.0), clip(value + half, 0.0, 1.0)
    return Estimate(value, low, high, len(y) + len(more))


def _weight(y: Floats, f: Floats, more: Floats) -> float:
    """Return how far the judge is trusted, 0.0 to 1.0: the value that narrows the interval most."""
    pooled = float(np.concatenate([f, more]).var(ddof=1))
    if pooled == 0:
        return 0.0
    covariance = float(np.cov(y, f, ddof=1)[0, 1])
    return clip(covariance / ((1 + len(y) / len(more)) * pooled), 0.0, 1.0)
