"""Ranks and tie groups, which differ only where intervals do."""

from collections.abc import Sequence

from evals.sample import Estimate


def ranks(estimates: Sequence[Estimate]) -> list[int | None]:
    """Return each estimate's rank: 1 + how many others are surely higher.

    Another is surely higher if its lower bound is above this one's upper bound. None without an
    interval.

    Source: Chatbot Arena; Chiang et al. (2024), arXiv:2403.04132.
    """
    lows = [estimate.low for estimate in estimates if estimate.low is not None]
    return [
        None if e.high is None or e.low is None else 1 + sum(low > e.high for low in lows)
        for e in estimates
    ]


def tie_groups(values: Sequence[float], spans: Sequence[tuple[float, float]]) -> list[int]:
    """Return each one's tie group, from 1: the highest value left, and all it can't be told from.

    `spans` are the intervals, lower end first; infinite ends where nothing is known.
    """
    left = sorted(range(len(values)), key=lambda place: -values[place])
    groups = [0] * len(values)
    number = 0
    while left:
        number += 1
        anchor = left[0]
        tied = [place for place in left if place == anchor or spans[place][1] >= spans[anchor][0]]
        for place in tied:
            groups[place] = number
        left = [place for place in left if not groups[place]]
    return groups
