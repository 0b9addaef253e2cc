"""Differences of ratios: a hand-worked case, what has no ratio, and coverage by simulation."""

import numpy as np
import pytest
from scipy.stats import t

from evals.stats.paired_ratio import NoRatioError, Part, paired_ratio


def test_a_difference_of_ratios_worked_by_hand() -> None:
    """A has 4 of 8, B 7 of 10; the residuals over each sum are what varies."""
    a = {"p": Part(1, 2), "q": Part(3, 4), "r": Part(0, 2)}
    b = {"p": Part(2, 2), "q": Part(4, 6), "r": Part(1, 2)}
    found = paired_ratio(a, b)
    parts = [(2 - 1.4) / 10 - 0.0, (4 - 4.2) / 10 - 1 / 8, (1 - 1.4) / 10 + 1 / 8]
    stderr = (3 / 2 * sum(part**2 for part in parts)) ** 0.5
    assert found.difference.value == pytest.approx(0.2)
    assert found.stderr == pytest.approx(stderr)
    assert found.p_value == pytest.approx(2 * t.sf(0.2 / stderr, 2))
    assert (found.fixed, found.broken, found.method) == (2, 1, "ratio_t")


def test_an_item_where_nothing_was_counted_has_nothing_wrong() -> None:
    """A flags p wrongly, and B flags nothing there."""
    found = paired_ratio({"p": Part(0, 1), "q": Part(1, 1)}, {"p": Part(0, 0), "q": Part(1, 1)})
    assert (found.mean_a, found.mean_b, found.fixed, found.broken) == (0.5, 1.0, 1, 0)
    with pytest.raises(NoRatioError, match="sum to 0"):
        paired_ratio({"p": Part(0, 0), "q": Part(0, 0)}, {"p": Part(0, 1), "q": Part(1, 1)})


@pytest.mark.parametrize(("groups", "each"), [(12, 3), (40, 3)])
def test_equal_models_are_rarely_told_apart(groups: int, each: int) -> None:
    rng = np.random.default_rng(groups)
    covered = rejected = 0
    for _ in range(100):
        sizes, skill = rng.integers(1, 12, (groups, each)), rng.beta(6, 2, (groups, 1))
        sides = [rng.binomial(sizes, skill) for _ in range(2)]
        a, b = (
            {f"{k}": Part(*pair) for k, pair in enumerate(zip(hits.flat, sizes.flat, strict=True))}
            for hits in sides
        )
        found = paired_ratio(a, b, {key: int(key) // each for key in a})
        assert found.difference.low is not None
        assert found.difference.high is not None
        assert found.p_value is not None
        covered += found.difference.low <= 0 <= found.difference.high
        rejected += found.p_value < 0.05
    assert covered >= 90
    assert rejected <= 10
