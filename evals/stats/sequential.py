"""Looking at a comparison whenever one likes: evidence and intervals that stay valid.

Differences are B minus A, -1.0 to 1.0, one for each pair or vote: 1 B wins, -1 A wins, 0 a tie.
They must come in random order (whole groups at a time, where items share one), and independent of
what was seen before.

The evidence against a mean difference m is a bet whose expected value is 1 if m is true:

    E(m) = 1/2 mean_u prod_i (1 - u + u (1 + d_i) / (1 + m))
         + 1/2 mean_u prod_i (1 - u + u (1 - d_i) / (1 - m))

over shares u of the stake, arcsine distributed. It is exact for any bounded differences, with no
large-sample argument. At m = 0 and for d of -1, 0 and 1 it is the Beta mixture for wins and losses
2^(b+c) B(b+1/2, c+1/2) / B(1/2, 1/2). By Ville's inequality it exceeds 1/alpha at any time with a
probability of at most alpha. It is convex in m and at most 1 at the mean, so the values of m it
does not reject are an interval around the mean: 0 is outside the interval exactly when the test
rejects it, and the side on which the interval lies then is the mean's of that moment. A verdict
names that side for good, and later intervals are cut at 0. Where both sides of 0 were once
rejected no difference is left that the evidence allows: that is no verdict, and no interval.

Source: Ville (1939); Waudby-Smith & Ramdas (2024), "Estimating means of bounded random variables by
betting"; Howard et al. (2021); Grunwald, de Heide & Koolen (2024), "Safe testing".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from core.errors import InputError
from core.messages import JsonValue
from evals.sample import Estimate
from evals.stats.arrays import ALPHA, Floats, clip, marks

LookVerdict = Literal["a", "b", "no_difference", "not_enough"]
"""`no_difference`: none larger than the delta that was asked for."""
STAKES = np.sin((np.arange(128) + 0.5) * np.pi / 256)
"""Shares of the stake, each as likely: the arcsine distribution between 0 and 1. Any set of shares
is valid; beyond some ten thousand pairs a finer one would see a little more."""
PRECISION = 1e-6
"""To which the ends of an interval are found."""
FARTHEST = 1_000
"""How many times as many pairs are looked ahead to, to say how many more are needed."""
AT_ONCE = 1_000_000
"""Numbers held in memory for one step along a sequence."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is known at one moment; it may be asked for at every moment."""

    n: int
    """Pairs, ties included."""
    p_value: float
    """Always valid, of no difference: 1 / the largest evidence so far."""
    difference: Estimate
    """Mean of B minus A with an always-valid interval, 95% unless another alpha was asked for,
    -1.0 to 1.0; (1 + it) / 2 is the win rate of B with ties as half a win. The interval lies on the
    verdict's side of 0, also where the mean has crossed it since."""
    verdict: LookVerdict
    more: int | None
    """About how many more pairs it takes if things go on as they have; 0 with a verdict, None: no
    end in sight."""
    is_contradiction: bool = False
    """Whether the evidence was enough for one side once and for the other later: the differences
    did not come in random order, or what they measure has changed."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the look as JSON."""
        return {
            "n": self.n,
            "p_value": self.p_value,
            "difference": self.difference.to_dict(),
            "verdict": self.verdict,
            "more": self.more,
            "is_contradiction": self.is_contradiction,
        }


@dataclass(frozen=True, slots=True)
class _Rule:
    """When a verdict stands."""

    delta: float
    """Largest difference that does not matter."""
    alpha: float
    """Probability of a verdict for one side at any time, if there is no difference."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.delta <= 1.0:
            raise InputError(f"delta must be between 0.0 and 1.0, got {self.delta!r}")
        if not 0.0 < self.alpha < 1.0:
            raise InputError(f"alpha must be between 0.0 and 1.0, got {self.alpha!r}")

    @property
    def enough(self) -> float:
        """Return the ln E from which the evidence is enough."""
        return -math.log(self.alpha)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The largest ln E(0) while the mean was on either side of 0; 0.0 where it never was."""

    for_a: float
    for_b: float


