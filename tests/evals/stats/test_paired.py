"""Paired differences against statsmodels, hand-worked cases and exact coverage."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.api import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from core.errors import InputError
from evals.stats.paired import PairedDifference, agresti_min, paired
from evals.stats.slices import holm, slices

BIG, SMALL = "gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"


def pairs(up: int, down: int, both: int, neither: int) -> tuple[dict[str, float], dict[str, float]]:
    cells = [(0.0, 1.0)] * up + [(1.0, 0.0)] * down + [(1.0, 1.0)] * both + [(0.0, 0.0)] * neither
    rows = {f"q{k}": cell for k, cell in enumerate(cells)}
    return {key: a for key, (a, _) in rows.items()}, {key: b for key, (_, b) in rows.items()}


def ends(found: PairedDifference) -> tuple[float, float]:
    assert found.difference.low is not None
    assert found.difference.high is not None
    return found.difference.low, found.difference.high


def test_independent_marks_worked_by_hand() -> None:
    found = paired(*pairs(up=10, down=2, both=60, neither=28))
    assert (found.n, found.fixed, found.broken, found.method) == (100, 10, 2, "mcnemar_exact")
    assert (found.mean_a, found.mean_b) == (0.62, 0.70)
    assert found.difference.value == pytest.approx(0.08)
    assert found.discordance == 0.12
    # 2 · P(Bin(12, 1/2) <= 2) = 2 · 79 / 4096
    assert found.p_value == pytest.approx(158 / 4096)
    # half a pair in each cell: (10.5 - 2.5) / 102, variance (13 - 64/102) / 102²
    half = 1.959964 * math.sqrt(13 - 64 / 102) / 102
    assert ends(found) == pytest.approx((8 / 102 - half, 8 / 102 + half), abs=1e-6)
    assert found.effect == pytest.approx(0.08 / math.sqrt((0.12 - 0.0064) * 100 / 99))


@pytest.mark.parametrize(("up", "down"), [(0, 0), (1, 0), (5, 5), (40, 12)])
def test_the_exact_test_agrees_with_statsmodels(up: int, down: int) -> None:
    found = paired(*pairs(up, down, 20, 20))
    assert found.p_value == pytest.approx(mcnemar([[20, up], [down, 20]], exact=True).pvalue)


@pytest.mark.parametrize(("gain", "loss"), [(0.1, 0.1), (0.15, 0.05), (0.02, 0.02), (0.06, 0.01)])
def test_the_interval_of_paired_marks_covers(gain: float, loss: float) -> None:
    n, covered = 40, 0.0
    for up in range(n + 1):
        counts = np.array([[up, down, n - up - down] for down in range(n + 1 - up)])
        weights = stats.multinomial.pmf(counts, n, [gain, loss, 1 - gain - loss])
        inside = [
            low <= gain - loss <= high for low, high in (agresti_min(*c[:2], n) for c in counts)
        ]
        covered += float(weights @ np.array(inside, dtype=float))
    assert covered >= 0.91


def read_pairs(path: Path) -> dict[str, tuple[float, float]]:
    """Return both models' marks by row number: the smaller model's, then the bigger one's."""
    csv.field_size_limit(10**7)
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    return {
        f"{path.stem}:{k}": (float(row[SMALL] == "True"), float(row[BIG] == "True"))
        for k, row in enumerate(rows)
    }


def split(both: Mapping[str, tuple[float, float]]) -> tuple[dict[str, float], dict[str, float]]:
    return {k: a for k, (a, _) in both.items()}, {k: b for k, (_, b) in both.items()}


def test_two_real_models_on_gsm8k_agree_with_statsmodels(public_data: Path) -> None:
    both = read_pairs(public_data / "routellm" / "gsm8k_responses.csv")
    found = paired(*split(both))
    cells = [[sum(pair == (x, y) for pair in both.values()) for y in (1, 0)] for x in (1, 0)]
    assert found.n == len(both) > 1_000
    assert (found.broken, found.fixed) == (cells[0][1], cells[1][0])
    assert found.p_value == pytest.approx(mcnemar(cells, exact=True).pvalue)
    assert found.difference.value == pytest.approx((found.fixed - found.broken) / found.n)


