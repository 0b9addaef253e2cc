"""Experiments in the store: plans that can be carried out, fixed before the first item."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.errors import ConflictError, InputError, NotFoundError
from core.store.battle_records import Arm
from core.store.experiments import Experiment, Plan, StoredExperiments

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
ONE = Experiment(
    name="bigger",
    arm_a=Arm("small", "sha256:a"),
    arm_b=Arm("large@v2", "sha256:b", "v2"),
    metric="judge",
    plan=Plan("always_valid", alpha=0.1, delta=0.05),
    task="desk_tools",
    judge="judge",
    rubric="persona",
    made_at=NOW,
)


def test_what_was_planned_is_read_again_to_the_last_digit(store):
    stored = StoredExperiments(store)
    stored.add(ONE)
    assert stored.get("bigger") == ONE
    assert stored.list() == (ONE,)


def test_a_plan_is_never_replaced(store):
    stored = StoredExperiments(store)
    stored.add(ONE)
    with pytest.raises(ConflictError, match="there is an experiment named 'bigger'"):
        stored.add(replace(ONE, plan=Plan("fixed_n", 40)))
    assert stored.get("bigger").plan == ONE.plan


def test_the_end_is_final_and_keeps_what_was_known(store):
    stored = StoredExperiments(store)
    stored.add(ONE)
    ended = stored.end("bigger", NOW + timedelta(days=1), {"verdict": "b", "counts": {"n": 7}})
    assert not ended.is_running
    assert ended.result == {"verdict": "b", "counts": {"n": 7}}
    with pytest.raises(ConflictError, match="has ended already"):
        stored.end("bigger", NOW + timedelta(days=2), {"verdict": "a"})
    assert stored.get("bigger") == ended
    with pytest.raises(ConflictError):
        stored.add(ONE)


def test_the_runs_that_decide_are_written_down_once(store):
    stored = StoredExperiments(store)
    stored.add(ONE)
    assert stored.get("bigger").runs is None
    assert stored.choose_runs("bigger", ("one", "other")) == ("one", "other")
    assert stored.choose_runs("bigger", ("better", "other")) == ("one", "other")
    kept = stored.get("bigger")
    assert (kept.runs, kept.result, kept.is_running) == (("one", "other"), None, True)
    ended = stored.end("bigger", NOW, {"verdict": "b"})
    assert (ended.runs, ended.result) == (None, {"verdict": "b"})


def test_running_ones_are_found_by_their_metric(store):
    stored = StoredExperiments(store)
    votes = replace(ONE, metric="votes", task=None, judge=None, rubric=None)
    for number, name in enumerate(("first", "second", "over")):
        stored.add(replace(votes, name=name, made_at=NOW + timedelta(seconds=number)))
    stored.add(ONE)
    stored.end("over", NOW, {})
    assert [each.name for each in stored.running("votes")] == ["first", "second"]
    assert [each.name for each in stored.list()] == ["over", "second", "bigger", "first"]


@pytest.mark.parametrize("name", ["", "Big", "a b", "-a", "x" * 65, "ä", "a\0", "a\n", "\ud800"])
def test_a_name_is_a_plain_word(store, name):
    with pytest.raises(InputError, match="an experiment's name"):
        StoredExperiments(store).add(replace(ONE, name=name))
    with pytest.raises(NotFoundError):
        StoredExperiments(store).get(name)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"kind": "peek"}, "plan is 'peek'; choose one of: fixed_n, always_valid"),
        ({"kind": "fixed_n"}, "needs n, the number of items"),
        ({"kind": "fixed_n", "n": 1}, "from 2 to 1000000; got 1"),
        ({"kind": "fixed_n", "n": 40.0}, "got 40.0"),
        ({"kind": "fixed_n", "n": 100, "alpha": 0.1}, "has alpha 0.05, got 0.1"),
        ({"kind": "fixed_n", "n": 100, "delta": 2.0}, "delta, the smallest difference"),
        ({"kind": "always_valid"}, "delta, the smallest difference"),
        ({"kind": "always_valid", "delta": float("nan")}, "got nan"),
        ({"kind": "always_valid", "delta": 0.1, "alpha": 0.5}, "alpha must be between"),
        ({"kind": "always_valid", "delta": 0.1, "alpha": float("nan")}, "alpha must be between"),
        ({"kind": "always_valid", "delta": 0.1, "n": 9}, "has no n"),
    ],
)
def test_a_plan_that_can_not_be_carried_out_is_refused(plan, said):
    with pytest.raises(InputError, match=said):
        Plan(**plan)
