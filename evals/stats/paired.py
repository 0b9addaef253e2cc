"""Two models on the same items: how B differs from A, and what the items could have shown."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from core.errors import InputError
from evals.sample import Estimate
from evals.stats.arrays import ALPHA, Codes, Floats, Z, clip, is_binary, marks, numbered
from evals.stats.intervals import (
    FEWEST_TO_RESAMPLE,
    FLAT,
    MOST_COUNTED,
    MOST_TO_RESAMPLE,
    Spread,
    bca,
    spread,
    t_point,
)

Method = Literal["mcnemar_exact", "clustered_t", "paired_t", "paired_t_bca", "ratio_t"]
"""`mcnemar_exact`: 0 or 1, independent; interval of Agresti and Min. `clustered_t`: items share
groups. `ratio_t`: of two ratios, by the delta method over groups. Otherwise a paired t test, with a
t interval or (`_bca`) a bootstrap one."""
POWER = 0.8
Z_POWER = 0.8416212335729143
"""80% point of the normal distribution."""
MOST_ITEMS = 10**9
FEW_CHANGES = 30
"""Below as many items that differ, a bootstrap interval alone is too short (79% coverage with 6
of 60), and so is a t interval where the changes are skewed: each end is then the wider one's."""
ROUNDING = 1e-9
"""Scores that are closer are the same: means over repeats carry rounding errors."""
LARGEST = MOST_COUNTED
"""Largest score, and smallest below 0, where none is bound to 0 to 1."""

Scores = Mapping[str, float]
"""Item id to score, 0.0 to 1.0."""
Groups = Mapping[str, Hashable]
"""Item id to the source that items share."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """How B differs from A; every score is paired with the other model's on the same item."""

    n: int
    groups: int
    """Independent groups of items; `n` where none is shared."""
    mean_a: float
    mean_b: float
    difference: Estimate
    """Mean (or ratio) of B minus A, -1.0 to 1.0 unless `has_range` is false; no interval where all
    items are of one group, or nothing varies and no range is known."""
    p_value: float | None
    """Two-sided, of no difference; None where all items are of one group. The interval is another
    calculation: near 0.05 the two may disagree."""
    method: Method
    fixed: int
    """Items that B scores higher: for marks of 0 and 1, wrong in A and right in B."""
    broken: int
    """Items that B scores lower."""
    effect: float | None
    """Mean difference over the standard deviation of differences (Cohen's d_z); None: no spread."""
    stderr: float | None
    """Standard error of the difference, 0.0 without spread; None: all items are of one group."""
    mde: float | None
    """Smallest true difference that `n` such items would show in 80 of 100 tries, at 5%."""
    has_range: bool = True
    """Whether scores can only be 0.0 to 1.0; without a range nothing is known of what did not
    vary."""

    @property
    def discordance(self) -> float:
        """Return the share of items that the models score differently."""
        return (self.fixed + self.broken) / self.n

    def items_for(self, difference: float) -> int | None:
        """Return how many items would show a true difference with 80% power at 5%.

        Supposes that further items are like these, in groups as large. For the items that take
        the lower bound to a threshold, give the distance between the difference and the threshold.
        None: no number of items is known (one group, or a distance of 0).

        Source: Miller (2024), section 5; for 0 and 1 (Z²)(ψ-δ²)/δ², with ψ the discordance.
        """
        if self.stderr is None or difference == 0:
            return None
        if not self.has_range and self.stderr <= FLAT:
            return None
        delta = min(abs(difference), 1.0) if self.has_range else abs(difference)
        if self.method == "mcnemar_exact":
            psi = max(self.fixed + self.broken, 1) / self.n
            wanted = (Z + Z_POWER) ** 2 * (max(psi, delta) - delta**2) / delta**2
        else:
            stderr = _guarded(self.stderr or 0.0, self.groups)
            wanted = self.n * ((Z + Z_POWER) * stderr / delta) ** 2
        return min(max(math.ceil(wanted), 2), MOST_ITEMS)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Both models' scores in the same order of items."""

    a: Floats
    b: Floats
    codes: Codes
    """Number of each item's group."""
    differences: Floats
    """What the mean, its error and the test are of."""
    method: Method
    has_range: bool = True


