import csv
import io
import json
from math import isclose
from pathlib import Path

import pytest

from core.errors import InputError, NotFoundError, StorageError
from evals.leaderboard import board_to_dict, cells_of, leaderboard, make_board, widened, wilson
from evals.leaderboard_items import PAGE, ItemFilter, ItemReader
from evals.leaderboard_pareto import pareto
from evals.leaderboard_runs import RunIndex
from evals.leaderboard_text import board_csv, board_table
from evals.sample import Estimate
from evals.stats import intervals
from tests.evals.leaderboard_home import BEGAN, write_home, write_run


def share(right: int, of: int) -> list[float | None]:
    """Return marks of which so many are 1.0."""
    return [1.0] * right + [0.0] * (of - right)


def board_of(home: Path):
    return make_board(*RunIndex(home).all())


def csv_of(home: Path) -> str:
    board = board_of(home)
    return board_csv(board, [cell for c in board.columns for cell in cells_of(board, c.task)])


def ranks(home: Path, task: str = "calls") -> dict[str, tuple[int | None, int | None, int | None]]:
    cells = cells_of(board_of(home), task)
    return {cell.run.model.name: (cell.rank, cell.rank_worst, cell.group) for cell in cells}


def test_models_that_intervals_do_not_separate_share_the_best_rank(tmp_path: Path) -> None:
    write_run(tmp_path, "a", model="a", marks=share(95, 100))
    write_run(tmp_path, "b", model="b", marks=share(90, 100))
    write_run(tmp_path, "c", model="c", marks=share(40, 100))
    # Three models: level 1 - 0.05 / 3. a 0.869 to 0.982, b 0.805 to 0.951, c 0.291 to 0.520.
    assert ranks(tmp_path) == {"a": (1, 2, 1), "b": (1, 2, 1), "c": (3, 3, 2)}


def test_the_more_models_the_wider_the_joint_intervals() -> None:
    low, high = wilson(0.9, 200, 1.959963984540054)
    alone, many = (widened(Estimate(0.9, low, high, 200), n) for n in (1, 20))
    assert alone == pytest.approx((low, high))
    assert many == pytest.approx(wilson(0.9, 200, 3.023341439739154))  # Level 1 - 0.05 / 20.
    # An interval that is not Wilson's: its arms grow by 3.0233 / 1.9600.
    assert widened(Estimate(0.5, 0.4, 0.7, 50), 20) == pytest.approx((0.345746, 0.808508), abs=1e-5)
    assert widened(Estimate(0.5, None, None, 1), 2) == (float("-inf"), float("inf"))


def test_our_wilson_is_the_one_that_runs_use() -> None:
    for successes, n in ((0, 10), (7, 10), (10, 10), (333, 2000)):
        ours = wilson(successes / n, n, 1.959963984540054)
        assert ours == pytest.approx(intervals.wilson(successes / n, n), abs=1e-12)


def test_less_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    for name, bad in (("a", 2), ("b", 80)):
        write_run(tmp_path, name, model=name, marks=share(bad, 100), metric="meta_language_rate")
    assert ranks(tmp_path) == {"a": (1, 1, 1), "b": (2, 2, 2)}


def test_a_model_without_an_interval_can_have_any_rank(tmp_path: Path) -> None:
    write_run(tmp_path, "a", model="a", marks=share(95, 100))
    metrics = {"tool_call_strict": {"value": 0.1, "low": None, "high": None, "n": 100}}
    write_run(tmp_path, "b", model="b", marks=share(10, 100), changes={"metrics": metrics})
    assert ranks(tmp_path) == {"a": (1, 2, 1), "b": (1, 2, 1)}


def test_an_invalid_run_has_bounds_and_no_rank(tmp_path: Path) -> None:
    write_run(tmp_path, "good", model="a", marks=share(50, 100))
    marks = [None] * 40 + share(60, 60)
    write_run(tmp_path, "dead", model="b", marks=marks, status="invalid")
    write_run(tmp_path, "none", model="c", marks=[None] * 100, status="invalid")
    assert ranks(tmp_path) == {
        "a": (1, 1, 1), "b": (None, None, None), "c": (None, None, None)
    }  # fmt: skip
    found = {m["model"]: m for m in leaderboard(tmp_path)["tasks"][0]["models"]}
    assert found["b"]["score"] is None
    assert found["b"]["bounds"] == [0.6, 1.0]
    assert found["c"]["bounds"] == [0.0, 1.0]
    assert "INVALID 0.600 to 1.000" in board_table(board_of(tmp_path))
    row = next(r for r in csv.DictReader(io.StringIO(csv_of(tmp_path))) if r["model"] == "b")
    assert (row["score"], row["rank"], row["bound_low"], row["status"]) == (
        "",
        "",
        "0.6",
        "invalid",
    )