def test_two_real_models_on_15_mmlu_subjects_agree_with_statsmodels(public_data: Path) -> None:
    paths = sorted((public_data / "routellm").glob("mmlu_*.csv"))
    both = {key: pair for path in paths for key, pair in read_pairs(path).items()}
    groups = {key: key.split(":")[0] for key in both}
    found = paired(*split(both), groups)
    d = np.array([b - a for a, b in both.values()])
    fitted = OLS(d, np.ones(len(d))).fit(
        cov_type="cluster",
        cov_kwds={"groups": np.unique(list(groups.values()), return_inverse=True)[1]},
        use_t=True,
    )
    assert (found.groups, found.method) == (15, "clustered_t")
    assert found.difference.value == pytest.approx(fitted.params[0])
    assert found.stderr == pytest.approx(fitted.bse[0], rel=1e-9)
    assert ends(found) == pytest.approx(tuple(fitted.conf_int()[0]), rel=1e-9)
    assert found.p_value == pytest.approx(fitted.pvalues[0], rel=1e-6)


def test_each_mmlu_subject_is_a_slice_with_its_own_exact_test(public_data: Path) -> None:
    paths = sorted((public_data / "routellm").glob("mmlu_*.csv"))
    both = {key: pair for path in paths for key, pair in read_pairs(path).items()}
    groups = {key: key.split(":")[0] for key in both}
    found = slices(*split(both), groups, groups)
    assert [one.label for one in found] == [path.stem for path in paths]
    assert sum(one.n for one in found) == len(both)
    exact = []
    for one in found:
        assert one.difference is not None
        assert one.difference.method == "mcnemar_exact"
        table = [[0, one.difference.fixed], [one.difference.broken, 0]]
        exact.append(mcnemar(table, exact=True).pvalue)
    assert [one.p_holm for one in found] == pytest.approx(multipletests(exact, method="holm")[1])


def test_holm_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_a_slice_of_one_item_has_no_difference() -> None:
    a, b = pairs(2, 1, 2, 0)
    found = slices(a, b, {"q0": "x", "q1": "y", "q2": "y"})
    assert [(one.label, one.n, one.difference is None, one.p_holm) for one in found] == [
        ("x", 1, True, None),
        ("y", 2, False, 1.0),
    ]


def test_grades_get_a_t_test_and_a_bootstrap_interval() -> None:
    rng = np.random.default_rng(1)
    a = rng.random(80)
    b = np.clip(a + rng.normal(0.05, 0.1, 80), 0, 1)
    found = paired(*({f"q{k}": float(x) for k, x in enumerate(side)} for side in (a, b)))
    assert found.method == "paired_t_bca"
    assert found.p_value == pytest.approx(stats.ttest_rel(b, a).pvalue)
    theirs = stats.bootstrap((b - a,), np.mean, n_resamples=20_000, rng=2).confidence_interval
    assert ends(found) == pytest.approx((theirs.low, theirs.high), abs=4e-3)


def test_few_grades_get_a_t_interval() -> None:
    a, b = {"p": 0.1, "q": 0.5, "r": 0.4}, {"p": 0.4, "q": 0.6, "r": 0.9}
    found = paired(a, b)
    theirs = stats.ttest_rel([0.4, 0.6, 0.9], [0.1, 0.5, 0.4]).confidence_interval()
    assert found.method == "paired_t"
    assert ends(found) == pytest.approx((theirs.low, theirs.high))


def test_paired_grades_are_covered() -> None:
    rng, hits = np.random.default_rng(3), 0
    for _ in range(200):
        a = rng.random(30)
        b = np.where(rng.random(30) < 0.3, rng.random(30), a)
        low, high = ends(paired(*(dict(enumerate_ids(side)) for side in (a, b))))
        hits += low <= 0 <= high
    assert hits >= 200 * 0.91


def enumerate_ids(values: np.ndarray) -> list[tuple[str, float]]:
    return [(f"q{k}", float(value)) for k, value in enumerate(values)]


