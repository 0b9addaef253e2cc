"""Experiments from the plan to the end: what counts, what is left out, what the arms cost."""

from dataclasses import replace

import numpy as np
import pytest

from core.errors import ConflictError, InputError, NotFoundError
from core.store.experiments import Plan
from evals.arena.costs import EARLIER, LocalRate
from evals.arena.experiments import Asked, Experiments
from evals.arena.results import words_of
from tests.evals.arena.stored_votes import Cast, fill

ALWAYS = Plan("always_valid", delta=0.1)
VOTES = Asked("bigger", "understudy", "lead", "votes", ALWAYS)
TOOK = {
    "input_tokens": 100,
    "output_tokens": 50,
    "first_token_s": 0.5,
    "queue_s": 0.25,
    "total_s": 2.25,
    "tokens_per_s": 30.0,
}


def cast(one, outcomes, *, is_b_first=False, **more):
    """Return votes in the words of the experiment: b, a, t for a tie, x for both bad."""
    a, b = one.arm_a, one.arm_b
    first, second = (b, a) if is_b_first else (a, b)
    names = {"a": "model_b" if is_b_first else "model_a", "t": "tie", "x": "both_bad"}
    names["b"] = "model_a" if is_b_first else "model_b"
    common = {"experiment": one.name, "digests": (first.digest, second.digest), **more}
    return [Cast(first.model, second.model, names[letter], **common) for letter in outcomes]


def test_votes_on_both_sides_decide_for_the_arm_that_is_better(lab, parts):
    one = lab.make(VOTES)
    empty = lab.panel("bigger")
    assert (empty.counts.n, empty.difference, empty.verdict, empty.more) == (
        0,
        None,
        "not_enough",
        None,
    )
    fill(parts.store, cast(one, "bbbabtx" * 6) + cast(one, "bbbabtx" * 6, is_b_first=True))
    found = lab.panel("bigger")
    counts = found.counts
    assert (counts.wins_a, counts.wins_b, counts.ties, counts.both_bad) == (12, 48, 12, 12)
    assert (counts.n, found.difference.n) == (84, 84)
    assert found.difference.value == pytest.approx(36 / 84)
    assert found.difference.low > 0.1
    assert (found.verdict, found.more, found.text) == ("b", 0, "B is better: lead")
    assert (found.position.value, found.position.n) == (0.5, 60)


def test_a_position_bias_is_shown_and_names_no_winner(lab, parts):
    one = lab.make(VOTES)
    for _ in range(30):
        fill(parts.store, cast(one, "a") + cast(one, "b", is_b_first=True))
    found = lab.panel("bigger")
    assert found.position.low > 0.9
    assert (found.difference.value, found.verdict) == (0.0, "not_enough")
    assert found.more > 100
    assert found.text == f"not enough data: about {found.more} more votes"


def test_what_is_not_planned_is_left_out_and_counted(lab, parts):
    one = lab.make(VOTES)
    others = replace(one, arm_b=replace(one.arm_b, digest="sha256:new"))
    fill(parts.store, cast(one, "b" * 5))
    fill(parts.store, cast(others, "a" * 4))
    fill(parts.store, cast(one, "a" * 3, excluded="names_itself"))
    fill(parts.store, cast(one, "a" * 2, source="judge"))
    fill(parts.store, [Cast("understudy", "lead", "model_a")])
    found = lab.panel("bigger")
    assert (found.counts.wins_a, found.counts.wins_b) == (0, 5)
    assert found.excluded == {"names_itself": 3, "other_weights": 4}
    assert words_of("other_weights").startswith("given by other weights")


def test_an_end_is_final(lab, parts):
    one = lab.make(VOTES)
    fill(parts.store, cast(one, "b" * 20))
    assert lab.end("bigger").ended_at is not None
    before = lab.panel("bigger")
    assert before.verdict == "b"
    fill(parts.store, cast(one, "a" * 200))
    assert lab.panel("bigger") == before
    assert Experiments.of(parts).panel("bigger") == before
    with pytest.raises(ConflictError, match="has ended already"):
        lab.end("bigger")
    with pytest.raises(ConflictError, match="there is an experiment named"):
        lab.make(replace(VOTES, plan=Plan("fixed_n", 20)))
    with pytest.raises(NotFoundError):
        lab.panel("smaller")