def paired(a: Scores, b: Scores, groups: Groups | None = None) -> PairedDifference:
    """Return how B differs from A over items that both scored; `groups` None: all independent.

    Independent marks of 0 and 1: exact McNemar test with the interval of Agresti & Min (2005),
    which adds half a pair to each cell. Shared groups: the mean of the differences with its
    cluster-robust standard error and t with C-1 degrees of freedom (Miller 2024). Other marks: a
    paired t test, with a BCa bootstrap interval from 15 items on (see `FEW_CHANGES`). Where the
    differences have no spread, the interval is Agresti and Min's on the groups, and the test a sign
    test on them.

    Raises:
        InputError: the ids differ, there are fewer than 2, an item has no group, or a score is not
            a number from 0.0 to 1.0.
    """
    ids, codes = aligned(a, b, groups)
    one, other = marks([a[key] for key in ids]), marks([b[key] for key in ids])
    d, is_marks = differences(one, other), is_binary(one) and is_binary(other)
    pairs = Pairs(one, other, codes, d, _method(d, codes, is_marks=is_marks))
    return difference_of(pairs, float(one.mean()), float(other.mean()))


def paired_anywhere(a: Scores, b: Scores, groups: Groups | None = None) -> PairedDifference:
    """Return how B differs from A where scores may be any numbers up to 1e15, such as 1 to 10.

    As `paired`, but no end of a range is counted on: intervals are not held to one, and there is
    none where the differences have no spread; the test is a sign test there, too.

    Raises:
        InputError: as `paired`, for scores that are not between -1e15 and 1e15.
    """
    ids, codes = aligned(a, b, groups)
    one, other = (marks([s[key] for key in ids], -LARGEST, LARGEST) for s in (a, b))
    d = differences(one, other)
    pairs = Pairs(one, other, codes, d, _method(d, codes, is_marks=False), has_range=False)
    return difference_of(pairs, float(one.mean()), float(other.mean()))


def differences(a: Floats, b: Floats) -> Floats:
    """Return B minus A item by item, 0.0 where only rounding parts them."""
    rounding = ROUNDING * np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    return np.where(np.abs(b - a) < rounding, 0.0, b - a)


def difference_of(pairs: Pairs, mean_a: float, mean_b: float) -> PairedDifference:
    """Return what these pairs say; the means are only repeated."""
    d, n = pairs.differences, len(pairs.a)
    flat = FLAT * max(1.0, float(np.abs(d).max()))
    found = spread(d, pairs.codes)
    found = replace(found, stderr=0.0) if found.stderr <= flat else found
    low, high = _interval(pairs, found)
    deviation, changes = float(d.std(ddof=1)), differences(pairs.a, pairs.b)
    is_known = found.clusters > 1 and (pairs.has_range or found.stderr > FLAT)
    return PairedDifference(
        n=n,
        groups=found.clusters,
        mean_a=mean_a,
        mean_b=mean_b,
        difference=Estimate(found.mean, low, high, n),
        p_value=None if found.clusters < 2 else _p_value(pairs.method, d, found),
        method=pairs.method,
        fixed=int((changes > 0).sum()),
        broken=int((changes < 0).sum()),
        effect=found.mean / deviation if deviation > flat else None,
        stderr=found.stderr if found.clusters > 1 else None,
        mde=_mde(pairs, found) if is_known else None,
        has_range=pairs.has_range,
    )


def aligned(
    a: Mapping[str, object], b: Mapping[str, object], groups: Groups | None
) -> tuple[list[str], Codes]:
    """Return the ids in order and the number of each one's group.

    Raises:
        InputError: the ids differ, there are fewer than 2, or an item has no group.
    """
    if a.keys() != b.keys():
        only_a, only_b = len(a.keys() - b.keys()), len(b.keys() - a.keys())
        raise InputError(
            f"both sides must score the same items: {only_a} ids are missing in B and {only_b} "
            "in A; score the missing ones"
        )
    if len(a) < 2:
        raise InputError(f"a comparison needs at least 2 items, got {len(a)}")
    ids = sorted(a)
    if groups is not None and (without := [key for key in ids if key not in groups]):
        raise InputError(f"item {without[0]!r} has no group, nor have {len(without) - 1} others")
    return ids, numbered(ids if groups is None else [groups[key] for key in ids])


