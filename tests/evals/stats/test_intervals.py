"""Coverage is the exact binomial sum where there is one, else a seeded simulation."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from statsmodels.api import OLS

from core.errors import InputError
from evals.sample import Estimate
from evals.stats.intervals import (
    bounds,
    clustered_mean,
    estimate,
    graded_mean,
    proportion,
    ratio,
    wilson,
)


def ends(found: Estimate) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def holds(found: Estimate, truth: float) -> bool:
    low, high = ends(found)
    return low <= truth <= high


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (1, 1), (29, 30), (617, 1000)])
def test_a_share_has_the_interval_that_scipy_gives(successes: int, n: int) -> None:
    theirs = stats.binomtest(successes, n).proportion_ci(method="wilson")
    found = proportion(successes, n)
    assert ends(found) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert (found.value, found.n) == (successes / n, n)


def test_a_share_worked_by_hand() -> None:
    # 8 of 10, z = 1.96: centre (.8 + 3.8416/20) / 1.38416, half 1.96 sqrt(.016 + .009604) / 1.38416
    assert ends(proportion(8, 10)) == pytest.approx((0.4902, 0.9433), abs=1e-4)


@pytest.mark.parametrize(("n", "share"), [(30, 0.95), (50, 0.98), (100, 0.99), (400, 0.5)])
def test_shares_near_the_ends_are_covered(n: int, share: float) -> None:
    """The normal interval covers 78%, 63% and 63% of the first three."""
    weights = stats.binom.pmf(range(n + 1), n, share)
    covered = sum(w for k, w in enumerate(weights) if holds(proportion(k, n), share))
    assert 0.92 <= covered <= 0.97


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_an_impossible_share_is_refused(successes: int, n: int) -> None:
    with pytest.raises(InputError, match="no share"):
        proportion(successes, n)


def test_clustered_marks_agree_with_statsmodels() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 12, 200)
    values = (rng.random(200) < np.linspace(0.3, 0.9, 12)[groups]).astype(float)
    fitted = OLS(values, np.ones(200)).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    found = clustered_mean(values.tolist(), groups.tolist())
    assert found.value == pytest.approx(fitted.params[0])
    assert ends(found) == pytest.approx(tuple(fitted.conf_int()[0]), rel=1e-9)
    assert estimate(values.tolist(), groups.tolist()) == found


def test_clustered_marks_worked_by_hand() -> None:
    # Means 1, .5, 0: residual sums 1, 0, -1; variance 3/2 · 2 / 36, t(2) = 4.3027.
    found = clustered_mean([1, 1, 1, 0, 0, 0], ["a", "a", "b", "b", "c", "c"])
    half = 4.302652729911275 * math.sqrt(1 / 12)
    assert ends(found) == pytest.approx((0.5 - half, 0.5 + half))


def test_one_group_has_no_interval() -> None:
    for found in (clustered_mean([1, 0], ["a", "a"]), estimate([1, 0], ["a", "a"])):
        assert (found.value, found.low, found.high, found.n) == (0.5, None, None, 2)


def test_independent_marks_of_0_and_1_are_a_share() -> None:
    assert estimate([1, 0, 1], ["a", "b", "c"]) == proportion(2, 3)


def test_independent_grades_are_resampled() -> None:
    values = [0.1, 0.5, 0.9, 1.0] * 5
    assert estimate(values, list(range(20))) == graded_mean(values)


@pytest.mark.parametrize("mark", [0.0, 1.0])
def test_equal_marks_in_groups_are_as_sure_as_one_mark_a_group(mark: float) -> None:
    found = estimate([mark] * 40, [k // 5 for k in range(40)])
    assert ends(found) == ends(proportion(int(mark * 8), 8))
    assert found.n == 40


def test_equal_grades_are_not_certain() -> None:
    found = graded_mean([0.5] * 20)
    assert ends(found) == pytest.approx(wilson(0.5, 20))


@pytest.mark.parametrize("wrong", [1, 2, 6])
def test_groups_near_the_end_stay_within_the_range_and_are_never_certain(wrong: int) -> None:
    values = [1.0] * 100
    for k in range(wrong):
        values[k] = 0.0
    low, high = ends(estimate(values, [k // 5 for k in range(100)]))
    assert 0.0 <= low < 1 - wrong / 100 < high < 1.0
    assert high - low > 0.03


@pytest.mark.parametrize(
    ("groups", "size", "share", "shared", "least"),
    [(20, 5, 0.5, 0.3, 0.93), (20, 20, 0.97, 0.3, 0.88), (50, 5, 0.97, 0.3, 0.91)],
)
def test_groups_are_covered(
    groups: int, size: int, share: float, shared: float, least: float
) -> None:
    """A t interval clipped to the range covers 80% of the second and 86% of the third."""
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(groups), size).tolist()
    hits = 0
    for _ in range(600):
        rates = rng.beta(share * (1 / shared - 1), (1 - share) * (1 / shared - 1), groups)
        marks = (rng.random((groups, size)) < rates[:, None]).astype(float)
        hits += holds(estimate(marks.ravel().tolist(), codes), share)
    assert hits / 600 >= least


@pytest.mark.parametrize("n", [5, 14, 15, 60])
def test_skewed_grades_are_covered(n: int) -> None:
    rng = np.random.default_rng(3)
    hits = sum(
        holds(graded_mean(np.where(rng.random(n) < 0.8, 1, rng.random(n)).tolist()), 0.9)
        for _ in range(150)
    )
    assert hits >= 150 * 0.91


def test_grades_get_the_bca_interval_of_scipy() -> None:
    values = np.random.default_rng(4).beta(5, 1, 60)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, rng=5).confidence_interval
    assert ends(graded_mean(values.tolist())) == pytest.approx((theirs.low, theirs.high), abs=4e-3)


def test_the_same_grades_give_the_same_interval() -> None:
    values = np.random.default_rng(6).random(50).tolist()
    assert graded_mean(values) == graded_mean(list(values))


def test_one_grade_has_no_interval() -> None:
    assert graded_mean([0.7]) == Estimate(0.7, None, None, 1)


def test_so_many_grades_are_not_resampled() -> None:
    values = np.random.default_rng(7).random(20_000)
    low, high = ends(graded_mean(values.tolist()))
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(20_000), rel=1e-3)


@pytest.mark.parametrize("values", [[], [0.5, float("nan")], [1.01], [-0.5], [float("inf")]])
def test_what_is_no_mark_is_refused(values: list[float]) -> None:
    with pytest.raises(InputError, match=r"no scores|numbers from 0 to 1"):
        estimate(values, list(range(len(values))))


def test_each_mark_needs_a_group() -> None:
    with pytest.raises(InputError, match="one length, got 2, 1"):
        estimate([1, 0], ["a"])


def test_a_ratio_adds_up_before_it_divides() -> None:
    found = ratio([1, 9, 0], [2, 10, 0], ["a", "b", "c"])
    assert (found.value, found.n) == (10 / 12, 3)
    assert 0.0 <= ends(found)[0] < 10 / 12 < ends(found)[1] <= 1.0


def test_a_ratio_of_ones_is_the_mean() -> None:
    rng = np.random.default_rng(8)
    values, groups = rng.random(80).tolist(), (np.arange(80) // 4).tolist()
    found = ratio(values, [1] * 80, groups)
    mean = estimate(values, groups)
    assert found.value == pytest.approx(mean.value)
    assert ends(found) == pytest.approx(ends(mean), abs=0.02)


def test_ratios_are_covered() -> None:
    rng = np.random.default_rng(9)
    hits = 0
    for _ in range(200):
        rates, sizes = rng.beta(8, 2, 40), rng.integers(1, 12, 40)
        counts = rng.binomial(sizes, rates)
        hits += holds(ratio(counts.tolist(), sizes.tolist(), range(40)), 0.8)
    assert hits >= 200 * 0.91


def test_a_perfect_ratio_is_as_sure_as_one_mark_a_group() -> None:
    found = ratio([2, 3, 4, 5], [2, 3, 4, 5], ["a", "a", "b", "c"])
    assert ends(found) == ends(proportion(3, 3))


def test_a_ratio_of_one_group_has_no_interval() -> None:
    assert ratio([1, 1], [2, 2], ["a", "a"]) == Estimate(0.5, None, None, 2)


@pytest.mark.parametrize(
    ("above", "below", "said"),
    [([0], [0], "sum to 0"), ([2], [1], "above its denominator"), ([-1], [1], "numbers from 0")],
)
def test_an_impossible_ratio_is_refused(above: list[float], below: list[float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ratio(above, below, ["a"])


def test_missing_marks_bound_a_mean() -> None:
    assert bounds(80, 100, 10) == pytest.approx((0.8, 0.9))
    assert bounds(0.0, 5, 5) == (0.0, 1.0)
    assert bounds(3, 3, 0) == (1.0, 1.0)


@pytest.mark.parametrize(("total", "n", "missing"), [(1, 0, 0), (5, 10, 6), (1, 5, 6), (-1, 5, 0)])
def test_contradictory_counts_are_refused(total: float, n: int, missing: int) -> None:
    with pytest.raises(InputError, match=r"impossible|can't sum"):
        bounds(total, n, missing)


def test_importing_the_statistics_loads_neither_scipy_nor_statsmodels() -> None:
    names = "intervals paired slices sequential agreement correction bias ranks"
    code = f"import sys\nfrom evals.stats import {names.replace(' ', ', ')}\n"
    code += "import evals.ratings, evals.compare\nprint(*sys.modules)"
    found = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert {"scipy", "statsmodels", "pandas"} & set(found) == set()
