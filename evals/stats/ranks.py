"""Ranks that differ only where intervals do."""

from collections.abc import Sequence

from evals.sample import Estimate


def ranks(estimates: Sequence[Estimate]) -> list[int | None]:
    """Return each estimate's rank: 1 + how many others are surely higher.

    Another is surely higher if its lower bound is above this one's upper bound. Estimates that
    share a rank are a tie group. None without an interval.

    Source: Chatbot Arena; Chiang et al. (2024), arXiv:2403.04132.
    """
    lows = [estimate.low for estimate in estimates if estimate.low is not None]
    return [
        None if e.high is None or e.low is None else 1 + sum(low > e.high for low in lows)
        for e in estimates
    ]
