"""Bias figures and tie groups, counted by hand."""

import pytest

from core.errors import InputError
from evals.sample import Estimate
from evals.stats.bias import (
    Lengths,
    Outcome,
    first_position_wins,
    longer_wins,
    position_flips,
)
from evals.stats.intervals import proportion
from evals.stats.ranks import ranks

ONCE: list[Outcome] = ["model_a", "model_a", "tie", "model_b", "both_bad"]
SWAPPED: list[Outcome] = ["model_a", "model_b", "model_b", "model_b", "both_bad"]


def test_flips_are_verdicts_that_change_with_the_order() -> None:
    assert position_flips(ONCE, SWAPPED) == proportion(2, 5)


def test_the_first_position_wins_as_model_a_once_and_as_model_b_when_swapped() -> None:
    assert first_position_wins(ONCE, SWAPPED) == proportion(5, 7)


def test_the_longer_answer_wins() -> None:
    sizes = [Lengths(10, 5), Lengths(5, 10), Lengths(9, 1), Lengths(1, 2), Lengths(3, 9)]
    assert longer_wins(ONCE, sizes) == proportion(2, 3)


def test_answers_of_one_length_say_nothing_of_length() -> None:
    with pytest.raises(InputError, match="no decisive verdict"):
        longer_wins(["model_a"], [Lengths(4, 4)])


def test_ties_say_nothing_of_position() -> None:
    with pytest.raises(InputError, match="no verdict is decisive"):
        first_position_wins(["tie"], ["both_bad"])


def test_every_verdict_needs_its_swapped_one() -> None:
    with pytest.raises(InputError, match="one length, got 5, 1"):
        position_flips(ONCE, ["tie"])


def test_ranks_count_who_is_surely_higher() -> None:
    found = [
        Estimate(0.9, 0.85, 0.95, 1),
        Estimate(0.8, 0.70, 0.86, 1),
        Estimate(0.6, 0.50, 0.69, 1),
        Estimate(0.5, None, None, 1),
        Estimate(0.4, 0.30, 0.49, 1),
    ]
    assert ranks(found) == [1, 1, 3, None, 4]
    assert ranks([]) == []
