"""Evidence against its closed form, and how often peeking at every pair is fooled."""

import math

import numpy as np
import pytest
from scipy.special import betaln

from core.errors import InputError
from evals.stats.sequential import Look, asymptotic_interval, look, look_at_counts


def ends(found: Look) -> tuple[float, float]:
    assert found.difference.low is not None
    assert found.difference.high is not None
    return found.difference.low, found.difference.high


def beta_mixture(wins: int, losses: int) -> float:
    """Return 2^(b+c) B(b+1/2, c+1/2) / B(1/2, 1/2)."""
    decisive = wins + losses
    ours = decisive * math.log(2) + betaln(wins + 0.5, losses + 0.5) - betaln(0.5, 0.5)
    return math.exp(ours)


@pytest.mark.parametrize(("a", "b", "ties"), [(0, 8, 0), (2, 10, 3), (60, 100, 1000), (90, 30, 0)])
def test_evidence_of_wins_is_the_beta_mixture(a: int, b: int, ties: int) -> None:
    expected = min(1.0, 1 / beta_mixture(b, a))
    assert look_at_counts(a, b, ties).p_value == pytest.approx(expected, rel=1e-6)


def test_wins_worked_by_hand() -> None:
    # 2^2 B(2.5, .5) / B(.5, .5) = 4 · 3/8; 8 wins: 2^8 · (15!!/16!!)
    assert look_at_counts(0, 2).p_value == pytest.approx(1 / 1.5)
    assert look_at_counts(8, 0).p_value == pytest.approx(1 / (256 * 6435 / 32768))
    assert look_at_counts(1, 1).p_value == 1.0


@pytest.mark.parametrize(
    ("a", "b", "ties", "delta", "verdict"),
    [
        (0, 0, 0, 0.0, "not_enough"),
        (0, 6, 0, 0.0, "not_enough"),
        (0, 7, 0, 0.0, "b"),
        (7, 0, 5, 0.0, "a"),
        (40, 40, 0, 0.1, "not_enough"),
        (2_000, 2_000, 0, 0.1, "no_difference"),
        (10, 10, 2_000, 0.05, "no_difference"),
        (2_000, 2_400, 0, 0.2, "b"),
    ],
)
def test_verdicts(a: int, b: int, ties: int, delta: float, verdict: str) -> None:
    found = look_at_counts(a, b, ties, delta)
    assert found.verdict == verdict
    assert (found.more == 0) == (verdict != "not_enough")


def test_zero_is_outside_the_interval_exactly_when_it_is_rejected() -> None:
    for b in range(30):
        for a in range(0, 30, 3):
            found = look_at_counts(a, b, 5)
            low, high = ends(found)
            assert (found.p_value <= 0.05) == (low > 0 or high < 0), (a, b)


def test_before_the_first_pair_nothing_is_known() -> None:
    for found in (look([]), look_at_counts(0, 0)):
        assert found.to_dict() == {
            "n": 0,
            "p_value": 1.0,
            "difference": {"value": 0.0, "low": None, "high": None, "n": 0},
            "verdict": "not_enough",
            "more": None,
            "is_contradiction": False,
        }


def test_so_many_more_pairs_of_the_same_give_a_verdict() -> None:
    found = look_at_counts(30, 45, 25)
    assert found.verdict == "not_enough"
    assert found.more is not None
    later, earlier = (
        look_at_counts(*(round(count * (1 + share * found.more / 100)) for count in (30, 45, 25)))
        for share in (1.05, 0.9)
    )
    assert (later.verdict, earlier.verdict) == ("b", "not_enough")


def test_an_even_score_has_no_end_in_sight_unless_a_difference_may_be_too_small() -> None:
    assert look_at_counts(20, 20).more is None
    more = look_at_counts(20, 20, 0, delta=0.1).more
    assert more is not None
    assert 500 < more < 3_000


def test_evidence_that_was_enough_once_stays_enough() -> None:
    won = [1.0] * 10
    undone = won + [-1.0, 1.0, -1.0] * 8
    early, late = look(won), look(undone)
    assert early.verdict == late.verdict == "b"
    assert late.p_value == early.p_value
    assert look_at_counts(16, 18).verdict == "not_enough"
    assert ends(late)[0] == 0.0


def test_a_verdict_names_the_side_that_the_evidence_was_for() -> None:
    """Though the mean has crossed 0 since: the later votes are no evidence for the other side."""
    crossed = [1.0] * 12 + [-1.0] * 13
    for differences, verdict in ((crossed, "b"), ([-one for one in crossed], "a")):
        found = look(differences, delta=0.1)
        low, high = ends(found)
        assert (found.verdict, found.more, found.is_contradiction) == (verdict, 0, False)
        assert (low == 0.0 < high) if verdict == "b" else (low < 0.0 == high)