def test_the_newest_completed_run_counts_and_a_later_failure_is_named(tmp_path: Path) -> None:
    write_run(tmp_path, "run-1", marks=share(10, 20), finished=BEGAN)
    write_run(tmp_path, "run-2", marks=share(15, 20), finished=BEGAN + 1)
    write_run(tmp_path, "run-3", marks=[None] * 20, status="invalid", finished=BEGAN + 2)
    (cell,) = cells_of(board_of(tmp_path), "calls")
    assert cell.run.run == "run-2"
    assert cell.newer is not None
    assert cell.newer.run == "run-3"


def test_other_weights_of_the_same_name_are_another_row(tmp_path: Path) -> None:
    write_run(tmp_path, "run-1", marks=share(10, 20))
    write_run(tmp_path, "run-2", marks=share(15, 20), changes={"adapter_digest": "sha256:new"})
    cells = cells_of(board_of(tmp_path), "calls")
    assert [cell.run.run for cell in cells] == ["run-2", "run-1"]
    assert len({cell.run.model.id for cell in cells}) == 2


def test_another_precision_or_device_is_another_row_and_is_told(tmp_path: Path) -> None:
    for n, (precision, device) in enumerate((("fp32", "cpu"), ("nf4", "cuda"), ("fp32", "cuda"))):
        ran = {"precision": precision, "device": device}
        write_run(tmp_path, f"r{n}", finished=BEGAN + n, manifest_changes=ran)
    cells = cells_of(board_of(tmp_path), "calls")
    assert {cell.run.model.ran_as for cell in cells} == {
        "fp32 on cpu", "nf4 on cuda", "fp32 on cuda"
    }  # fmt: skip
    assert len({cell.run.model.id for cell in cells}) == 3
    assert "nf4 on cuda" in board_table(board_of(tmp_path))
    rows = list(csv.DictReader(io.StringIO(csv_of(tmp_path))))
    assert {(row["precision"], row["device"]) for row in rows} == {
        ("fp32", "cpu"), ("nf4", "cuda"), ("fp32", "cuda")
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"changes": {"data_digest": "sha256:other"}},
        {"changes": {"task_digest": "sha256:other"}},
        {"changes": {"grader_version": "4"}},
        {"manifest_changes": {"params": {"temperature": 1.0}}},
        {"manifest_changes": {"repeats": 2}},
    ],
)
def test_what_was_measured_otherwise_is_another_version_and_never_mixed(
    tmp_path: Path, change: dict
) -> None:
    write_run(tmp_path, "old", model="a", marks=share(10, 20), finished=BEGAN)
    write_run(tmp_path, "new", model="b", marks=share(5, 20), finished=BEGAN + 1, **change)
    board = board_of(tmp_path)
    (column,) = board.columns
    assert len(column.versions) == 2
    assert [cell.run.run for cell in cells_of(board, "calls")] == ["new"]
    other = next(v for v in column.versions if v != column.version)
    chosen = make_board(*RunIndex(tmp_path).all(), {"calls": other.id})
    assert [cell.run.run for cell in cells_of(chosen, "calls")] == ["old"]