def _method(d: Floats, codes: Codes, *, is_marks: bool) -> Method:
    if codes.max() + 1 < len(d):
        return "clustered_t"
    if is_marks:
        return "mcnemar_exact"
    resampled = FEWEST_TO_RESAMPLE <= len(d) <= MOST_TO_RESAMPLE
    flat = FLAT * max(1.0, float(np.abs(d).max()))
    return "paired_t_bca" if resampled and spread(d, codes).stderr > flat else "paired_t"


Ends = tuple[float | None, float | None]


def _interval(pairs: Pairs, found: Spread) -> Ends:
    d = pairs.differences
    if found.clusters < 2:
        return None, None
    if pairs.method == "mcnemar_exact":
        return agresti_min(float((d > 0).sum()), float((d < 0).sum()), len(d))
    if found.stderr <= FLAT:
        if not pairs.has_range:
            return None, None
        up, down = max(found.mean, 0.0), max(-found.mean, 0.0)
        return agresti_min(up * found.clusters, down * found.clusters, found.clusters)
    low, high = found.mean - found.half_width, found.mean + found.half_width
    if pairs.has_range:
        low, high = clip(low, -1.0, 1.0), clip(high, -1.0, 1.0)
    ends = bca((d,)) if pairs.method == "paired_t_bca" else None
    return joined((low, high), ends, int((d != 0).sum()))


def joined(of_t: Ends, ends: tuple[float, float] | None, changes: int) -> Ends:
    """Return the bootstrap's interval, or each end the wider one's where few items differ."""
    if ends is None or of_t[0] is None or of_t[1] is None:
        return of_t
    return ends if changes >= FEW_CHANGES else (min(of_t[0], ends[0]), max(of_t[1], ends[1]))


def agresti_min(up: float, down: float, n: int) -> tuple[float, float]:
    """Return the interval of (up - down) / n for paired marks of 0 and 1.

    Source: Agresti & Min (2005), "Simple improved confidence intervals for comparing matched
    proportions": half a pair is added to each of the four cells.
    """
    more, less, total = up + 0.5, down + 0.5, n + 2
    centre = (more - less) / total
    half = Z * math.sqrt((more + less) - (more - less) ** 2 / total) / total
    value = (up - down) / n
    return clip(centre - half, -1.0, value), clip(centre + half, value, 1.0)


def _p_value(method: Method, d: Floats, found: Spread) -> float:
    if method == "mcnemar_exact":
        return mcnemar_p(int((d > 0).sum()), int((d < 0).sum()))
    if found.stderr <= FLAT:
        return mcnemar_p(found.clusters if abs(found.mean) > FLAT else 0, 0)
    from scipy.stats import t

    statistic = abs(found.mean) / found.stderr
    return clip(2 * float(t.sf(statistic, found.clusters - 1)), 0.0, 1.0)


def mcnemar_p(up: int, down: int) -> float:
    """Return the exact two-sided p-value of as many items gained as lost.

    Source: McNemar (1947), exact form; statsmodels.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    if up + down == 0:
        return 1.0
    return clip(float(mcnemar([[0, up], [down, 0]], exact=True).pvalue), 0.0, 1.0)


def _mde(pairs: Pairs, found: Spread) -> float:
    """Return the minimum detectable effect; no spread counts as one pair that differs."""
    d, z = pairs.differences, Z + Z_POWER
    n = len(d)
    if pairs.method == "mcnemar_exact":
        psi = max(int((d != 0).sum()), 1) / n
        return min(z * math.sqrt(psi / (n + z**2)), 1.0)
    points = t_point(1 - ALPHA / 2, found.clusters) + t_point(POWER, found.clusters)
    wanted = points * _guarded(found.stderr, found.clusters)
    return min(wanted, 1.0) if pairs.has_range else wanted


def _guarded(stderr: float, clusters: int) -> float:
    """Return the standard error; where differences have no spread, as though one pair differed."""
    return stderr if stderr > FLAT else 1 / (clusters + 2)
