import csv
import io
import json
from pathlib import Path
from urllib.parse import parse_qsl

import httpx
import pytest

from core.errors import InputError, NotFoundError
from core.settings import PROJECT
from evals.leaderboard import Board, make_board
from evals.leaderboard_items import ItemFilter, ItemReader
from evals.leaderboard_pareto import pareto
from evals.leaderboard_runs import RunIndex
from evals.leaderboard_text import board_csv
from tabs.leaderboard_markup import LeaderboardPages
from tabs.leaderboard_page import chosen_cells, models_of, shown_cells
from tabs.leaderboard_plots import forest_plot, pareto_plot, unknown_line
from tabs.leaderboard_view import View, checked, columns_of, page_of, text_of, view_of_link
from tabs.templates import MAX_SHOWN, clean, clipped
from tests.evals.leaderboard_home import BEGAN, write_run
from tests.tabs.conftest import Stage

pytestmark = [
    # Gradio's server leaves its event loop to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
BAD = "<img src=x onerror=alert(1)>"


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """Three models on one task, one of them also on another, and one invalid."""
    for n, (name, right) in enumerate((("good", 90), ("fair", 60), (BAD, 20))):
        changes = {"cost_usd": 0.1 * (3 - n)} if n else {"tokens_per_s": 50.0}
        marks = [1.0] * right + [0.0] * (100 - right)
        write_run(tmp_path, f"r{n}", model=name, marks=marks, changes=changes, finished=BEGAN + n)
    write_run(tmp_path, "other", model="good", task="sums", marks=[1.0, 0.0])
    write_run(tmp_path, "dead", model="dead", marks=[None] * 100, status="invalid")
    return make_board(*RunIndex(tmp_path).all())


def models(board: Board, view: View) -> list[str]:
    return [cell.run.model.name for cell in chosen_cells(board, view)]


def test_a_link_opens_the_view_that_made_it() -> None:
    view = View(
        task="calls", version="abc", search="a & b = ü", sort="cost", state="ranked",
        columns=("run",), axis="speed", model="m@1~12", against="n~34", outcome="only_a",
        failure="wrong name", page=7,
    )  # fmt: skip
    assert view_of_link(dict(parse_qsl(view.link()[1:]))) == view
    assert view_of_link(dict(parse_qsl(View(columns=()).link()[1:]))) == View(columns=())
    assert View().link() == "?leaderboard=all"


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "rm -rf"}, {"state": "x"}, {"columns": "rank,evil"}, {"axis": "x"},
        {"show": "x"}, {"at": "0"}, {"at": "-1"}, {"at": "1e3"}, {"at": "٣"}, {"q": "x" * 301},
        {"model": "x" * 9999},
    ],
)  # fmt: skip
def test_what_a_link_may_not_say_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(InputError):
        view_of_link({"leaderboard": "calls", **query})


@pytest.mark.parametrize("value", [None, 5, {"a": 1}, "rank"])
def test_columns_of_another_kind_are_none(value: object) -> None:
    assert columns_of(value) == ()


def test_values_of_another_kind_are_refused() -> None:
    for value in (5, ["a"], {"a": 1}, True):
        with pytest.raises(InputError):
            text_of(value)
    with pytest.raises(InputError):
        page_of([1])
    with pytest.raises(InputError):
        columns_of(["rank", {"x": 1}])


def test_names_are_looked_up_on_the_board(board: Board) -> None:
    good = next(model for model in board.models if model.name == "good")
    for view in (View(task="nothing"), View(task="calls", model="nobody"),
                 View(task="sums", model=f"{BAD}~0"),
                 View(task="calls", model=good.id, against="../../etc")):  # fmt: skip
        with pytest.raises(NotFoundError):
            checked(view, board)
    with pytest.raises(InputError, match="itself"):
        checked(View(task="calls", model=good.id, against=good.id), board)


def test_search_filter_and_order(board: Board) -> None:
    assert models(board, View(task="calls")) == ["good", "fair", BAD, "dead"]
    assert models(board, View(task="calls", search="FA r1")) == ["fair"]
    assert models(board, View(task="calls", state="ranked")) == ["good", "fair", BAD]
    assert models(board, View(task="calls", state="unranked")) == ["dead"]
    assert models(board, View(task="calls", sort="cost"))[:2] == [BAD, "fair"]
    assert models(board, View(task="calls", sort="speed"))[0] == "good"
    assert models(board, View(task="calls", sort="newest"))[0] == BAD
    rows = models_of(chosen_cells(board, View()), View())
    assert [key.name for key in rows] == ["good", "fair", BAD, "dead"]


