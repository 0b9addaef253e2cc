"""What a summary says: estimates, bounds, status, costs and speed, by hand-worked cases."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.messages import GenerationParams
from evals.grade_stage import Graded
from evals.grading_wire import GradingFailure
from evals.manifest import Key
from evals.run_rows import Row
from evals.sample import Grade, Score
from evals.summary import busy_s, is_valid, summarise
from evals.task import Floor, Task
from evals.totals import bounds_of, estimate_of
from tests.evals.test_run_files import MANIFEST, row


def task(*metrics: str) -> Task:
    return Task(
        name="tables",
        description="",
        dataset=Path("tables.jsonl"),
        system="",
        scorer="gsm8k",
        arguments={},
        metrics=metrics,
        params=GenerationParams(),
        floor=Floor(("7",), 0.1),
    )


def grade(name: str, group: str = "", **values) -> Grade:
    marks = {key: value for key, value in values.items() if isinstance(value, float)}
    rest = {key: value for key, value in values.items() if not isinstance(value, float)}
    return Grade(name, group or name, Score(marks, **rest))


def planned(count: int):
    return replace(MANIFEST, items=tuple(map(str, range(count))), repeats=1, plan=None, mode="free")


def summary_of(right: int, wrong: int, missing: int, ending: str | None = None, **changes) -> dict:
    marks = [1.0] * right + [0.0] * wrong
    grades = tuple(grade(str(n), m=mark) for n, mark in enumerate(marks))
    rows = {Key(each.id, 0): row(each.id) for each in grades}
    manifest = planned(right + wrong + missing)
    return summarise(manifest, task("m"), rows | changes, Graded(grades, {}), ending=ending)


def test_missing_answers_are_bounded_and_more_than_one_in_a_hundred_is_invalid():
    one = summary_of(60, 39, 1)
    assert (one["status"], one["n"], one["missing"]) == ("completed", 100, 1)
    assert one["metrics"]["m"]["value"] == pytest.approx(60 / 99)
    assert one["bounds"]["m"] == [0.60, 0.61]
    assert one["missing_by"] == {"not_asked": 1}
    two = summary_of(60, 38, 2)
    assert (two["status"], is_valid(two)) == ("invalid", False)
    assert two["bounds"]["m"] == [0.60, 0.62]
    assert summary_of(60, 40, 0)["bounds"] is None


def test_an_ending_by_a_person_is_no_invalid_run_and_one_by_the_server_is():
    stopped = summary_of(5, 5, 90, "stopped")
    assert (stopped["status"], stopped["reason"]) == ("stopped", None)
    gone = summary_of(5, 5, 90, "'far' is out of reach")
    assert (gone["status"], gone["reason"]) == ("invalid", "'far' is out of reach")
    assert summary_of(50, 50, 0, "stopped")["status"] == "completed"


def test_answers_that_no_scorer_could_judge_are_missing():
    rows = {Key(str(n), 0): row(str(n)) for n in range(4)}
    grades = tuple(grade(str(n), m=1.0) for n in range(3))
    failure = GradingFailure("timeout", "took more than 10 s")
    found = summarise(planned(4), task("m"), rows, Graded(grades, {Key("3", 0): failure}))
    assert (found["status"], found["missing_by"]) == ("invalid", {"ungraded": 1})
    assert found["ungraded"][0]["reason"] == "timeout"


def test_failures_are_counted_by_label_the_commonest_first():
    labels = ["b", "a", "a", None]
    grades = tuple(grade(str(n), m=0.0, failure=label) for n, label in enumerate(labels))
    rows = {Key(each.id, 0): row(each.id) for each in grades}
    found = summarise(planned(4), task("m"), rows, Graded(grades, {}))
    assert list(found["failures"].items()) == [("a", 2), ("b", 1)]


def timed(name: str, began: float, ended: float, **changes) -> Row:
    usage = {"input_tokens": 5, "output_tokens": 10}
    return row(name, began=began, ended=ended, usage=usage, **changes)


def test_time_counts_once_where_requests_overlap_and_pauses_do_not_count():
    rows = [timed("0", 0, 4), timed("1", 1, 3), timed("2", 3, 6), timed("3", 100, 102)]
    assert busy_s(rows) == 8
    assert busy_s(rows[::-1]) == 8
    assert busy_s([]) == 0


def test_speed_leaves_out_loading_and_what_the_cache_gave():
    loading = {"load_s": 3.0}
    rows = [
        timed("0", 0.0, 4.0, timings=loading),
        timed("1", 0.0, 5.0, timings=loading),
        timed("2", 5.0, 5.5, cache="hit"),
    ]
    grades = tuple(grade(each.id, m=1.0) for each in rows)
    by_key = {each.key: each for each in rows}
    found = summarise(planned(3), task("m"), by_key, Graded(grades, {}))
    assert found["tokens_per_s"] == 20 / 2
    assert (found["output_tokens"], found["wall_s"]) == (30, 5.5)


def test_a_cost_that_is_not_known_of_one_answer_is_not_known_of_all():
    def costs(*pairs: tuple[float | None, float | None]) -> tuple:
        rows = [
            row(str(n), cost_usd=spent, full_cost_usd=full) for n, (spent, full) in enumerate(pairs)
        ]
        by_key = {each.key: each for each in rows}
        grades = tuple(grade(each.id, m=1.0) for each in rows)
        found = summarise(planned(len(rows)), task("m"), by_key, Graded(grades, {}))
        return found["spent_usd"], found["cost_usd"]

    assert costs((1.0, 1.0), (0.0, 2.0)) == (1.0, 3.0)
    assert costs((1.0, 1.0), (None, None)) == (None, None)


def test_a_metric_that_applies_to_some_samples_is_of_those():
    grades = [grade("0", a=1.0, b=0.0), grade("1", a=0.0), grade("2", a=1.0)]
    assert estimate_of("a", grades).n == 3
    assert (estimate_of("b", grades).value, estimate_of("b", grades).n) == (0.0, 1)
    assert estimate_of("c", grades) is None


def test_field_f1_is_micro_averaged_and_its_bounds_hold():
    counts = [
        {"hits": 3, "extra": 1, "missing": 0},
        {"hits": 1, "extra": 0, "missing": 3},
    ]
    grades = [
        Grade(str(n), str(n), Score({"field_f1": 0.5}, counts=c)) for n, c in enumerate(counts)
    ]
    assert estimate_of("field_f1", grades).value == pytest.approx(2 * 4 / (2 * 4 + 1 + 3))
    assert estimate_of("field_precision", grades).value == 4 / 5
    assert estimate_of("field_recall", grades).value == 4 / 7
    low, high = bounds_of("field_f1", grades[:1], 1)
    assert low <= estimate_of("field_f1", grades).value <= high
    assert estimate_of("field_f1", grades, repaired=True) is None


def test_repaired_counts_make_the_repaired_ratio():
    counts = {"hits": 0, "extra": 0, "missing": 4}
    repaired = {"repaired_hits": 4, "repaired_extra": 0, "repaired_missing": 0}
    grades = [Grade(str(n), str(n), Score({}, counts={**counts, **repaired})) for n in range(3)]
    assert estimate_of("field_f1", grades).value == 0.0
    assert estimate_of("field_f1", grades, repaired=True).value == 1.0


def test_repaired_marks_stand_for_raw_ones_where_there_are_some():
    grades = [grade("0", m=0.0, repaired={"m": 1.0}), grade("1", m=1.0), grade("2", m=0.0)]
    assert estimate_of("m", grades, repaired=True).value == pytest.approx(2 / 3)
    assert estimate_of("m", grades[1:], repaired=True) is None


def test_calibration_error_of_three_answers():
    said = [(0.95, 1.0), (0.95, 0.0), (0.15, 0.0)]
    grades = [
        Grade(str(n), str(n), Score({"routing_accuracy": right}, counts={"confidence": confidence}))
        for n, (confidence, right) in enumerate(said)
    ]
    found = estimate_of("expected_calibration_error", grades)
    assert found.value == pytest.approx(2 / 3 * 0.45 + 1 / 3 * 0.15)
    low, high = bounds_of("expected_calibration_error", grades, 1)
    assert 0.0 <= low <= found.value <= high <= 1.0


def test_groups_widen_the_interval():
    alone = [grade(str(n), m=float(n % 4 < 2)) for n in range(80)]
    shared = [grade(str(n), f"g{n // 8}", m=float(n // 8 % 2)) for n in range(80)]
    narrow, wide = estimate_of("m", alone), estimate_of("m", shared)
    assert narrow.value == wide.value == 0.5
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
