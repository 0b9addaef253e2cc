"""Corrections by simulation: the truth is planted, the judge errs at known rates."""

import numpy as np
import pytest

from core.errors import InputError
from evals.stats.correction import Tally, ppi_mean, rogan_gladen


def test_a_rate_worked_by_hand() -> None:
    # .6 passed, sensitivity .9, specificity .8: .4 of .7.
    found = rogan_gladen(Tally(60, 100), Tally(45, 50), Tally(40, 50))
    assert found.value == pytest.approx(4 / 7)
    assert found.n == 100


def test_a_perfect_judge_needs_no_correction() -> None:
    found = rogan_gladen(Tally(300, 1_000), Tally(500, 500), Tally(500, 500))
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(0.27, abs=0.01)
    assert found.high == pytest.approx(0.33, abs=0.01)


@pytest.mark.parametrize(
    ("items", "labels", "good", "bad", "truth"),
    [(300, 40, 0.9, 0.8, 0.7), (1_000, 80, 0.85, 0.95, 0.3), (200, 30, 0.8, 0.75, 0.95)],
)
def test_corrected_rates_are_covered(
    items: int, labels: int, good: float, bad: float, truth: float
) -> None:
    rng = np.random.default_rng(1)
    seen = truth * good + (1 - truth) * (1 - bad)
    hits = 0
    for _ in range(1_000):
        found = rogan_gladen(
            Tally(int(rng.binomial(items, seen)), items),
            Tally(int(rng.binomial(labels, good)), labels),
            Tally(int(rng.binomial(labels, bad)), labels),
        )
        hits += (found.low or 0.0) <= truth <= (found.high or 0.0)
    assert hits / 1_000 >= 0.93


@pytest.mark.parametrize(
    ("passed", "good", "bad", "said"),
    [
        (Tally(1, 2), Tally(5, 10), Tally(5, 10), "no better than chance"),
        (Tally(3, 2), Tally(5, 5), Tally(5, 5), "3 of 2 passed items"),
        (Tally(1, 2), Tally(0, 0), Tally(5, 5), "0 of 0 good items"),
    ],
)
def test_impossible_corrections_are_refused(
    passed: Tally, good: Tally, bad: Tally, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        rogan_gladen(passed, good, bad)


def test_a_judge_that_is_always_right_counts_like_labels() -> None:
    rng = np.random.default_rng(2)
    y = (rng.random(550) < 0.7).astype(float).tolist()
    found = ppi_mean(y[:50], y[:50], y[50:])
    weight = min(1.0, np.var(y[:50], ddof=1) / np.var(y, ddof=1) * 500 / 550)
    assert found.value == pytest.approx(weight * np.mean(y[50:]) + (1 - weight) * np.mean(y[:50]))
    assert found.n == 550


def test_a_judge_that_says_one_thing_has_no_weight() -> None:
    y = [1.0, 0.0, 1.0, 1.0, 0.0] * 4
    found = ppi_mean(y, [1.0] * 20, [1.0] * 100)
    assert found.value == pytest.approx(0.6)
    half = 2.0930 * np.std(y, ddof=1) / np.sqrt(20)
    assert found.high == pytest.approx(0.6 + half, abs=1e-4)


@pytest.mark.parametrize(("labels", "more", "right"), [(50, 1_000, 0.9), (30, 500, 0.8)])
def test_prediction_powered_means_are_covered_and_narrower(
    labels: int, more: int, right: float
) -> None:
    rng = np.random.default_rng(3)
    hits, widths = 0, []
    for _ in range(1_000):
        y = (rng.random(labels + more) < 0.7).astype(float)
        f = np.where(rng.random(labels + more) < right, y, 1 - y)
        found = ppi_mean(y[:labels].tolist(), f[:labels].tolist(), f[labels:].tolist())
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.7 <= found.high
        widths.append(found.high - found.low)
    assert hits / 1_000 >= 0.93
    assert np.mean(widths) < 0.85 * 2 * 2.02 * np.sqrt(0.21 / labels)


def test_a_biased_judge_does_not_bias_the_mean() -> None:
    rng = np.random.default_rng(4)
    values = []
    for _ in range(400):
        y = (rng.random(440) < 0.5).astype(float)
        f = np.maximum(y, rng.random(440) < 0.5)
        values.append(ppi_mean(y[:40].tolist(), f[:40].tolist(), f[40:].tolist()).value)
    assert np.mean(values) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("labels", "judged", "more", "said"),
    [
        ([1.0], [1.0], [0.5], "at least 2 labels, got 1"),
        ([1.0, 0.0], [1.0], [0.5], "one length"),
        ([1.0, 0.0], [1.0, 0.0], [], "no scores"),
        ([1.0, 2.0], [1.0, 0.0], [0.5], "from 0 to 1, got 2.0"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    labels: list[float], judged: list[float], more: list[float], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        ppi_mean(labels, judged, more)
