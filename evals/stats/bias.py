"""What else than quality moves pairwise verdicts: the position of an answer, and its length."""

from collections.abc import Sequence
from typing import NamedTuple

from core.errors import InputError
from core.outcomes import OUTCOMES, Outcome
from evals.sample import Estimate
from evals.stats.arrays import check_lengths
from evals.stats.intervals import proportion

__all__ = [
    "OUTCOMES",
    "Lengths",
    "Outcome",
    "first_position_wins",
    "longer_wins",
    "position_flips",
]


class Lengths(NamedTuple):
    """Lengths of both answers, in the same unit."""

    a: float
    b: float


def position_flips(shown_first: Sequence[Outcome], shown_second: Sequence[Outcome]) -> Estimate:
    """Return the share of pairs whose verdict changes with the order of the answers.

    Both lists name the same models: `model_a` is one model in both, shown first in one list and
    second in the other. A judge without position bias, and without noise, has 0.0.

    Raises:
        InputError: different lengths, or no pairs.
    """
    check_lengths("verdicts in both orders", shown_first, shown_second)
    pairs = zip(shown_first, shown_second, strict=True)
    return proportion(sum(one != other for one, other in pairs), len(shown_first))


def first_position_wins(
    shown_first: Sequence[Outcome], shown_second: Sequence[Outcome]
) -> Estimate:
    """Return the share of decisive verdicts that went to the answer shown first.

    Lists as in `position_flips`; 0.5 is no bias.

    Raises:
        InputError: different lengths, or no decisive verdict.
    """
    check_lengths("verdicts in both orders", shown_first, shown_second)
    first, second = shown_first.count("model_a"), shown_second.count("model_b")
    decisive = sum(o in ("model_a", "model_b") for o in [*shown_first, *shown_second])
    if not decisive:
        raise InputError("no verdict is decisive, so no position could win")
    return proportion(first + second, decisive)


def longer_wins(outcomes: Sequence[Outcome], lengths: Sequence[Lengths]) -> Estimate:
    """Return the share of decisive verdicts that went to the longer answer; 0.5 is no bias.

    Answers of equal length are left out.

    Raises:
        InputError: different lengths of the lists, or no decisive verdict on answers of unequal
            length.
    """
    check_lengths("verdicts and lengths", outcomes, lengths)
    longer = {True: "model_a", False: "model_b"}
    decisive = [
        outcome == longer[size.a > size.b]
        for outcome, size in zip(outcomes, lengths, strict=True)
        if outcome in longer.values() and size.a != size.b
    ]
    if not decisive:
        raise InputError("no decisive verdict is on answers of unequal length")
    return proportion(sum(decisive), len(decisive))
