"""Agreement against other implementations and the literature's own examples."""

import krippendorff
import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from core.errors import InputError
from evals.sample import Estimate
from evals.stats.agreement import Scale, cohen_kappa, krippendorff_alpha

SCALES: tuple[Scale, ...] = ("nominal", "ordinal", "interval")
NONE = None
LITERATURE = [
    [1, 1, NONE, 1],
    [2, 2, 3, 2],
    [3, 3, 3, 3],
    [3, 3, 3, 3],
    [2, 2, 2, 2],
    [1, 2, 3, 4],
    [4, 4, 4, 4],
    [1, 1, 2, 1],
    [2, 2, 2, 2],
    [NONE, 5, 5, 5],
    [NONE, NONE, 1, 1],
    [NONE, NONE, 3, NONE],
]
"""Krippendorff (2011), section C: four observers, twelve units."""


def ends(found: Estimate) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def as_matrix(ratings: list[list[float | None]]) -> np.ndarray:
    return np.array([[np.nan if m is None else m for m in row] for row in ratings], dtype=float).T


def test_kappa_worked_by_hand() -> None:
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: (.7 - .5) / (1 - .5)
    one = ["yes"] * 25 + ["no"] * 25
    other = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = cohen_kappa(one, other)
    assert (found.value, found.n) == (pytest.approx(0.4), 50)


def test_kappa_agrees_with_statsmodels() -> None:
    rng = np.random.default_rng(1)
    one = rng.integers(0, 3, 400)
    other = np.where(rng.random(400) < 0.6, one, rng.integers(0, 3, 400))
    table = np.zeros((3, 3))
    np.add.at(table, (one, other), 1)
    theirs = cohens_kappa(table)
    found = cohen_kappa(one.tolist(), other.tolist())
    assert found.value == pytest.approx(theirs.kappa)
    assert ends(found) == pytest.approx((theirs.kappa_low, theirs.kappa_upp), abs=0.01)


def test_kappa_at_its_ends() -> None:
    assert cohen_kappa([1, 0, 1, 0], [1, 0, 1, 0]).value == 1.0
    assert cohen_kappa([1, 0, 1, 0], [0, 1, 0, 1]).value == -1.0
    assert cohen_kappa([1, 1, 0, 0], [1, 0, 1, 0]).value == 0.0


@pytest.mark.parametrize(("one", "other"), [([], []), (["a"] * 5, ["a"] * 5)])
def test_undefined_kappa_is_refused(one: list[str], other: list[str]) -> None:
    with pytest.raises(InputError, match="fewer than two different labels"):
        cohen_kappa(one, other)


def test_raters_of_different_items_are_refused() -> None:
    with pytest.raises(InputError, match="one length, got 2, 1"):
        cohen_kappa(["a", "b"], ["a"])


@pytest.mark.parametrize(
    ("scale", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_of_the_literature(scale: Scale, value: float) -> None:
    found = krippendorff_alpha(LITERATURE, scale)
    assert found.value == pytest.approx(value, abs=5e-4)
    assert found.n == 11  # one unit has a single mark
    assert ends(found)[0] < found.value < ends(found)[1] <= 1.0


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("seed", range(5))
def test_alpha_agrees_with_another_implementation(scale: Scale, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, 60)[:, None]
    marks = np.where(rng.random((60, 3)) < 0.6, truth, rng.integers(0, 4, (60, 3)))
    ratings = [[None if rng.random() < 0.15 else float(mark) for mark in row] for row in marks]
    theirs = krippendorff.alpha(as_matrix(ratings), level_of_measurement=scale)
    assert krippendorff_alpha(ratings, scale).value == pytest.approx(theirs)


def test_the_interval_of_alpha_holds_the_truth() -> None:
    """Two raters agree on .49 + .51/3 of items, by chance on 1/3: alpha is .49."""
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(80):
        truth = rng.integers(0, 3, 80)[:, None]
        marks = np.where(rng.random((80, 2)) < 0.7, truth, rng.integers(0, 3, (80, 2)))
        low, high = ends(krippendorff_alpha(marks.astype(float).tolist()))
        hits += low <= 0.49 <= high
    assert hits >= 72


@pytest.mark.parametrize(
    ("ratings", "said"),
    [
        ([], "none"),
        ([[1, None], [None, 2]], "at least two marks"),
        ([[1, 1], [1, 1]], "every mark is 1"),
        ([[1, float("nan")]], "finite"),
        ([[k, k + 1] for k in range(70)], "at most 64 different marks, got 71"),
    ],
)
def test_undefined_alpha_is_refused(ratings: list[list[float | None]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        krippendorff_alpha(ratings)