def test_enough_for_both_sides_is_a_contradiction_and_no_verdict() -> None:
    found = look([1.0] * 12 + [-1.0] * 60, delta=0.1)
    assert found.is_contradiction
    assert (found.verdict, found.more) == ("not_enough", None)
    assert (found.difference.low, found.difference.high) == (None, None)
    assert look([-1.0] * 60, delta=0.1).verdict == "a"


def test_a_sequence_in_one_look_is_its_counts() -> None:
    d = [1.0, 0.0, 1.0, 1.0, -1.0, 1.0]
    assert ends(look(d)) == ends(look_at_counts(1, 4, 1))


@pytest.mark.parametrize(("share", "steps"), [(0.1, 300), (0.5, 150)])
def test_peeking_at_every_pair_is_fooled_at_most_5_times_in_100(share: float, steps: int) -> None:
    rng = np.random.default_rng(1)
    d = rng.choice([-1.0, 0.0, 1.0], p=[share, 1 - 2 * share, share], size=(500, steps))
    fooled = sum(look(row.tolist()).p_value <= 0.05 for row in d)
    z = np.abs(np.cumsum(d, axis=1)) / np.sqrt(np.maximum(np.cumsum(d**2, axis=1), 1))
    assert fooled / 500 <= 0.05
    assert (z[:, 20:].max(axis=1) > 1.96).mean() > 0.2  # what peeking does to a usual test


def test_peeking_at_grades_is_fooled_at_most_5_times_in_100() -> None:
    rng = np.random.default_rng(2)
    d = np.round(rng.beta(2, 5, (400, 150)) - 2 / 7, 2)
    assert abs(d.mean()) < 1e-3  # two digits, as judges give them, and no true difference
    assert sum(look(row.tolist()).p_value <= 0.05 for row in d) / 400 <= 0.05


def test_a_planted_difference_is_found_early() -> None:
    """At 8 points and 20% of pairs that differ, nearly always within 1,000 pairs."""
    rng = np.random.default_rng(3)
    d = rng.choice([-1.0, 0.0, 1.0], p=[0.06, 0.8, 0.14], size=(80, 1_000))
    found = [look(row.tolist()) for row in d]
    assert sum(one.verdict == "b" for one in found) >= 78


def test_intervals_at_every_look_hold_the_truth() -> None:
    rng = np.random.default_rng(4)
    missed = 0
    for _ in range(80):
        d = rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.7, 0.2], size=300)
        wins, losses = np.cumsum(d > 0), np.cumsum(d < 0)
        looks = [
            ends(look_at_counts(int(losses[n]), int(wins[n]), int(n + 1 - wins[n] - losses[n])))
            for n in range(4, 300, 20)
        ]
        missed += any(not low <= 0.1 <= high for low, high in looks)
    assert missed / 80 <= 0.05


def test_asymptotic_intervals_at_every_look_hold_the_truth() -> None:
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(300):
        d = rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.7, 0.2], size=600)
        looks = [asymptotic_interval(d[:n].tolist(), 300) for n in range(50, 600, 25)]
        missed += any(not (one.low or 0.0) <= 0.1 <= (one.high or 0.0) for one in looks)
    assert missed / 300 <= 0.05


def test_an_asymptotic_interval_worked_by_hand() -> None:
    # n = planned = 4, deviation 2/sqrt(3): rho² = (2·2.9957 + ln(6.9915)) / 4 = 1.9841
    low = asymptotic_interval([1, 1, -1, -1], 4).low
    rho2 = (2 * 2.995732 + math.log(1 + 2 * 2.995732)) / 4
    half = 1.1547005 * math.sqrt(
        2 * (4 * rho2 + 1) / (16 * rho2) * math.log(math.sqrt(4 * rho2 + 1) * 20)
    )
    assert low == pytest.approx(max(-half, -1.0))
    wide = asymptotic_interval([0.1, 0.2, -0.1, 0.0] * 50, 200)
    tight = look([0.1, 0.2, -0.1, 0.0] * 50)
    assert (wide.low or 0.0) > ends(tight)[0]


def test_one_difference_has_no_asymptotic_interval() -> None:
    found = asymptotic_interval([0.5], 10)
    assert (found.value, found.low, found.high) == (0.5, None, None)


def test_swapping_the_models_turns_the_verdict() -> None:
    d = [0.3, -0.1, 0.4, 0.2] * 20
    one, other = look(d), look([-x for x in d])
    assert (one.verdict, other.verdict) == ("b", "a")
    assert ends(one) == pytest.approx([-end for end in reversed(ends(other))], abs=3e-6)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: look_at_counts(-1, 0), "negative"),
        (lambda: look_at_counts(1, 0, delta=1.5), "delta must be between"),
        (lambda: look([0.5], delta=float("nan")), "delta must be between"),
        (lambda: look([2.0]), "from -1 to 1, got 2.0"),
        (lambda: look([float("nan")]), "got nan"),
        (lambda: asymptotic_interval([0.1, 0.2], 0), "at least 1 pair"),
    ],
)
def test_impossible_looks_are_refused(call, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()