def test_a_fixed_plan_is_silent_until_its_last_vote_and_deaf_after_it(lab, parts):
    one = lab.make(replace(VOTES, plan=Plan("fixed_n", 40)))
    fill(parts.store, cast(one, "b" * 39))
    early = lab.panel("bigger")
    assert (early.verdict, early.difference.low) == ("not_enough", None)
    assert early.text == "not enough data: 39 of the planned 40 votes"
    fill(parts.store, cast(one, "b" + "a" * 500))
    late = lab.panel("bigger")
    assert (late.verdict, late.counts.n, late.excluded) == ("b", 40, {"after_plan": 500})


def test_a_fixed_plan_that_ends_without_a_verdict_says_what_it_would_take(lab, parts):
    one = lab.make(replace(VOTES, plan=Plan("fixed_n", 40)))
    fill(parts.store, cast(one, "bbbaa" * 8))
    found = lab.panel("bigger")
    assert (found.verdict, found.more, found.is_final) == ("not_enough", None, True)
    assert found.text.startswith(
        "the plan is complete without a decision: 40 votes show no difference; a new plan needs "
    )
    assert int(found.text.split()[-1]) > 140


def test_votes_that_turn_after_they_were_enough_leave_the_verdict_or_end_it(lab, parts):
    one = lab.make(VOTES)
    fill(parts.store, cast(one, "b" * 12 + "a" * 13))
    found = lab.panel("bigger")
    assert (found.verdict, found.difference.low) == ("b", 0.0)
    assert found.text == "B is better: lead; the votes since then point the other way"
    fill(parts.store, cast(one, "a" * 40))
    found = lab.panel("bigger")
    assert (found.verdict, found.more, found.difference.low) == ("not_enough", None, None)
    assert found.text.startswith("no verdict: the votes were enough for one arm first")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arm_b": "understudy"}, "both arms are 'understudy'"),
        ({"arm_b": "twin"}, "are the same weights and adapter"),
        ({"arm_b": "nobody"}, "no model named 'nobody'"),
        ({"metric": "stars"}, "metric is 'stars'; choose one of: votes, task, thumbs, judge"),
        ({"metric": "task"}, "an experiment on task needs a task"),
        ({"metric": "judge", "task": "desk_tools"}, "an experiment on judge needs a judge"),
        ({"task": "desk_tools"}, "an experiment on votes takes no task"),
        ({"metric": "task", "task": "no_such"}, "no task named 'no_such'"),
        (
            {"metric": "task", "task": "desk_tools", "plan": Plan("fixed_n", 100_000)},
            r"'desk_tools' has \d+ items, and n is 100000; choose n up to",
        ),
        ({"metric": "thumbs", "arm_b": "both"}, "'both' is a chain or an ensemble"),
        ({"name": "A B"}, "an experiment's name"),
        (
            {"metric": "judge", "task": "desk_tools", "judge": "lead", "rubric": "persona"},
            "'lead' can't judge the answers of 'lead'",
        ),
        (
            {"metric": "judge", "task": "desk_tools", "judge": "paid", "rubric": "taste"},
            "no rubric named 'taste'",
        ),
    ],
)
def test_what_can_not_be_an_experiment_is_refused_and_not_stored(lab, changes, said):
    with pytest.raises((InputError, NotFoundError), match=said):
        lab.make(replace(VOTES, **changes))
    assert lab.list() == ()


def test_battles_are_drawn_for_running_experiments_on_votes_only(lab):
    assert lab.running_pair() is None
    lab.make(replace(VOTES, name="liked", metric="thumbs"))
    assert lab.running_pair() is None
    lab.make(VOTES)
    assert lab.running_pair().experiment == "bigger"
    assert lab.running_pair().arms == ("understudy", "lead")
    lab.end("bigger")
    assert lab.running_pair() is None


def test_an_experiment_whose_plan_is_complete_leaves_the_battles_alone(lab, parts):
    one = lab.make(replace(VOTES, plan=Plan("fixed_n", 4)))
    fill(parts.store, cast(one, "ab") + cast(one, "b", excluded="repeated"))
    fill(parts.store, cast(replace(one, arm_b=replace(one.arm_b, digest="sha256:new")), "bb"))
    fill(parts.store, cast(one, "b", is_b_first=True))
    assert lab.running_pair().experiment == "bigger"
    fill(parts.store, cast(one, "t"))
    assert lab.panel("bigger").counts.n == 4
    assert lab.running_pair() is None