def test_a_newer_run_on_fewer_items_does_not_take_the_column(tmp_path: Path) -> None:
    write_run(tmp_path, "whole", marks=share(50, 100), finished=BEGAN)
    write_run(tmp_path, "trial", marks=share(5, 5), finished=BEGAN + 9)
    (cell,) = cells_of(board_of(tmp_path), "calls")
    assert cell.run.run == "whole"


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"run": 3}', '{"status": "completed"}', "[" * 100_000, "\ud800"],
)
def test_a_damaged_run_is_listed_and_harms_no_other(tmp_path: Path, content: str) -> None:
    write_run(tmp_path, "good", marks=share(5, 10))
    folder = write_run(tmp_path, "bad", marks=share(5, 10))
    (folder / "summary.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    found = leaderboard(tmp_path)
    assert [run["run"] for run in found["damaged"]] == ["bad"]
    assert [m["run"] for m in found["tasks"][0]["models"]] == ["good"]
    with pytest.raises(StorageError, match="bad"):
        RunIndex(tmp_path).get("bad")


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": 5}, {"metrics": {"x": 3}}, {"n": -1}, {"n": True}, {"status": "great"},
        {"model": None}, {"bounds": {"x": [1]}}, {"finished_at": "yesterday"},
        {"cost_usd": "free"}, {"metrics": {"x": {"value": "0.5", "n": 2}}},
    ],
)  # fmt: skip
def test_a_summary_of_the_wrong_shape_is_damaged(tmp_path: Path, change: dict) -> None:
    write_run(tmp_path, "bad", marks=share(5, 10), changes=change)
    board = board_of(tmp_path)
    assert [run.run for run in board.damaged] == ["bad"]
    assert board.columns == ()


def test_a_run_whose_process_died_is_interrupted(tmp_path: Path) -> None:
    write_run(tmp_path, "dead", marks=[None] * 5, status="running")
    runs, _ = RunIndex(tmp_path).all()
    assert [run.status for run in runs] == ["interrupted"]


def test_no_home_is_an_empty_board(tmp_path: Path) -> None:
    assert leaderboard(tmp_path / "nowhere") == {"tasks": [], "damaged": []}
    assert "python -m evals run" in board_table(board_of(tmp_path))


@pytest.mark.parametrize("name", ["../x", "", ".", "..", "a/b", "a\0b", "x" * 500, "nothing"])
def test_only_names_of_runs_are_looked_up(tmp_path: Path, name: str) -> None:
    write_run(tmp_path / "inner", "x")
    with pytest.raises(NotFoundError):
        RunIndex(tmp_path).get(name)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_of_the_csv_is_a_formula(tmp_path: Path, start: str) -> None:
    write_run(tmp_path, "run", model=f"{start}cmd|' /C calc'!A0", marks=share(5, 10))
    (row,) = csv.DictReader(io.StringIO(csv_of(tmp_path), newline=""))
    assert row["model"].startswith(f"'{start}")
    assert row["score"] == "0.5"


def test_a_name_does_not_break_out_of_its_cell_where_semicolons_part_them(tmp_path: Path) -> None:
    write_run(tmp_path, "run", model="x;=1+1", marks=share(5, 10))
    text = csv_of(tmp_path)
    assert '","x;\'=1+1","' in text
    for delimiter in ",;\t":
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            assert not any(cell.startswith("=") for cell in row)


def test_a_table_for_the_terminal_holds_no_control_characters(tmp_path: Path) -> None:
    write_run(tmp_path, "run", model="evil\x1b[2J\u202egpj", marks=share(5, 10))
    assert not set("\x1b\u202e") & set(board_table(board_of(tmp_path)))


def test_cost_is_per_thousand_answers_and_unknown_stays_unknown(tmp_path: Path) -> None:
    costs = {"cost_usd": 0.5, "tokens_per_s": 12.5}
    write_run(tmp_path, "a", model="a", marks=share(5, 10), changes=costs)
    write_run(tmp_path, "b", model="b", marks=share(9, 10))
    board = board_of(tmp_path)
    found = {m["model"]: m for m in board_to_dict(board)["tasks"][0]["models"]}
    assert found["a"]["cost_per_1000_usd"] == 50.0
    assert found["b"]["cost_per_1000_usd"] is None
    view = pareto(board, "calls", "cost")
    assert [(point.x, point.y) for point in view.points] == [(50.0, 0.5)]
    assert [cell.run.run for cell in view.unknown] == ["b"]


def test_the_front_is_what_no_other_model_beats(tmp_path: Path) -> None:
    # cost, right, speed of each; of 100 items.
    for name, cost, right, speed in (
        ("cheap", 1, 50, 90), ("dear", 9, 90, 10), ("worse", 5, 40, 50), ("same", 9, 90, 10)
    ):  # fmt: skip
        changes = {"cost_usd": float(cost), "tokens_per_s": float(speed)}
        write_run(tmp_path, name, model=name, marks=share(right, 100), changes=changes)
    board = board_of(tmp_path)
    for against in ("cost", "speed"):
        front = {p.cell.run.run for p in pareto(board, "calls", against).points if p.on_front}
        assert front == {"cheap", "dear", "same"}


