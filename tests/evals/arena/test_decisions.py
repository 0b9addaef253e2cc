"""Plans against simulated votes: how often they are fooled, and what they find."""

import numpy as np
import pytest

from core.store.experiments import Plan
from evals.arena.decisions import Item, decide

ALWAYS = Plan("always_valid", delta=0.1)
SIMULATIONS = 400


def votes(rng, size, a=0.35, b=0.35, first=0.0):
    """Return differences of votes: a share of wins for A and for B, the rest ties.

    The sides are drawn by a fair coin; being shown first wins `first` more of the votes.
    """
    sides = np.where(rng.random(size) < 0.5, 1.0, -1.0)  # 1.0: B is shown first
    to_b, to_a = b + first * sides, a - first * sides
    drawn = rng.random(size)
    return np.where(drawn < to_b, 1.0, np.where(drawn < to_b + to_a, -1.0, 0.0))


def items(differences):
    return [Item(float(each)) for each in differences]


@pytest.mark.parametrize("first", [0.0, 0.25])
def test_equal_arms_get_a_winner_in_at_most_5_of_100_however_often_one_looks(first):
    """The evidence counts every moment as looked at, so the last look tells of all."""
    rows = votes(np.random.default_rng(1), (SIMULATIONS, 250), first=first)
    found = [decide(ALWAYS, items(row)).verdict for row in rows]
    assert sum(verdict in ("a", "b") for verdict in found) / SIMULATIONS <= 0.05


def test_a_look_after_each_vote_sees_what_the_last_look_sees():
    rows = votes(np.random.default_rng(1), (SIMULATIONS, 250))[:, :150]
    ends = [decide(ALWAYS, items(row)).verdict for row in rows]
    for is_fooled in (True, False):
        row = next(row for row, end in zip(rows, ends, strict=True) if (end in "ab") == is_fooled)
        looks = [decide(ALWAYS, items(row[:n])).verdict for n in range(1, len(row) + 1)]
        named = [look for look in looks if look in ("a", "b")]
        assert bool(named) == is_fooled
        assert len(set(named)) <= 1, "a winner stays the winner"


def test_a_smaller_alpha_is_fooled_less_often_and_waits_longer():
    rows = votes(np.random.default_rng(2), (200, 150))
    strict = Plan("always_valid", alpha=0.2, delta=0.1), Plan("always_valid", alpha=0.01, delta=0.1)
    loose, tight = (
        sum(decide(plan, items(row)).verdict in ("a", "b") for row in rows) / len(rows)
        for plan in strict
    )
    assert tight <= loose <= 0.2
    assert tight <= 0.01
    some = items(rows[0][:80])
    wide, narrow = (decide(plan, some).difference for plan in reversed(strict))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_planted_difference_is_found_and_its_size_is_in_the_interval():
    rows = votes(np.random.default_rng(3), (150, 400), a=0.25, b=0.45)
    found = [decide(ALWAYS, items(row)) for row in rows]
    assert sum(one.verdict == "b" for one in found) >= 0.9 * len(rows)
    inside = sum(one.difference.low <= 0.2 <= one.difference.high for one in found)
    assert inside >= 0.95 * len(rows)


def test_intervals_hold_the_truth_at_every_look_for_95_of_100():
    rows = votes(np.random.default_rng(4), (60, 300), a=0.2, b=0.3)
    missed = 0
    for row in rows:
        looks = [decide(ALWAYS, items(row[:n])).difference for n in range(10, 301, 58)]
        missed += any(not one.low <= 0.1 <= one.high for one in looks)
    assert missed <= 3


def test_arms_without_a_difference_of_interest_are_told_so():
    rows = votes(np.random.default_rng(5), (10, 6_000), a=0.3, b=0.3)
    found = [decide(ALWAYS, items(row)).verdict for row in rows]
    assert found.count("no_difference") >= 9
    few = decide(ALWAYS, items(rows[0][:600]))
    assert few.verdict == "not_enough"
    assert 500 < few.more < 8_000


def test_a_fixed_plan_decides_nothing_before_its_last_item():
    """Not even where every single vote is for B."""
    plan = Plan("fixed_n", 60, delta=0.3)
    for n in range(60):
        early = decide(plan, items(np.ones(n)))
        assert (early.verdict, early.more, early.is_final) == ("not_enough", 60 - n, False)
        assert early.difference is None or early.difference.low is None
    last = decide(plan, items(np.ones(60)))
    assert (last.verdict, last.more, last.is_final) == ("b", 0, True)
    assert last.difference.low > 0.8


def test_a_fixed_plan_is_fooled_at_most_5_times_in_100():
    plan = Plan("fixed_n", 120, delta=0.1)
    rows = votes(np.random.default_rng(6), (300, 120))
    found = [decide(plan, items(row)) for row in rows]
    assert sum(one.verdict in ("a", "b") for one in found) / 300 <= 0.05
    open_ones = [one for one in found if one.verdict == "not_enough"]
    assert all(one.is_final for one in open_ones)
    assert all(one.more is None for one in open_ones)
    assert any(one.new_n > 120 for one in open_ones)


def test_a_fixed_plan_tells_that_a_difference_is_too_small():
    small = [Item(1.0), Item(-1.0)] + [Item(0.0)] * 998
    assert decide(Plan("fixed_n", 1_000, delta=0.05), small).verdict == "no_difference"
    assert decide(Plan("fixed_n", 1_000), small).verdict == "not_enough"


def test_items_of_one_source_say_no_more_than_one_item():
    """Ten marks of one document, six documents: six differences, too few for a verdict."""
    shared = [Item(1.0, f"document {n // 10}") for n in range(60)]
    assert decide(ALWAYS, items(np.ones(60))).verdict == "b"
    assert decide(ALWAYS, shared).verdict == "not_enough"
    assert decide(ALWAYS, shared).difference.n == 6
    assert decide(ALWAYS, shared).more == 10  # one more document of ten
    one_source = [Item(1.0, "a document")] * 60
    assert decide(Plan("fixed_n", 60), one_source).verdict == "not_enough"


def test_before_the_first_item_nothing_is_known():
    assert decide(ALWAYS, []).difference is None
    assert decide(Plan("fixed_n", 9), []).more == 9