@dataclass(frozen=True, slots=True)
class _Tally:
    """Distinct differences and how often each came; not always whole numbers."""

    values: Floats
    times: Floats

    @property
    def n(self) -> float:
        return float(self.times.sum())

    @property
    def mean(self) -> float:
        return float(self.values @ self.times) / self.n


def look_at_counts(
    wins_a: int, wins_b: int, ties: int = 0, delta: float = 0.0, alpha: float = ALPHA
) -> Look:
    """Return what these wins and ties say; `delta` is the largest difference that does not matter.

    The interval holds the truth at all times with a probability of 1 - alpha.

    Raises:
        InputError: a count is negative, or delta or alpha is not between 0.0 and 1.0.
    """
    if min(wins_a, wins_b, ties) < 0:
        raise InputError(f"counts can't be negative, got {wins_a}, {wins_b} and {ties}")
    rule = _Rule(delta, alpha)
    if wins_a + wins_b + ties == 0:
        return _nothing_yet()
    times = np.array([wins_a, ties, wins_b], dtype=np.float64)
    tally = _Tally(np.array([-1.0, 0.0, 1.0]), times)
    found = max(_log_evidence(tally, 0.0), 0.0)
    is_b = tally.mean > 0
    return _look(tally, _Evidence(0.0 if is_b else found, found if is_b else 0.0), rule)


def look(differences: Sequence[float], delta: float = 0.0, alpha: float = ALPHA) -> Look:
    """Return what the differences so far say, in the order in which they came.

    Counts every moment before now as looked at, so evidence that was enough once stays enough for
    the side that it was for.

    Raises:
        InputError: a difference is not a number from -1.0 to 1.0, or delta or alpha is not one
            from 0.0 to 1.0.
    """
    rule = _Rule(delta, alpha)
    if not len(differences):
        return _nothing_yet()
    array = marks(differences, -1.0)
    values, times = np.unique(array, return_counts=True)
    return _look(_Tally(values, times.astype(np.float64)), _largest(array), rule)


def _look(tally: _Tally, evidence: _Evidence, rule: _Rule) -> Look:
    n, mean = round(tally.n), tally.mean
    p_value = math.exp(-max(evidence.for_a, evidence.for_b))
    is_a, is_b = (log >= rule.enough for log in (evidence.for_a, evidence.for_b))
    if is_a and is_b:
        nothing_left = Estimate(mean, None, None, n)
        return Look(n, p_value, nothing_left, "not_enough", None, is_contradiction=True)
    low, high = _interval(tally, rule)
    if is_b:
        return Look(n, p_value, Estimate(mean, max(low, 0.0), max(high, 0.0), n), "b", 0)
    if is_a:
        return Look(n, p_value, Estimate(mean, min(low, 0.0), min(high, 0.0), n), "a", 0)
    difference = Estimate(mean, low, high, n)
    if -rule.delta <= low and high <= rule.delta:
        return Look(n, p_value, difference, "no_difference", 0)
    return Look(n, p_value, difference, "not_enough", _more(tally, rule))


def _more(tally: _Tally, rule: _Rule) -> int | None:
    """Return how many more such pairs give a verdict, by looking ahead with more of the same."""
    bets = {m: _log_bets(tally, m) for m in (0.0, -rule.delta, rule.delta)}

    def is_decided(factor: float) -> bool:
        """Say whether so many times as many of the same would do."""
        evidence = {m: _log_mean(factor * logs) for m, logs in bets.items()}
        if evidence[0.0] >= rule.enough:
            return True
        is_small = abs(tally.mean) < rule.delta
        return is_small and min(evidence[-rule.delta], evidence[rule.delta]) >= rule.enough

    far = 2.0
    while not is_decided(far):
        far *= 2
        if far > FARTHEST:
            return None
    near = far / 2
    while (far - near) * tally.n > 0.5:
        middle = (near + far) / 2
        if is_decided(middle):
            far = middle
        else:
            near = middle
    return max(math.ceil((far - 1) * tally.n), 1)