def test_200_runs_of_2000_items_are_read_once(tmp_path: Path) -> None:
    write_home(tmp_path, models=20, tasks=10, items=2000)
    index = RunIndex(tmp_path)
    board = make_board(*index.all())
    assert len(board.cells) == 200
    assert index.memory.reads == 200
    index.all()
    assert index.memory.reads == 200
    path = tmp_path / "evals" / "run-000-00" / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "floor": 0.25}), encoding="utf-8")
    index.all()
    assert index.memory.reads == 201

    reader = ItemReader(lambda _: {})
    runs = [cell.run for cell in board.ranked("task-03")[:2]]
    found = reader.page(runs, ItemFilter(page=3))
    assert (len(found.items), found.pages, found.total) == (PAGE, 40, 2000)
    reader.page(runs, ItemFilter(failure="wrong_name"))
    assert reader.memory.reads == 2


def two_runs(home: Path):
    write_run(home, "a", model="a", marks=[1.0, 1.0, 0.0, 0.0, None])
    write_run(home, "b", model="b", marks=[1.0, 0.0, 1.0, 0.0, 1.0])
    index = RunIndex(home)
    return index.get("a"), index.get("b")


def test_two_models_item_by_item(tmp_path: Path) -> None:
    runs = two_runs(tmp_path)
    page = ItemReader(lambda _: {}).page(runs, ItemFilter())
    assert [item.outcome for item in page.items] == ["both", "only_a", "only_b", "none", "missing"]
    assert page.outcomes == {"both": 1, "only_a": 1, "only_b": 1, "none": 1, "missing": 1}
    last = page.items[-1].sides
    assert (last[0].answer.status, last[0].answer.error) == ("error", "connection refused")
    assert (last[1].mark.value, last[1].answer.text) == (1.0, "answer 4 of b")


def test_items_by_outcome_and_by_label(tmp_path: Path) -> None:
    runs, reader = two_runs(tmp_path), ItemReader(lambda _: {})
    only = reader.page(runs, ItemFilter(outcome="only_a"))
    assert [item.id for item in only.items] == ["calls-0001"]
    labelled = reader.page(runs, ItemFilter(failure="wrong_arguments"))
    assert [item.id for item in labelled.items] == ["calls-0001", "calls-0003"]
    assert labelled.failures == {"wrong_name": 1, "wrong_arguments": 1}
    assert reader.page(runs, ItemFilter(failure="nothing")).total == 0


def test_a_page_beyond_the_last_is_the_last(tmp_path: Path) -> None:
    write_run(tmp_path, "a", marks=share(10, 120))
    page = ItemReader(lambda _: {}).page([RunIndex(tmp_path).get("a")], ItemFilter(page=10**9))
    assert (page.page, page.pages, len(page.items)) == (3, 3, 20)


def test_runs_of_other_items_are_not_put_beside_each_other(tmp_path: Path) -> None:
    write_run(tmp_path, "a", marks=share(1, 2))
    write_run(tmp_path, "b", marks=share(1, 3))
    runs = [RunIndex(tmp_path).get(name) for name in "ab"]
    with pytest.raises(InputError, match="differ"):
        ItemReader(lambda _: {}).page(runs, ItemFilter())


def test_a_retried_answer_replaces_the_failed_one_and_torn_lines_are_passed_over(
    tmp_path: Path,
) -> None:
    folder = write_run(tmp_path, "a", marks=[1.0], texts={0: "half \ud800"})
    path = folder / "generations.jsonl"
    whole = path.read_text()
    failed = json.dumps({"id": "calls-0000", "repeat": 0, "status": "error", "text": ""})
    path.write_text(f"{failed}\n{whole}" + '{"id": "calls-0000", "rep', encoding="utf-8")
    page = ItemReader(lambda _: {}).page([RunIndex(tmp_path).get("a")], ItemFilter())
    assert page.items[0].sides[0].answer.text == "half \ud800"


def test_the_interval_of_a_share_is_inside_the_joint_one() -> None:
    low, high = wilson(1.0, 50, 1.959963984540054)
    joint = widened(Estimate(1.0, low, high, 50), 15)
    assert joint[0] < low
    assert isclose(joint[1], 1.0)
