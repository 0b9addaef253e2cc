"""`python -m evals ratings`, `battles` and `experiments` as a program, on servers of loopback."""

import pytest
import yaml

from core.store import open_store
from tests.evals.arena.stored_votes import Cast, fill
from tests.evals.judge.conftest import SMALL
from tests.evals.judge.judge_server import JudgeServer, honest, says
from tests.evals.run_parts import TASK, Reply, endpoint, perfect, serving, write_task
from tests.serving import serve

ITEMS = 24
JUDGE = ("--task", TASK, "--judge", "judge", "--rubric", "small")


def clumsy(number, _before=0):
    """Answer every other item wrongly."""
    return perfect(number) if number % 2 else Reply("No table.")


def truth():
    """Return what every answer is worth: a named table all, none nothing."""
    best, worst = {"right": 2, "kind": 2}, {"right": 0, "kind": 0}
    tables = {perfect(number).text: best for number in range(ITEMS)}
    anchors = {anchor["answer"]: anchor["marks"] for anchor in SMALL["anchors"]}
    return {**anchors, **tables, clumsy(0).text: worst}


@pytest.fixture
def house(tmp_path, write_catalog):
    """Serve two models, one of them clumsy, and a judge."""
    write_task(tmp_path, ITEMS)
    (tmp_path / "rubrics").mkdir()
    (tmp_path / "rubrics" / "small.yaml").write_text(yaml.safe_dump(SMALL))
    judge = JudgeServer(honest(truth()))
    with serving(clumsy) as (a, _), serving(perfect) as (b, _), serve(judge.app()) as url:
        models = {"clumsy": endpoint(a), "able": endpoint(b), "judge": endpoint(f"{url}/v1")}
        write_catalog(models=models)
        yield judge


def test_a_task_decides_between_two_arms_by_their_first_runs(evals, house):
    plan = ("--arms", "clumsy,able", "--metric", "task", "--task", TASK, "--n", ITEMS)
    evals("run", "--model", "able", "--task", TASK)
    made = evals("experiments", "make", "tables", *plan)
    assert made["plan"] == {"kind": "fixed_n", "n": ITEMS, "alpha": 0.05, "delta": 0.0}
    waiting = evals("experiments", "show", "tables", code=30)
    assert waiting["counts"]["n"] == 0
    assert "waits for a run" in waiting["notes"][0]
    evals("run", "--model", "clumsy", "--task", TASK)
    assert evals("experiments", "show", "tables", code=30)["counts"]["n"] == 0
    evals("run", "--model", "able", "--task", TASK)
    found = evals("experiments", "show", "tables")
    assert (found["verdict"], found["counts"]["wins_b"], found["counts"]["n"]) == ("b", 12, ITEMS)
    assert found["arms"][0]["requests"] == ITEMS
    assert evals("experiments", "end", "tables")["verdict"] == "b"
    evals("experiments", "end", "tables", code=2)
    assert evals("experiments", "list")["experiments"][0]["ended_at"]


def test_a_judge_decides_in_bulk_and_is_asked_once(evals, house):
    models = ("--models", "clumsy,able")
    first = evals("battles", "judge", *models, *JUDGE, "--limit", 10)
    assert (first["n"], first["stored"], first["known"], first["missing"]) == (10, 10, 0, 0)
    outcomes = first["outcomes"]
    assert outcomes["model_a"] == 0
    assert outcomes["model_b"] + outcomes["tie"] == 10
    calls = len(house.asked)
    again = evals("battles", "judge", *models, *JUDGE, "--limit", 10)
    assert (again["stored"], again["known"], len(house.asked)) == (0, 10, calls)
    more = evals("battles", "judge", "--models", "able,clumsy", *JUDGE, "--limit", 14)
    assert (more["stored"], more["known"]) == (4, 10)
    rated = evals("ratings", "--judge")
    assert (rated["source"], rated["votes"]) == ("judge", 14)
    assert [model["id"] for model in rated["models"]] == ["able", "clumsy"]
    assert evals("ratings")["votes"] == 0
    evals("ratings", "--judge", "--position", code=2)


def test_an_experiment_on_a_judge_takes_its_own_battles_only(evals, house):
    models = ("--arms", "clumsy,able")
    evals("battles", "judge", "--models", "clumsy,able", *JUDGE, "--limit", 6)
    evals("experiments", "make", "judged", *models, "--metric", "judge", *JUDGE, "--delta", 0.1)
    assert evals("experiments", "show", "judged", code=30)["counts"]["n"] == 0
    done = evals("battles", "judge", "--experiment", "judged")
    assert (done["stored"], done["experiment"]) == (ITEMS, "judged")
    found = evals("experiments", "show", "judged")
    assert (found["verdict"], found["counts"]["wins_b"]) == ("b", 12)
    assert found["arms"][1]["p50_s"] > 0
    assert found["position"] is None
    assert "a judge is asked in both orders" in found["notes"][0]
    evals("battles", "judge", "--experiment", "judged", *JUDGE, code=2)
    evals("experiments", "end", "judged")
    evals("battles", "judge", "--experiment", "judged", code=2)


def test_a_judge_that_fails_its_anchors_generates_nothing(evals, house):
    house.opinion = lambda asked: says(asked, lambda _: "tie")
    failed = evals("battles", "judge", "--models", "clumsy,able", *JUDGE, code=40)
    assert failed["error"]["code"] == "SCORING_FAILED"
    assert evals("ratings", "--judge")["votes"] == 0


def test_battles_without_an_answer_are_missing_and_end_with_40(evals, house, tmp_path):
    catalog = yaml.safe_load((tmp_path / "catalog.yaml").read_text())
    catalog["models"]["able"]["base_url"] = "http://127.0.0.1:9/v1"
    (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(catalog))
    models = ("--models", "clumsy,able")
    done = evals("battles", "judge", *models, *JUDGE, "--limit", 12, code=40)
    assert (done["missing"], done["stored"], done["status"]) == (12, 0, "invalid")


def test_votes_of_people_are_rated_from_the_store(evals, settings):
    store = open_store(settings.database_url)
    fill(store, [Cast("x", "y", "model_a", f"p{n}") for n in range(35)])
    fill(store, [Cast("x", "y", "model_b", "q", excluded="repeated")])
    store.close()
    found = evals("ratings")
    assert (found["votes"], found["excluded"]) == (35, {"repeated": 1})
    assert [model["provisional"] for model in found["models"]] == [False, False]
    assert found["matrix"]["wins"] == [[0.0, 35.0], [0.0, 0.0]]
    assert evals("ratings", "--position", "--length")["first_shown"]["value"] > 0
    evals("ratings", "--judge", "--battles", "battles.jsonl", code=2)


@pytest.mark.parametrize(
    "wrong",
    [
        ("battles", "judge", "--models", "a", *JUDGE),
        ("battles", "judge", "--models", "a,a", *JUDGE),
        ("battles", "judge", "--models", "a,b"),
        ("experiments", "make", "x", "--arms", "a,a", "--metric", "votes", "--n", 20),
        ("experiments", "make", "x", "--arms", "lead,understudy", "--metric", "votes"),
        ("experiments", "show", "nobody"),
        ("experiments", "show", "nobody", "--usd-per-hour", "3"),
        ("experiments", "show", "nobody", "--usd-per-kwh", "0.3"),
        ("experiments", "end", "nobody"),
        ("experiments", "peek"),
    ],
)
def test_wrong_usage_ends_with_2(evals, wrong):
    evals(*wrong, code=2)