def test_a_priced_arm_costs_what_was_counted_and_a_local_one_what_is_entered(lab, parts):
    one = lab.make(replace(VOTES, arm_b="paid"))
    votes = cast(one, "ab" * 10, took=TOOK | {"cost_usd": 0.0004})
    fill(parts.store, votes)
    with parts.store.write() as connection:  # the local side has no price
        connection.exec_driver_sql(
            "UPDATE battle_sides SET cost_usd = NULL WHERE model = 'understudy'"
        )
    local, paid = lab.panel("bigger").arms
    assert (local.usd_per_thousand, local.price_source, local.unpriced) == (None, None, 20)
    assert paid.usd_per_thousand == pytest.approx(0.4)
    assert (paid.price_source, paid.price_as_of) == ("catalog", "2026-11-01")
    assert (paid.requests, paid.unpriced, paid.tokens_per_s) == (20, 0, 30.0)
    assert (local.p50_s, local.p95_s, local.first_token_p50_s) == (2.25, 2.25, 0.5)
    priced, same = lab.panel("bigger", {"understudy": LocalRate(usd_per_hour=3.6)}).arms
    assert priced.usd_per_thousand == pytest.approx(2.0)  # 2 s of work at a dollar in 1,000 s
    assert (priced.price_source, same) == ("entered: $3.6 an hour", paid)
    lab.end("bigger")
    energy = LocalRate(watts=1_000, usd_per_kwh=0.36)
    assert lab.panel("bigger", {"understudy": energy}).arms[0].usd_per_thousand == pytest.approx(
        0.2
    )


def test_an_arm_that_was_not_measured_is_unknown(lab, parts):
    one = lab.make(VOTES)
    fill(parts.store, cast(one, "ab"))
    rates = {"lead": LocalRate(usd_per_hour=1.0)}
    for arm in lab.panel("bigger", rates).arms:
        assert (arm.requests, arm.unpriced) == (2, 2)
        assert (arm.usd_per_thousand, arm.p50_s, arm.p95_s, arm.tokens_per_s) == (None,) * 4


@pytest.mark.parametrize(
    "rate",
    [{}, {"watts": 300}, {"usd_per_kwh": 0.3}, {"usd_per_hour": -1}, {"usd_per_hour": np.nan}],
)
def test_a_rate_is_whole_and_no_negative_number(rate):
    with pytest.raises(InputError, match=r"rate|energy"):
        LocalRate(**rate)


def test_what_runs_elsewhere_costs_what_is_known_and_nothing_that_is_entered(lab, parts):
    one = lab.make(replace(VOTES, arm_a="free", arm_b="paid"))
    fill(parts.store, cast(one, "ab" * 10, took=TOOK))
    rate = LocalRate(usd_per_hour=2.0)
    for wrong, said in (("free", "does not run on this machine"), ("fre", "its arms are: free, p")):
        with pytest.raises(InputError, match=said):
            lab.panel("bigger", {wrong: rate})
    entered = lab.panel("bigger").with_rates({"free": rate})
    assert entered.arms[0].usd_per_thousand is None
    assert entered.notes[-1].startswith("free does not run on this machine")


def test_a_cost_says_of_how_many_requests_it_is_and_which_prices_it_was_counted_at(lab, parts):
    one = lab.make(replace(VOTES, arm_b="paid"))
    fill(parts.store, cast(one, "a", took=TOOK | {"cost_usd": 0.0004}))
    fill(parts.store, cast(one, "ab" * 10, took=TOOK))
    paid = lab.panel("bigger").arms[1]
    assert (paid.price_source, paid.price_as_of) == ("catalog", "2026-11-01")
    assert paid.priced == "of 1 of 21 requests, no price is known of the others"
    fill(parts.store, cast(one, "a", took=TOOK | {"cost_usd": 0.0003}))  # before it rose
    paid = lab.panel("bigger").arms[1]
    assert (paid.price_source, paid.price_as_of) == (EARLIER, None)
    assert paid.usd_per_thousand == pytest.approx(0.35)
