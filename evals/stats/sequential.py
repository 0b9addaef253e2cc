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
probability of at most alpha. It is convex in m, so the values of m it does not reject are an
interval: 0 is outside the interval exactly when the test rejects it.

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
    -1.0 to 1.0; (1 + it) / 2 is the win rate of B with ties as half a win."""
    verdict: LookVerdict
    more: int | None
    """About how many more pairs it takes if things go on as they have; 0 with a verdict, None: no
    end in sight."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the look as JSON."""
        return {
            "n": self.n,
            "p_value": self.p_value,
            "difference": self.difference.to_dict(),
            "verdict": self.verdict,
            "more": self.more,
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
    return _look(tally, _log_evidence(tally, 0.0), rule)


def look(differences: Sequence[float], delta: float = 0.0, alpha: float = ALPHA) -> Look:
    """Return what the differences so far say, in the order in which they came.

    Counts every moment before now as looked at, so evidence that was enough once stays enough.

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


def _look(tally: _Tally, log_evidence: float, rule: _Rule) -> Look:
    low, high = _interval(tally, rule)
    p_value = math.exp(-max(log_evidence, 0.0))
    if p_value <= rule.alpha and tally.mean > 0 and high > 0:
        low = max(low, 0.0)
    elif p_value <= rule.alpha and tally.mean < 0 and low < 0:
        high = min(high, 0.0)
    verdict = _verdict(low, high, p_value, rule)
    n = round(tally.n)
    more = _more(tally, rule) if verdict == "not_enough" else 0
    return Look(n, p_value, Estimate(tally.mean, low, high, n), verdict, more)


def _verdict(low: float, high: float, p_value: float, rule: _Rule) -> LookVerdict:
    if p_value <= rule.alpha and low >= 0:
        return "b"
    if p_value <= rule.alpha and high <= 0:
        return "a"
    return "no_difference" if -rule.delta <= low and high <= rule.delta else "not_enough"


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


def _largest(differences: Floats) -> float:
    """Return the largest ln E(0) along the sequence, 0.0 before its start."""
    bets = np.concatenate([STAKES, -STAKES])
    sums = np.zeros(len(bets))
    largest = 0.0
    step = AT_ONCE // len(bets)
    for start in range(0, len(differences), step):
        logs = np.log1p(np.outer(differences[start : start + step], bets))  # (pairs, bets)
        paths = sums + np.cumsum(logs, axis=0)
        tops = paths.max(axis=1)
        evidence = tops + np.log(np.exp(paths - tops[:, None]).mean(axis=1))
        largest, sums = max(largest, float(evidence.max())), paths[-1]
    return largest


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
