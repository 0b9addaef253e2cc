"""Two models on the same items: how B differs from A, and what the items could have shown."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.errors import InputError
from evals.sample import Estimate
from evals.stats.arrays import ALPHA, Codes, Floats, Z, clip, is_binary, marks, numbered
from evals.stats.intervals import (
    FEWEST_TO_RESAMPLE,
    FLAT,
    MOST_TO_RESAMPLE,
    Spread,
    graded_mean,
    spread,
    t_point,
)

Method = Literal["mcnemar_exact", "clustered_t", "paired_t", "paired_t_bca"]
"""`mcnemar_exact`: 0 or 1, independent; interval of Agresti and Min. `clustered_t`: items share
groups. Otherwise a paired t test, with a t interval or (`_bca`) a bootstrap one."""
POWER = 0.8
Z_POWER = 0.8416212335729143
"""80% point of the normal distribution."""
MOST_ITEMS = 10**9
FEW_CHANGES = 30
"""Below as many items that differ, a bootstrap interval alone is too short (79% coverage with 6
of 60), and so is a t interval where the changes are skewed: each end is then the wider one's."""
ROUNDING = 1e-9
"""Scores that are closer are the same: means over repeats carry rounding errors."""

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
    """Mean of B minus A, -1.0 to 1.0; no interval where all items are of one group."""
    p_value: float | None
    """Two-sided, of no difference; None without an interval. The interval is another calculation:
    near 0.05 the two may disagree."""
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
        delta = min(abs(difference), 1.0)
        if self.method == "mcnemar_exact":
            psi = max(self.fixed + self.broken, 1) / self.n
            wanted = (Z + Z_POWER) ** 2 * (max(psi, delta) - delta**2) / delta**2
        else:
            stderr = _guarded(self.stderr or 0.0, self.groups)
            wanted = self.n * ((Z + Z_POWER) * stderr / delta) ** 2
        return min(max(math.ceil(wanted), 2), MOST_ITEMS)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Both models' scores in the same order of items."""

    a: Floats
    b: Floats
    codes: Codes
    """Number of each item's group."""

    @property
    def differences(self) -> Floats:
        difference = self.b - self.a
        return np.where(np.abs(difference) < ROUNDING, 0.0, difference)


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
    pairs = _pairs(a, b, groups)
    d, n = pairs.differences, len(pairs.a)
    found = spread(d, pairs.codes)
    method = _method(pairs, found)
    low, high = _interval(method, d, found)
    deviation = float(d.std(ddof=1))
    return PairedDifference(
        n=n,
        groups=found.clusters,
        mean_a=float(pairs.a.mean()),
        mean_b=float(pairs.b.mean()),
        difference=Estimate(found.mean, low, high, n),
        p_value=None if found.clusters < 2 else _p_value(method, d, found),
        method=method,
        fixed=int((d > 0).sum()),
        broken=int((d < 0).sum()),
        effect=found.mean / deviation if deviation > FLAT else None,
        stderr=found.stderr if found.clusters > 1 else None,
        mde=None if found.clusters < 2 else _mde(method, d, found),
    )


def _pairs(a: Scores, b: Scores, groups: Groups | None) -> _Pairs:
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
    labels = ids if groups is None else [groups[key] for key in ids]
    return _Pairs(marks([a[key] for key in ids]), marks([b[key] for key in ids]), numbered(labels))


def _method(pairs: _Pairs, found: Spread) -> Method:
    if found.clusters < len(pairs.a):
        return "clustered_t"
    if is_binary(pairs.a) and is_binary(pairs.b):
        return "mcnemar_exact"
    resampled = FEWEST_TO_RESAMPLE <= len(pairs.a) <= MOST_TO_RESAMPLE
    return "paired_t_bca" if resampled and found.stderr > FLAT else "paired_t"


def _interval(method: Method, d: Floats, found: Spread) -> tuple[float, float] | tuple[None, None]:
    if found.clusters < 2:
        return None, None
    if method == "mcnemar_exact":
        return agresti_min(float((d > 0).sum()), float((d < 0).sum()), len(d))
    if found.stderr <= FLAT:
        up, down = max(found.mean, 0.0), max(-found.mean, 0.0)
        return agresti_min(up * found.clusters, down * found.clusters, found.clusters)
    width = found.half_width
    low, high = clip(found.mean - width, -1.0, 1.0), clip(found.mean + width, -1.0, 1.0)
    resampled = graded_mean(((d + 1) / 2).tolist()) if method == "paired_t_bca" else None
    if resampled is None or resampled.low is None or resampled.high is None:
        return low, high
    ends = 2 * resampled.low - 1, 2 * resampled.high - 1
    return ends if (d != 0).sum() >= FEW_CHANGES else (min(low, ends[0]), max(high, ends[1]))


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


def _mde(method: Method, d: Floats, found: Spread) -> float:
    """Return the minimum detectable effect; no spread counts as one pair that differs."""
    n, z = len(d), Z + Z_POWER
    if method == "mcnemar_exact":
        psi = max(int((d != 0).sum()), 1) / n
        return min(z * math.sqrt(psi / (n + z**2)), 1.0)
    points = t_point(1 - ALPHA / 2, found.clusters) + t_point(POWER, found.clusters)
    return min(points * _guarded(found.stderr, found.clusters), 1.0)


def _guarded(stderr: float, clusters: int) -> float:
    """Return the standard error; where differences have no spread, as though one pair differed."""
    return stderr if stderr > FLAT else 1 / (clusters + 2)
