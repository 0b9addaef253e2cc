"""Comparisons of score files and of runs: the numbers, and what is refused."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from statsmodels.stats.contingency_tables import mcnemar

from core.errors import InputError, NotFoundError, StorageError
from evals.compare import (
    IncomparableError,
    ScoredRow,
    Scores,
    compare,
    compare_files,
    compare_runs,
    read_scores,
)
from evals.manifest import Manifest
from evals.run_files import RunFolder, create_run
from evals.sample import Grade, Score

MANIFEST = Manifest(
    run="run-a",
    task="gsm8k",
    task_digest="sha256:task",
    data_digest="sha256:rows",
    grader_version="1",
    model="lead",
    provider="local",
    model_digest="sha256:lead",
    adapter_digest=None,
    served="sha256:served",
    params={},
    repeats=1,
    items=tuple(f"q{k}" for k in range(20)),
    seed=0,
    mode="free",
    plan=None,
    uses_cache=True,
    created_at="2026-11-21T10:00:00+00:00",
    versions={},
    device="cpu",
    precision="float32",
)
MARKS_A = [1.0] * 10 + [0.0] * 10
MARKS_B = [1.0] * 9 + [0.0] + [1.0] * 5 + [0.0] * 5


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines))
    return path


def scored(path: Path, scores: dict[str, float], **groups: str) -> Path:
    rows = [{"id": key, "score": score, "group": groups.get(key)} for key, score in scores.items()]
    return write(path, *rows)


def side(name: str, marks: list[float], missing: int = 0, group_of: int = 0) -> Scores:
    rows = tuple(
        ScoredRow(f"q{k}", mark, f"g{k // group_of}" if group_of else None)
        for k, mark in enumerate(marks)
    )
    planned = frozenset(f"q{len(marks) + k}" for k in range(missing))
    return Scores(name, "score", rows, planned)


def save(home: Path, marks: list[float], run: str, **other: Any) -> RunFolder:
    """Write a run; `summary` is laid over its summary, the rest over its manifest."""
    over = other.pop("summary", {})
    repeats = other.pop("grades", [marks])
    manifest = replace(MANIFEST, run=run, **other)
    folder = create_run(home, manifest)
    folder.write_grades(
        Grade(f"q{k}", f"q{k}", Score({"gsm8k": mark, "length": 0.5}), repeat)
        for repeat, listed in enumerate(repeats)
        for k, mark in enumerate(listed)
    )
    facts = manifest.to_dict()
    keys = ("run", "task", "task_digest", "data_digest", "grader_version")
    told = {"status": "completed", "primary": "gsm8k", **{key: facts[key] for key in keys}}
    folder.write_summary({**told, **over})
    return folder


def test_two_files_give_the_object_that_is_printed(tmp_path: Path) -> None:
    a = scored(tmp_path / "a.jsonl", {f"q{k}": mark for k, mark in enumerate(MARKS_A)})
    b = scored(tmp_path / "b.jsonl", {f"q{k}": mark for k, mark in enumerate(MARKS_B)})
    printed = json.loads(json.dumps(compare_files(a, b).to_dict()))
    assert (printed["a"], printed["b"], printed["metric"]) == (str(a), str(b), "score")
    assert (printed["n"], printed["method"]) == (20, "mcnemar_exact")
    assert printed["flipped"] == {"fixed": 5, "broken": 1}
    assert printed["discordant"] == {"fixed": [f"q{k}" for k in range(10, 15)], "broken": ["q9"]}
    assert printed["difference"]["value"] == pytest.approx(0.2)
    assert printed["difference"]["low"] < 0.2 < printed["difference"]["high"]
    assert printed["p_value"] == pytest.approx(14 / 64)  # 2 · (1 + 6) / 2⁶
    assert printed["scores"] == {"a": 0.5, "b": 0.7}
    assert 0 < printed["mde"] < 1
    assert printed["more_items"] == 32  # 7.849 · (.3 - .04) / .04 = 51.02, so 52, less 20
    assert (printed["slices"], printed["missing"]) == ([], {"a": 0, "b": 0})
    assert (printed["bounds"], printed["note"]) == (None, None)


def test_a_real_pair_of_models_by_subject(tmp_path: Path, public_data: Path) -> None:
    sides: tuple[list[object], list[object]] = ([], [])
    for path in sorted((public_data / "routellm").glob("mmlu_*.csv")):
        with path.open(encoding="utf-8", newline="") as handle:
            for k, row in enumerate(csv.DictReader(handle)):
                for rows, column in zip(sides, list(row.values())[1:3], strict=True):
                    score = int(column == "True")
                    rows.append({"id": f"{path.stem}-{k}", "score": score, "group": path.stem})
    files = [write(tmp_path / name, *rows) for name, rows in zip("ab", sides, strict=True)]
    found = compare_files(*files)
    assert (found.difference.method, found.difference.groups) == ("clustered_t", 15)
    assert len(found.slices) == 15
    assert sum(one.n for one in found.slices) == found.difference.n == len(sides[0])
    first = found.slices[0].difference
    assert first is not None
    table = [[0, first.fixed], [first.broken, 0]]
    assert first.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)


def test_shared_groups_make_slices_and_a_clustered_test() -> None:
    found = compare(side("A", MARKS_A, group_of=5), side("B", MARKS_B, group_of=5))
    assert found.difference.method == "clustered_t"
    assert [(one.label, one.n) for one in found.slices] == [(f"g{k}", 5) for k in range(4)]
    printed = found.to_dict()["slices"]
    assert isinstance(printed, list)
    assert {"slice", "n", "difference", "p_value", "p_holm", "flipped"} <= set(printed[0])


def test_labels_make_slices_of_independent_items() -> None:
    rows = tuple(ScoredRow(f"q{k}", k % 2, None, "long" if k < 6 else "short") for k in range(10))
    found = compare(Scores("A", "score", rows), Scores("B", "score", rows))
    assert [(one.label, one.n) for one in found.slices] == [("long", 6), ("short", 4)]
    assert found.difference.method == "mcnemar_exact"


def test_one_side_may_leave_groups_out() -> None:
    grouped, plain = side("A", MARKS_A, group_of=5), side("B", MARKS_B)
    assert compare(grouped, plain).difference.groups == 4
    assert compare(plain, grouped).difference.groups == 4


def test_a_group_named_like_another_items_id_is_not_that_item() -> None:
    rows = (ScoredRow("x", 1, "y"), ScoredRow("y", 0), ScoredRow("z", 1))
    assert compare(Scores("A", "m", rows), Scores("B", "m", rows)).difference.groups == 3


def test_other_groups_for_the_same_item_are_refused() -> None:
    with pytest.raises(InputError, match="item 'q2' has group 'g1' in A and 'g0' in B"):
        compare(side("A", MARKS_A, group_of=2), side("B", MARKS_B, group_of=3))


def test_items_of_one_side_only_are_counted_and_refused() -> None:
    a, b = side("A", [1.0] * 5), side("B", [1.0] * 3)
    with pytest.raises(InputError, match="2 of 'A' are missing in 'B', and 0 the other way"):
        compare(a, b)


def test_missing_scores_are_left_out_and_bounded() -> None:
    found = compare(side("A", [1.0, 0.0, 1.0]), side("B", [1.0, 1.0], missing=1))
    assert (found.difference.n, found.missing_a, found.missing_b) == (2, 0, 1)
    assert found.bounds == pytest.approx((0.0, 1 / 3))  # q2 falls from 1 to 0, or stays
    both = compare(side("A", [1.0, 1.0], missing=1), side("B", [1.0, 1.0], missing=1))
    assert both.bounds == pytest.approx((-1 / 3, 1 / 3))


def test_a_shown_difference_needs_no_more_items() -> None:
    assert compare(side("A", [0.0] * 12), side("B", [1.0] * 12)).more_items == 0
    assert compare(side("A", [1.0] * 12), side("B", [1.0] * 12)).more_items is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: not JSON"),
        ("3", "line 2: a row must be a JSON object"),
        ({"score": 1}, "line 2: 'id' must be a text that is not empty, got nothing"),
        ({"id": 7, "score": 1}, "line 2: 'id' must be a text that is not empty, got 7"),
        ({"id": "b"}, "line 2: 'score' must be a number from 0 to 1, got nothing"),
        ({"id": "b", "score": True}, "line 2: 'score' must be a number from 0 to 1, got True"),
        ({"id": "b", "score": "1"}, "line 2: 'score' must be a number from 0 to 1, got '1'"),
        ({"id": "b", "score": 1.5}, "line 2: 'score' must be a number from 0 to 1, got 1.5"),
        ('{"id": "b", "score": NaN}', "line 2: not JSON"),
        ('{"id": "b", "score": 1e999}', "line 2: not JSON"),
        ('{"id": "b", "score": ' + "9" * 5_000 + "}", "line 2: not JSON"),
        ("[" * 100_000, "line 2: not JSON"),
        ({"id": "b", "score": 1, "group": 3}, "line 2: 'group' must be a text or left out, got 3"),
        ({"id": "a", "score": 1}, "line 2: id 'a' is on line 1 already"),
    ],
)
def test_a_line_that_is_no_score_is_named(tmp_path: Path, line: object, said: str) -> None:
    path = write(tmp_path / "a.jsonl", {"id": "a", "score": 1}, line)
    with pytest.raises(InputError, match=said) as caught:
        read_scores(path)
    assert len(str(caught.value)) < 300


def test_files_without_scores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no scores"):
        read_scores(write(tmp_path / "a.jsonl", ""))
    with pytest.raises(NotFoundError):
        read_scores(tmp_path / "missing.jsonl")


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