def test_the_csv_holds_the_rows_that_are_shown_in_their_order(board: Board) -> None:
    def csv_models(view: View) -> list[str]:
        lines = csv.DictReader(io.StringIO(board_csv(board, shown_cells(board, view))))
        return [row["model"].removeprefix("'") for row in lines]

    assert csv_models(View(task="calls", search="FA r1")) == ["fair"]
    assert csv_models(View(task="calls", state="unranked")) == ["dead"]
    assert csv_models(View(task="calls", sort="cost"))[:2] == [BAD, "fair"]
    assert csv_models(View()) == ["good", "good", "fair", BAD, "dead"]
    assert csv_models(View(sort="newest"))[0] == BAD


def test_no_page_has_markup_of_others(board: Board, tmp_path: Path) -> None:
    pages = LeaderboardPages(PROJECT / "assets" / "pages")
    write_run(tmp_path, "evil", model=BAD, task=BAD, marks=[0.0], texts={0: f"{BAD}\x00\ud800"})
    found = make_board(*RunIndex(tmp_path).all())
    more = {"place": BAD, "is_admin": True, "first_model": BAD, "first_task": BAD}
    for view in (View(), View(task=BAD, columns=("run", "rank"))):
        cells = chosen_cells(found, view)
        rows = cells if view.task else models_of(cells, view)
        html = pages.board(found, view, rows, {**more, "shown": frozenset(cells)})
        assert "<img" not in html
        assert "&lt;img src=x" in html
    run = RunIndex(tmp_path).get("evil")
    page = ItemReader(lambda _: {}).page([run], ItemFilter())
    html = pages.items([run], page, View(task=BAD, model=run.model.id), BAD)
    assert "<img" not in html
    html.encode()


def test_long_and_odd_text_is_shown_for_what_it_is() -> None:
    assert clipped("x" * (MAX_SHOWN + 1_000_000)).endswith("\n... 1,000,000 more characters")
    assert clean("a\x00\x1b\u202e\ud800b\n\tc") == "a\ufffd\ufffd\ufffd?b\n\tc"


def test_plots_hold_intervals_and_leave_out_what_is_unknown(board: Board) -> None:
    forest = forest_plot(board, "calls")
    assert forest is not None
    figure = json.loads(forest.plot)
    trace = figure["data"][0]
    assert trace["x"] == [0.9, 0.6, 0.2]
    low = board.ranked("calls")[0].run.score.low
    assert trace["error_x"]["arrayminus"][0] == pytest.approx(0.9 - low)
    assert trace["y"][2] == "&lt;img src=x onerror=alert(1)&gt;"
    front = pareto_plot(board, "calls", "cost")
    assert front is not None
    assert len(json.loads(front.plot)["data"][-1]["x"]) == 2
    assert "good" in unknown_line(pareto(board, "calls", "cost"), "cost")
    assert pareto_plot(board, "sums", "cost") is None
    assert forest_plot(board, "nothing") is None


def call(stage: Stage, name: str, data: list[object]) -> str:
    """Call an event by plain HTTP; return what the server streams."""
    url = f"{stage.url}gradio_api/call/{name}"
    begun = httpx.post(url, json={"data": data}, timeout=60)
    return httpx.get(f"{url}/{begun.json()['event_id']}", timeout=60).text


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("eval_start", ["lead", "calls", ""]),
        ("eval_stop", []),
        ("eval_resume", []),
        ("eval_progress", []),
    ],
)
def test_a_visitor_starts_watches_stops_and_resumes_nothing(
    stage: Stage, name: str, data: list[object]
) -> None:
    home = stage.services.settings.home
    assert "event: error" in call(stage, name, data)
    assert not (home / "evals").exists()


def test_a_visitor_with_clicks_of_his_own_is_told_why(stage: Stage) -> None:
    config = httpx.get(f"{stage.url}config", timeout=60).json()
    for name in ("eval_stop", "eval_resume"):
        index = next(d["id"] for d in config["dependencies"] if d["api_name"] == name)
        body = {"data": [], "event_data": {"run": "../x"}, "fn_index": index, "session_hash": name}
        httpx.post(f"{stage.url}gradio_api/queue/join", json=body, timeout=60)
        url = f"{stage.url}gradio_api/queue/data?session_hash={name}"
        with httpx.stream("GET", url, timeout=60) as answer:
            done = next(line for line in answer.iter_lines() if "process_completed" in line)
        assert "only an administrator" in done.lower()


def test_every_event_of_the_tab_has_a_name(stage: Stage) -> None:
    config = httpx.get(f"{stage.url}config", timeout=60).json()
    names = [d["api_name"] for d in config["dependencies"]]
    assert all(names)
    assert len(set(names)) == len(names)
    assert {"leaderboard_load", "leaderboard_change", "leaderboard_csv"} <= set(names)