def _interval(tally: _Tally, rule: _Rule) -> tuple[float, float]:
    """Return the mean differences that the evidence does not reject."""
    return -_reach(_Tally(-tally.values, tally.times), rule), _reach(tally, rule)


def _reach(tally: _Tally, rule: _Rule) -> float:
    """Return the largest difference that is not rejected."""
    from scipy.optimize import brentq

    def excess(m: float) -> float:
        return _log_evidence(tally, m) - rule.enough

    farthest = 1 - PRECISION
    if tally.mean >= farthest or excess(farthest) < 0:
        return 1.0
    # At the mean every bet has lost, so the end lies beyond it.
    return float(brentq(excess, max(tally.mean, -farthest), farthest, xtol=PRECISION))


def _log_evidence(tally: _Tally, m: float) -> float:
    """Return ln E(m) for -1 < m < 1."""
    return _log_mean(_log_bets(tally, m))


def _log_bets(tally: _Tally, m: float) -> Floats:
    """Return the logarithm of what each bet against m has won: for every share, up and down."""
    up = np.log1p(STAKES[:, None] * ((tally.values - m) / (1 + m))) @ tally.times  # (stakes,)
    down = np.log1p(STAKES[:, None] * ((m - tally.values) / (1 - m))) @ tally.times
    return np.concatenate([up, down])


def _log_mean(logs: Floats) -> float:
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).mean()))


def _largest(differences: Floats) -> _Evidence:
    """Return the largest evidence along the sequence, by the side on which the mean was."""
    bets = np.concatenate([STAKES, -STAKES])
    sums, total = np.zeros(len(bets)), 0.0
    for_a = for_b = 0.0
    step = AT_ONCE // len(bets)
    for start in range(0, len(differences), step):
        part = differences[start : start + step]
        paths = sums + np.cumsum(np.log1p(np.outer(part, bets)), axis=0)  # (pairs, bets)
        totals = total + np.cumsum(part)
        tops = paths.max(axis=1)
        evidence = tops + np.log(np.exp(paths - tops[:, None]).mean(axis=1))
        for_a = max(for_a, float(evidence.max(where=totals < 0, initial=0.0)))
        for_b = max(for_b, float(evidence.max(where=totals > 0, initial=0.0)))
        sums, total = paths[-1], float(totals[-1])
    return _Evidence(for_a, for_b)


def asymptotic_interval(differences: Sequence[float], planned: int) -> Estimate:
    """Return the mean difference with a confidence sequence that is tightest at `planned` pairs.

    Narrower than `look`'s where `planned` was fixed beforehand and dozens of pairs have come, but
    valid only in the limit. No interval below two differences.

    Raises:
        InputError: a difference is not a number from -1.0 to 1.0, or `planned` is below 1.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), "Time-uniform central limit theory
    and asymptotic confidence sequences".
    """
    if planned < 1:
        raise InputError(f"planned must be at least 1 pair, got {planned}")
    array = marks(differences, -1.0)
    n, mean = len(array), float(array.mean())
    if n < 2:
        return Estimate(mean, None, None, n)
    log_alpha = math.log(ALPHA)
    rho2 = (-2 * log_alpha + math.log(1 - 2 * log_alpha)) / planned
    scale = 2 * (n * rho2 + 1) / (n**2 * rho2) * math.log(math.sqrt(n * rho2 + 1) / ALPHA)
    half = float(array.std(ddof=1)) * math.sqrt(scale)
    return Estimate(mean, clip(mean - half, -1.0, 1.0), clip(mean + half, -1.0, 1.0), n)


def _nothing_yet() -> Look:
    return Look(0, 1.0, Estimate(0.0, None, None, 0), "not_enough", None)
