"""What of the leaderboard a page shows: one value, which links carry and the board checks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, get_args
from urllib.parse import urlencode

from core.errors import InputError, NotFoundError
from evals.leaderboard import Board, Cell, cells_of
from evals.leaderboard_items import OUTCOMES, Outcome
from evals.leaderboard_pareto import Against

Choice = TypeVar("Choice", bound=str)
ColumnName = Literal["rank", "interval", "answers", "floor", "cost", "speed", "run"]
COLUMNS: Mapping[str, ColumnName] = {
    "Rank": "rank",
    "95% interval": "interval",
    "Answers": "answers",
    "Floor": "floor",
    "Cost of 1,000": "cost",
    "Tokens/s": "speed",
    "Run": "run",
}
DEFAULT_COLUMNS: tuple[ColumnName, ...] = ("rank", "interval", "answers", "floor", "cost", "speed")
Sort = Literal["best", "name", "cost", "speed", "newest"]
SORTS: Mapping[str, Sort] = {
    "Best first": "best",
    "By name": "name",
    "Cheapest first": "cost",
    "Fastest first": "speed",
    "Newest first": "newest",
}
State = Literal["all", "ranked", "unranked"]
STATES: Mapping[str, State] = {
    "All runs": "all",
    "Ranked only": "ranked",
    "Not ranked (invalid, stopped)": "unranked",
}
AXES: Mapping[str, Against] = {"Cost of 1,000 answers": "cost", "Tokens per second": "speed"}
MAX_TEXT = 300
"""Characters of a parameter; no name here is longer."""


@dataclass(frozen=True, slots=True)
class View:
    """What is shown, as links and widgets say it; names are checked against the board."""

    task: str = ""
    """Empty: all tasks."""
    version: str = ""
    """Empty: the newest."""
    search: str = ""
    sort: Sort = "best"
    state: State = "all"
    columns: tuple[ColumnName, ...] = DEFAULT_COLUMNS
    axis: Against = "cost"
    model: str = ""
    """`ModelKey.id` of the opened cell; empty: none is open."""
    against: str = ""
    """`ModelKey.id` of the second model; empty: none."""
    outcome: Outcome | None = None
    failure: str = ""
    page: int = 1

    def link(self) -> str:
        """Return the address that opens this view, from `?` on."""
        found = {
            "leaderboard": self.task or "all",
            "version": self.version,
            "q": self.search,
            "sort": "" if self.sort == "best" else self.sort,
            "state": "" if self.state == "all" else self.state,
            "columns": "" if self.columns == DEFAULT_COLUMNS else ",".join(self.columns) or "none",
            "axis": "" if self.axis == "cost" else self.axis,
            "model": self.model,
            "against": self.against,
            "show": self.outcome or "",
            "failure": self.failure,
            "at": "" if self.page == 1 else str(self.page),  # Gradio takes `page` for itself.
        }
        kept = {name: value for name, value in found.items() if value}
        return f"?{urlencode(kept, errors='replace')}"

    def opened(self, task: str, model: str) -> "View":
        """Return the view with a cell open."""
        version = self.version if task == self.task else ""
        closed = self.closed()
        return replace(closed, task=task, version=version, model=model)

    def closed(self) -> "View":
        """Return the view with no cell open."""
        return replace(self, model="", against="", outcome=None, failure="", page=1)


def view_of_link(params: Mapping[str, str]) -> View:
    """Return the view that a link asks for; what it does not name keeps its default.

    Raises:
        InputError: a value is not one of those allowed.
    """
    columns = params.get("columns", "")
    names = () if columns == "none" else tuple(columns.split(",")) if columns else DEFAULT_COLUMNS
    task = text_of(params.get("leaderboard"))
    return View(
        task="" if task == "all" else task,
        version=text_of(params.get("version")),
        search=text_of(params.get("q")),
        sort=one_of(params.get("sort") or "best", get_args(Sort), "sort"),
        state=one_of(params.get("state") or "all", get_args(State), "state"),
        columns=columns_of(names),
        axis=one_of(params.get("axis") or "cost", get_args(Against), "axis"),
        model=text_of(params.get("model")),
        against=text_of(params.get("against")),
        outcome=outcome_of(params.get("show")),
        failure=text_of(params.get("failure")),
        page=page_of(params.get("at") or 1),
    )


def one_of(value: object, allowed: tuple[Choice, ...], name: str) -> Choice:
    """Return the value if it is one of those allowed.

    Raises:
        InputError: it is not.
    """
    for choice in allowed:
        if value == choice:
            return choice
    raise InputError(f"{name} must be one of {', '.join(allowed)}; got {str(value)[:60]!r}")


def columns_of(value: object) -> tuple[ColumnName, ...]:
    """Return the columns in their own order, whatever order they came in."""
    names = value if isinstance(value, list | tuple) else ()
    for name in names:
        one_of(name, get_args(ColumnName), "columns")
    return tuple(name for name in COLUMNS.values() if name in names)


def outcome_of(value: object) -> Outcome | None:
    """Return the outcome that is filtered by; None for all."""
    return None if not value else one_of(value, OUTCOMES, "show")


def page_of(value: object) -> int:
    """Return the number of a page, from 1."""
    text = str(value)[:12]
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise InputError(f"page must be a whole number from 1, got {text!r}")
    return int(text)


def checked(view: View, board: Board) -> View:
    """Return the view if the board has what it names; filters that don't fit are dropped.

    Raises:
        NotFoundError: it has no such task, model or second model.
    """
    if not view.task:
        return view.closed()
    column = board.column(view.task)
    if column is None:
        raise NotFoundError(f"no runs of a task named {view.task!r} here; choose another task")
    if not view.model:
        return view.closed()
    cell_of(board, view.task, view.model)
    if not view.against:
        return replace(view, outcome=None)
    if view.against == view.model:
        raise InputError("a model can't be compared with itself; choose another one")
    cell_of(board, view.task, view.against)
    return view


def cell_of(board: Board, task: str, model: str) -> Cell:
    """Return a cell by the names that links carry.

    Raises:
        NotFoundError: there is none.
    """
    for cell in cells_of(board, task):
        if cell.run.model.id == model:
            return cell
    raise NotFoundError(f"no run of {model!r} on this version of {task!r}; choose another model")


def text_of(value: object) -> str:
    """Return a text as it may be looked up: short, and UTF-8 throughout.

    Raises:
        InputError: it is longer than any name.
    """
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise InputError(f"a name has at most {MAX_TEXT} characters")
    return value.encode("utf-8", "replace").decode()
