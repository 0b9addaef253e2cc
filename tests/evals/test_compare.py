"""Comparisons of score files: the numbers, and what is refused."""

import csv
import json
from pathlib import Path

import pytest
from scipy.stats import ttest_1samp
from statsmodels.stats.contingency_tables import mcnemar

from core.errors import InputError, NotFoundError
from evals.compare import (
    IncomparableError,
    ScoredRow,
    Scores,
    compare,
    compare_files,
    read_scores,
)
from evals.comparison_text import comparison_text
from tests.evals.compared_runs import MARKS_A, MARKS_B


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


def test_the_text_shows_effect_and_slices_and_no_control_character() -> None:
    rows = [
        tuple(
            ScoredRow(f"q{k}", mark, None, "\x1b[2Jlong" if k < 15 else f"s{k}") for k, mark in each
        )
        for each in (enumerate(MARKS_A), enumerate(MARKS_B))
    ]
    found = compare(*(Scores(name, "score", side) for name, side in zip("AB", rows, strict=True)))
    lines = comparison_text(found).splitlines()
    assert found.difference.effect is not None
    assert f"effect {found.difference.effect:+.2f} standard deviations" in lines[2]
    sliced = lines[lines.index("") + 1 :]
    assert sliced[0].split() == ["slice", "items", "difference", "p", "(Holm)", "fixed", "broken"]
    assert sliced[1].split()[:2] == ["[2Jlong", "15"]
    assert [line.split()[1:] for line in sliced[2:]] == [["1", "too", "few", "items"]] * 5
    assert "\x1b" not in comparison_text(found)


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
    with pytest.raises(IncomparableError, match="item 'q2' has group 'g1' in A and 'g0' in B"):
        compare(side("A", MARKS_A, group_of=2), side("B", MARKS_B, group_of=3))


def test_items_of_one_side_only_are_counted_and_refused() -> None:
    a, b = side("A", [1.0] * 5), side("B", [1.0] * 3)
    with pytest.raises(IncomparableError, match="2 of 'A' are missing in 'B', and 0 the other"):
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
        ({"score": 1}, "line 2: 'id' must be a number or a text that is not empty, got nothing"),
        ({"id": True, "score": 1}, "line 2: 'id' must be a text or a whole number, got True"),
        ({"id": "b"}, "line 2: 'score' must be .* a number from -1e.15 to 1e.15, got nothing"),
        ({"id": "b", "score": "1"}, "line 2: 'score' must be .* to 1e.15, got '1'"),
        ({"id": "b", "score": 2e15}, "line 2: 'score' must be .* to 1e.15, got 2000000"),
        ('{"id": "b", "score": NaN}', "line 2: not JSON"),
        ('{"id": "b", "score": 1e999}', "line 2: not JSON"),
        ('{"id": "b", "score": ' + "9" * 5_000 + "}", "line 2: not JSON"),
        ("[" * 100_000, "line 2: not JSON"),
        ({"id": "b", "score": 1, "group": 3.5}, "line 2: 'group' must be a text or a whole number"),
        ({"id": "a", "score": 1}, "line 2: id 'a' is on line 1 already"),
    ],
)
def test_a_line_that_is_no_score_is_named(tmp_path: Path, line: object, said: str) -> None:
    path = write(tmp_path / "a.jsonl", {"id": "a", "score": 1}, line)
    with pytest.raises(InputError, match=said) as caught:
        read_scores(path)
    assert len(str(caught.value)) < 300


def test_numbers_name_items_and_groups_and_true_is_one(tmp_path: Path) -> None:
    rows = [{"id": k, "score": k % 3 == 0, "group": k // 4} for k in range(12)]
    as_texts = [{"id": str(k), "score": 1.0, "group": str(k // 4)} for k in range(12)]
    found = compare_files(write(tmp_path / "a", *rows), write(tmp_path / "b", *as_texts))
    assert (found.difference.mean_a, found.difference.mean_b) == pytest.approx((1 / 3, 1))
    assert (found.difference.groups, found.fixed[0]) == (3, "1")


def test_scores_of_no_known_range_are_tested_without_one(tmp_path: Path) -> None:
    a = scored(tmp_path / "a", {f"q{k}": 1 + k % 7 for k in range(12)})
    b = scored(tmp_path / "b", {f"q{k}": 1 + k % 7 + (k % 5) * 2 for k in range(12)})
    found = compare_files(a, b).difference
    theirs = ttest_1samp([(k % 5) * 2 for k in range(12)], 0)
    assert found.p_value == pytest.approx(theirs.pvalue)
    interval = theirs.confidence_interval()
    assert (found.difference.low, found.difference.high) == pytest.approx(interval)
    assert found.mde is not None
    assert found.mde > 1
    flat = compare_files(a, scored(tmp_path / "c", {f"q{k}": 4 + k % 7 for k in range(12)}))
    assert (flat.difference.difference.value, flat.difference.difference.low) == (3.0, None)
    assert (flat.difference.p_value, flat.difference.mde) == (pytest.approx(2 / 2**12), None)


def test_files_without_scores_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no scores"):
        read_scores(write(tmp_path / "a.jsonl", ""))
    with pytest.raises(NotFoundError):
        read_scores(tmp_path / "missing.jsonl")
