"""A base and what training made of it: only runs of the same items tell, and less may be better."""

from pathlib import Path

import pytest

from evals.before_after import BeforeAfter, Pair, Subject, find_pairs
from evals.leaderboard_runs import RunIndex
from tests.evals.leaderboard_home import BEGAN, write_json, write_run

SUBJECT = Subject("base", "sha256:b", "base@v1", "sha256:a")
BASE = {"model_digest": "sha256:b"}
ADAPTED = {**BASE, "adapter_digest": "sha256:a"}
HALF = [float(n % 2) for n in range(200)]
MORE = [1.0 if n % 10 else 0.0 for n in range(200)]


def run(home: Path, name: str, marks: list[float], **how: object) -> None:
    """Write a completed run with all that a comparison reads."""
    is_base = how.pop("is_base", True)
    task = "calls"
    changes = {**(BASE if is_base else ADAPTED), **how.pop("changes", {})}
    model = "base" if is_base else "base@v1"
    folder = write_run(home, name, model=model, marks=marks, changes=changes, **how)
    about = {"run": name, "task": task, "model": model, "provider": "local", "served": "sha256:s"}
    fixed = {
        "task_digest": "sha256:" + "1" * 64, "data_digest": "sha256:" + "2" * 64,
        "grader_version": "3", "repeats": 1, "seed": 0, "mode": "free", "plan": None,
        "uses_cache": True, "created_at": "", "versions": {}, "device": None, "precision": None,
        "params": {"temperature": 0.0, "max_tokens": 64, "seed": None},
        "items": [f"{task}-{n:04}" for n in range(len(marks))],
    }  # fmt: skip
    digests = {"model_digest": changes["model_digest"]}
    digests["adapter_digest"] = changes.get("adapter_digest")
    write_json(folder / "manifest.json", about | fixed | digests)


def pairs(home: Path) -> dict[str, Pair]:
    return find_pairs(RunIndex(home).all()[0], SUBJECT)


def test_the_newest_runs_of_the_same_items_and_weights_make_a_pair(tmp_path: Path) -> None:
    run(tmp_path, "old-base", HALF, finished=BEGAN)
    run(tmp_path, "new-base", HALF, finished=BEGAN + 5)
    run(tmp_path, "few-base", HALF[:20], finished=BEGAN + 9)
    run(tmp_path, "other-base", HALF, changes={"model_digest": "sha256:x"}, finished=BEGAN + 9)
    assert pairs(tmp_path) == {}
    run(tmp_path, "v1", MORE, is_base=False, finished=BEGAN + 7)
    run(tmp_path, "stopped", MORE, is_base=False, status="stopped", finished=BEGAN + 8)
    run(tmp_path, "alone", MORE[:50], is_base=False, finished=BEGAN + 8)
    found = pairs(tmp_path)
    assert [(task, p.base.run, p.adapted.run) for task, p in found.items()] == [
        ("calls", "new-base", "v1")
    ]


def test_the_paired_difference_its_interval_and_the_items_that_flipped(tmp_path: Path) -> None:
    run(tmp_path, "before", HALF)
    run(tmp_path, "after", MORE, is_base=False)
    memory = BeforeAfter()
    (change,) = memory.tell(pairs(tmp_path)["calls"]).changes
    found = change.comparison.difference
    assert found.n == 200
    assert found.difference.value == pytest.approx(0.4)
    assert found.difference.low is not None
    assert found.difference.low > 0
    assert (change.improved, change.worsened, change.verdict) == (80, 0, "better")
    assert found.mde is not None
    assert memory.tell(pairs(tmp_path)["calls"]).changes[0] is change


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [(HALF, MORE, "worse"), (MORE, HALF, "better"), (HALF, HALF[1:] + [1.0], "not shown")],
)
def test_less_is_better_for_some_metrics(
    tmp_path: Path, before: list[float], after: list[float], verdict: str
) -> None:
    run(tmp_path, "before", before, metric="meta_language_rate")
    run(tmp_path, "after", after, metric="meta_language_rate", is_base=False)
    (change,) = BeforeAfter().tell(pairs(tmp_path)["calls"]).changes
    assert change.is_lower_better
    assert change.verdict == verdict
    worse = sum(b > a for a, b in zip(before, after, strict=True))
    assert change.worsened == worse


def test_runs_that_can_not_be_read_say_so(tmp_path: Path) -> None:
    run(tmp_path, "before", HALF)
    run(tmp_path, "after", MORE, is_base=False)
    found = pairs(tmp_path)["calls"]
    (tmp_path / "evals" / "after" / "grades.jsonl").write_text("{\n", encoding="utf-8")
    told = BeforeAfter().tell(found)
    assert told.changes == ()
    assert told.error
