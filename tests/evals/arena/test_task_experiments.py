"""Experiments on a task: which runs decide, and that none can be chosen by its result."""

import shutil
from dataclasses import dataclass

import pytest

from tests.evals.run_parts import TASK, Reply, endpoint, perfect, serving, write_task

ITEMS = 24
N = 12
PLAN = ("--metric", "task", "--task", TASK, "--arms", "clumsy,able")


@dataclass
class House:
    """Two models; the able one may be out of order."""

    is_down: bool = False

    def able(self, number, _before=0):
        return Reply("out of order", status=400) if self.is_down else perfect(number)

    @staticmethod
    def clumsy(number, _before=0):
        return perfect(number) if number % 2 else Reply("No table.")


@pytest.fixture
def house(tmp_path, write_catalog):
    write_task(tmp_path, ITEMS)
    house = House()
    with serving(house.clumsy) as (a, _), serving(house.able) as (b, _):
        write_catalog(models={"clumsy": endpoint(a), "able": endpoint(b)})
        yield house


def run(evals, model, limit=N, code=0):
    """Carry a run out, nothing from the cache; return its name."""
    asked = ("--model", model, "--task", TASK, "--limit", limit, "--no-cache")
    return evals("run", *asked, code=code)["run"]


def shown(evals, code):
    found = evals("experiments", "show", "tables", code=code)
    return found["counts"]["n"], " ".join(found["notes"])


def test_the_pair_that_was_completed_first_decides_for_good(evals, house, tmp_path):
    evals("experiments", "make", "tables", *PLAN, "--n", ITEMS + 1, code=2)
    evals("experiments", "make", "tables", *PLAN, "--n", N)
    for model in ("clumsy", "able"):
        run(evals, model, limit=5)
    n, notes = shown(evals, 30)
    assert (n, f"--limit {N}" in notes) == (0, True)
    first = run(evals, "clumsy")
    house.is_down = True
    left = run(evals, "able", code=40)
    house.is_down = False
    assert shown(evals, 30)[0] == 0
    second = run(evals, "able", limit=ITEMS)
    assert shown(evals, 30)[0] == 0, "the runs have other items"
    second = run(evals, "able")
    n, notes = shown(evals, 0)
    assert (n, f"{first} and {second}" in notes) == (N, True)
    assert evals("run", "--resume", left)["status"] == "completed"
    assert second in shown(evals, 0)[1]
    shutil.rmtree(tmp_path / "evals" / second)
    n, notes = shown(evals, 30)
    assert (n, "can't be used now" in notes) == (0, True)


def test_looks_at_any_time_take_the_whole_task_and_then_no_more(evals, house):
    evals("experiments", "make", "tables", *PLAN, "--delta", 0.01, "--alpha", 0.001)
    for model, limit in (("clumsy", N), ("able", N), ("clumsy", ITEMS), ("able", ITEMS)):
        assert shown(evals, 30)[0] == 0
        run(evals, model, limit=limit)
    found = evals("experiments", "show", "tables", code=30)
    assert (found["counts"]["n"], found["more"], found["is_final"]) == (ITEMS, None, True)
    assert found["text"].startswith("the plan is complete without a decision: 24 items")