def test_the_clustered_test_rejects_as_rarely_as_it_says() -> None:
    """McNemar on the same items rejects far too often: they move together within a group."""
    rng = np.random.default_rng(4)
    clustered = plain = 0
    groups = {f"q{k}": k // 10 for k in range(200)}
    for _ in range(300):
        tilt = np.repeat(rng.uniform(-0.45, 0.45, 20), 10)
        a, b = rng.random(200) < 0.5 - tilt, rng.random(200) < 0.5 + tilt
        sides = [dict(enumerate_ids(side.astype(float))) for side in (a, b)]
        found, without = paired(*sides, groups), paired(*sides)
        assert found.p_value is not None
        assert without.p_value is not None
        clustered += found.p_value <= 0.05
        plain += without.p_value <= 0.05
    assert clustered / 300 <= 0.08
    assert plain / 300 > 0.2


def test_answers_that_never_differ_are_not_certain_to_be_equal() -> None:
    shared = {f"q{k}": k // 2 for k in range(100)}
    a, b = pairs(0, 0, 100, 0)
    grades = dict.fromkeys(a, 0.5)
    for found in (paired(a, b), paired(a, b, shared), paired(grades, grades)):
        low, high = ends(found)
        assert found.p_value == 1.0
        assert found.effect is None
        assert found.mde is not None
        assert found.mde > 0.02
        assert -0.05 < low < 0 < high < 0.05
        assert high == pytest.approx(-low)


def test_a_gain_on_every_item_is_tested_by_its_sign() -> None:
    a, b = pairs(12, 0, 0, 0)
    found = paired(a, b, {key: int(key[1:]) // 2 for key in a})
    assert found.p_value == pytest.approx(2 / 2**6)
    assert ends(found) == pytest.approx(agresti_min(6, 0, 6))


def test_rounding_is_no_difference() -> None:
    a, b = {"p": 0.1 + 0.2, "q": 1.0, "r": 0.5}, {"p": 0.3, "q": 0.5, "r": 1.0}
    found = paired(a, b)
    assert (found.fixed, found.broken, found.difference.value) == (1, 1, 0.0)


def test_one_group_has_neither_interval_nor_test() -> None:
    a, b = pairs(3, 1, 4, 0)
    found = paired(a, b, dict.fromkeys(a, "only"))
    assert (found.difference.low, found.p_value, found.mde) == (None, None, None)
    assert found.items_for(0.1) is None


def test_the_order_of_items_is_of_no_matter() -> None:
    rng = np.random.default_rng(5)
    a, b = (dict(enumerate_ids(rng.random(40))) for _ in range(2))
    assert paired(a, b) == paired(dict(reversed(a.items())), b)


def test_swapping_the_models_turns_the_sign() -> None:
    a, b = pairs(9, 3, 20, 8)
    one, other = paired(a, b), paired(b, a)
    assert one.difference.value == -other.difference.value
    assert ends(one) == pytest.approx([-end for end in reversed(ends(other))])
    assert (one.p_value, one.fixed) == (other.p_value, other.broken)


@pytest.mark.parametrize(("points", "items"), [(0.05, 620), (0.03, 1736), (0.02, 3917)])
def test_items_for_a_difference_at_20_percent_discordance(points: float, items: int) -> None:
    found = paired(*pairs(up=10, down=10, both=60, neither=20))
    assert found.items_for(points) == pytest.approx(items, abs=1)
    assert found.items_for(-points) == found.items_for(points)


def test_what_can_be_detected_is_what_so_many_items_are_needed_for() -> None:
    rng = np.random.default_rng(6)
    grades = paired(*(dict(enumerate_ids(rng.random(200))) for _ in range(2)))
    marks = paired(*pairs(20, 20, 100, 60))
    for found in (grades, marks):
        assert found.mde is not None
        assert found.items_for(found.mde) == pytest.approx(found.n, rel=0.02)
    assert marks.mde == pytest.approx(2.8016 * math.sqrt(0.2 / (200 + 7.849)), abs=1e-4)


def test_the_detectable_difference_is_detected_in_80_of_100_tries() -> None:
    rng = np.random.default_rng(7)
    mde = paired(*pairs(40, 40, 200, 120)).mde
    assert mde is not None
    drawn = rng.multinomial(400, [0.1 + mde / 2, 0.1 - mde / 2, 0.8], size=2_000)
    exact = stats.binom.cdf(drawn[:, :2].min(axis=1), drawn[:, :2].sum(axis=1), 0.5) * 2
    assert (exact <= 0.05).mean() == pytest.approx(0.8, abs=0.05)  # the exact test is conservative


def test_other_ids_are_refused_with_how_many() -> None:
    with pytest.raises(InputError, match="1 ids are missing in B and 2 in A"):
        paired({"p": 1, "q": 0}, {"q": 1, "r": 1, "s": 0})


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ({}, {}, "at least 2 items, got 0"),
        ({"q": 1}, {"q": 0}, "at least 2 items, got 1"),
        ({"p": 1, "q": 2}, {"p": 0, "q": 0}, "from 0 to 1, got 2"),
        ({"p": 1, "q": 0}, {"p": 0, "q": float("nan")}, "from 0 to 1, got nan"),
    ],
)
def test_impossible_scores_are_refused(a: dict[str, float], b: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        paired(a, b)


def test_every_item_needs_a_group() -> None:
    with pytest.raises(InputError, match="'q1' has no group"):
        paired(*pairs(1, 1, 0, 0), {"q0": "x"})
