"""Comparisons of runs: the numbers, what must be alike, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError, StorageError
from evals.compare import IncomparableError, compare_runs
from evals.run_files import RunFolder
from evals.sample import Grade, Score
from evals.totals import estimate_of
from tests.evals.compared_runs import MANIFEST, MARKS_A, MARKS_B, save


def test_two_runs_are_compared_by_the_primary_metric(tmp_path: Path) -> None:
    a = save(tmp_path, MARKS_A, "run-a")
    b = save(tmp_path, MARKS_B, "run-b", model_digest="sha256:understudy")
    found = compare_runs(a, b)
    assert (found.a, found.b, found.metric, found.note) == ("run-a", "run-b", "gsm8k", None)
    assert (found.difference.fixed, found.difference.broken, found.difference.n) == (5, 1, 20)
    assert compare_runs(a, b, "length").difference.difference.value == 0.0


def test_repeats_are_averaged_per_item(tmp_path: Path) -> None:
    a = save(tmp_path, [], "run-a", repeats=2, grades=[[1.0] * 20, [0.0] * 20])
    b = save(tmp_path, [], "run-b", repeats=2, grades=[[1.0] * 20, [1.0] * 10 + [0.0] * 10])
    found = compare_runs(a, b).difference
    assert (found.n, found.groups, found.mean_a, found.mean_b) == (20, 20, 0.5, 0.75)
    assert found.method == "paired_t_bca"


def test_runs_of_the_same_weights_are_said_to_be_so(tmp_path: Path) -> None:
    found = compare_runs(save(tmp_path, MARKS_A, "run-a"), save(tmp_path, MARKS_B, "run-b"))
    assert found.note is not None
    assert "same weights" in found.note


def test_models_that_were_asked_otherwise_are_refused_and_one_model_says_so(
    tmp_path: Path,
) -> None:
    short, long = {"params": {"max_tokens": 16, "seed": 1}}, {"params": {"max_tokens": 64}}
    a = save(tmp_path, MARKS_A, "run-a", **short)
    other = save(tmp_path, MARKS_B, "run-b", model_digest="sha256:understudy", **long)
    with pytest.raises(IncomparableError, match="max_tokens 16 and 64; run both with the same"):
        compare_runs(a, other)
    repeated = {"model_digest": "sha256:understudy", "repeats": 2, "grades": [MARKS_B, MARKS_B]}
    with pytest.raises(IncomparableError, match="not asked alike: repeats 1 and 2"):
        compare_runs(a, save(tmp_path, [], "run-c", **short, **repeated))
    note = compare_runs(a, save(tmp_path, MARKS_B, "run-d", **long)).note
    assert note == "both runs are of the same weights: what is compared is max_tokens 16 and 64"


def test_other_precisions_are_named(tmp_path: Path) -> None:
    a = save(tmp_path, MARKS_A, "run-a", precision="nf4")
    for run, digest, said in (("b", "lead", "same weights: what is"), ("c", "x", "besides the")):
        b = save(tmp_path, MARKS_B, run, precision="fp32", model_digest=f"sha256:{digest}")
        note = compare_runs(a, b).note
        assert note is not None
        assert said in note
        assert "precision nf4 and fp32" in note


def test_a_ratio_of_counts_is_compared_as_the_summary_has_it(tmp_path: Path) -> None:
    """B is better on short items, and far worse on the few long ones: mean and ratio disagree."""
    sides = []
    for run, hits in (("a", [1, 30]), ("b", [2, 18])):
        folder = save(tmp_path, [], run, model_digest=f"sha256:{run}", grades=[])
        grades = [
            Grade(f"q{k}", f"q{k}", Score({"field_f1": h / of}, counts=fields(h, of)))
            for k in range(20)
            for h, of in [(hits[k % 5 == 0], 40 if k % 5 == 0 else 2)]
        ]
        folder.write_grades(grades)
        sides.append((folder, estimate_of("field_f1", grades)))
    found = compare_runs(sides[0][0], sides[1][0], "field_f1")
    about = found.difference
    assert [about.mean_a, about.mean_b] == [side[1].value for side in sides]
    assert (about.method, about.fixed, about.broken) == ("ratio_t", 16, 4)
    assert about.difference.value == pytest.approx((16 * 2 + 4 * 18 - 16 - 4 * 30) / (32 + 160))
    low, high = about.difference.low, about.difference.high
    assert low is not None
    assert high is not None
    assert low < about.difference.value < high < 1


def fields(hits: int, of: int) -> dict[str, float]:
    return {"hits": hits, "extra": of - hits, "missing": of - hits}


def test_an_item_that_lacks_some_repeats_is_counted_and_bounded(tmp_path: Path) -> None:
    marks = [[1.0] * 20, [1.0] * 19]
    a = save(tmp_path, [], "run-a", repeats=2, grades=[[1.0] * 20, [1.0] * 20])
    b = save(tmp_path, [], "run-b", repeats=2, grades=marks, model_digest="sha256:b")
    found = compare_runs(a, b)
    assert (found.difference.n, found.missing_a, found.missing_b) == (20, 0, 1)
    assert found.bounds == pytest.approx((-0.5 / 20, 0.0))


def test_a_completed_run_may_lack_an_item(tmp_path: Path) -> None:
    a = save(tmp_path, MARKS_A, "run-a")
    b = save(tmp_path, MARKS_B[:-1], "run-b")
    found = compare_runs(a, b)
    assert (found.difference.n, found.missing_a, found.missing_b) == (19, 0, 1)
    assert found.bounds == pytest.approx((0.2, 0.25))


@pytest.mark.parametrize("status", ["invalid", "stopped"])
def test_a_run_without_a_valid_result_is_refused(tmp_path: Path, status: str) -> None:
    a = save(tmp_path, MARKS_A, "run-a")
    b = save(tmp_path, MARKS_B, "run-b", summary={"status": status})
    with pytest.raises(IncomparableError, match=f"run 'run-b' is {status}, .* --resume run-b"):
        compare_runs(a, b)


def test_a_run_that_died_is_refused(tmp_path: Path) -> None:
    a, b = save(tmp_path, MARKS_A, "run-a"), save(tmp_path, MARKS_B, "run-b")
    b.clear_summary()
    with pytest.raises(IncomparableError, match="run 'run-b' is interrupted"):
        compare_runs(a, b)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"task": "arc"}, "another task than"),
        ({"task_digest": "sha256:new"}, "another version of the task"),
        ({"data_digest": "sha256:new"}, "other items than"),
        ({"grader_version": "2"}, "another version of the grader than 'run-a': grader_version"),
        ({"items": MANIFEST.items[:10]}, "10 items of 'run-a' were not planned in 'run-b', and 0"),
    ],
)
def test_runs_of_different_things_are_refused(
    tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    a, b = save(tmp_path, MARKS_A, "run-a"), save(tmp_path, MARKS_B[:10], "run-b", **other)
    with pytest.raises(IncomparableError, match=said):
        compare_runs(a, b)


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    a = save(tmp_path, MARKS_A, "run-a")
    with pytest.raises(InputError, match="'run-a' is both runs"):
        compare_runs(a, RunFolder(tmp_path / "evals" / ".." / "evals" / "run-a"))


def test_a_metric_without_marks_is_refused_with_those_there_are(tmp_path: Path) -> None:
    a, b = save(tmp_path, MARKS_A, "run-a"), save(tmp_path, MARKS_B, "run-b")
    with pytest.raises(InputError, match="a mark of 'bleu'; choose one of: gsm8k, length"):
        compare_runs(a, b, "bleu")


def test_damaged_grades_are_no_scores(tmp_path: Path) -> None:
    a, b = save(tmp_path, MARKS_A, "run-a"), save(tmp_path, MARKS_B, "run-b")
    path = b.path / "grades.jsonl"
    path.write_text(path.read_text().replace('"gsm8k": 1.0', '"gsm8k": "1.0"', 1))
    with pytest.raises(StorageError, match="grades of run 'run-b' are damaged"):
        compare_runs(a, b)
