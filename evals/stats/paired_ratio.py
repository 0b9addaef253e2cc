"""Two models' ratios of sums on the same items, such as a micro-averaged F1."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from core.errors import InputError
from evals.stats.arrays import Floats, marks, sums
from evals.stats.intervals import FEWEST_TO_RESAMPLE, MOST_COUNTED, MOST_TO_RESAMPLE, bca
from evals.stats.paired import (
    Groups,
    PairedDifference,
    Pairs,
    aligned,
    difference_of,
    joined,
)


class Part(NamedTuple):
    """What one item adds to a ratio of sums."""

    above: float
    below: float
    """At least `above`; 0.0: nothing was counted."""


class NoRatioError(InputError):
    """All denominators are 0, so there is no ratio to compare."""


def paired_ratio(
    a: Mapping[str, Part], b: Mapping[str, Part], groups: Groups | None = None
) -> PairedDifference:
    """Return how a ratio of sums, such as a micro-averaged F1, differs over the same items.

    The standard error is the linearised difference's, by groups, with t and C-1 degrees of freedom;
    from 15 groups on the interval is the BCa bootstrap's over groups (see `FEW_CHANGES`). An item
    is fixed or broken by its own ratio; one where nothing was counted has nothing wrong.

    Raises:
        InputError: as `paired`, or an item's counts are impossible.
        NoRatioError: a side's denominators sum to 0.

    Source: Davison & Hinkley (1997), section 3.8; the delta method.
    """
    ids, codes = aligned(a, b, groups)
    sides = [_parts([side[key] for key in ids]) for side in (a, b)]
    (above_a, below_a), (above_b, below_b) = sides
    totals = [float(above.sum() / below.sum()) for above, below in sides]
    influence = (above_b - totals[1] * below_b) / below_b.sum()
    influence -= (above_a - totals[0] * below_a) / below_a.sum()
    linear = totals[1] - totals[0] + len(ids) * influence
    one, other = (_own_ratio(above, below) for above, below in sides)
    found = difference_of(Pairs(one, other, codes, linear, "ratio_t"), *totals)
    by_group = tuple(sums(x, codes) for x in (above_b, below_b, above_a, below_a))
    if not FEWEST_TO_RESAMPLE <= found.groups <= MOST_TO_RESAMPLE or not found.stderr:
        return found
    value, ends = found.difference, bca(by_group)
    low, high = joined((value.low, value.high), ends, found.fixed + found.broken)
    return replace(found, difference=replace(value, low=low, high=high))


def _parts(found: list[Part]) -> tuple[Floats, Floats]:
    above = marks([part.above for part in found], high=MOST_COUNTED)
    below = marks([part.below for part in found], high=MOST_COUNTED)
    if (above > below).any():
        raise InputError("a numerator is above its denominator; hits are part of the total")
    if not below.any():
        raise NoRatioError("the denominators sum to 0, so there is no ratio to compare")
    return above, below


def _own_ratio(above: Floats, below: Floats) -> Floats:
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), 1.0)
