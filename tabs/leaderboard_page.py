"""The Leaderboard tab's parts and widgets, and what they show of the run folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import gradio as gr
from gradio.blocks import Block, BlockContext
from gradio.components import Component

from core.access import Access
from evals.leaderboard import Board, Cell, cells_of, make_board
from evals.leaderboard_items import ItemFilter, ItemReader, Outcome
from evals.leaderboard_pareto import pareto
from evals.leaderboard_runs import ModelKey, RunIndex, Version
from evals.leaderboard_text import board_csv
from tabs.escape import as_text
from tabs.leaderboard_markup import OUTCOME_NAMES, LeaderboardPages, digest_of
from tabs.leaderboard_plots import forest_plot, pareto_plot, unknown_line
from tabs.leaderboard_runs import RunsPanel
from tabs.leaderboard_view import View, cell_of, checked
from tabs.templates import clean, short

Update = dict[Component | BlockContext, Any]
NO_PLACE = ""


@dataclass(frozen=True, slots=True)
class LeaderboardParts:
    """What the tab works with."""

    index: RunIndex
    items: ItemReader
    pages: LeaderboardPages
    panel: RunsPanel
    access: Access


@dataclass(frozen=True, slots=True)
class BoardWidgets:
    """The widgets that views change and that make views."""

    view: gr.State
    notice: gr.Markdown
    search: gr.Textbox
    task: gr.Dropdown
    version: gr.Dropdown
    sort: gr.Dropdown
    state: gr.Dropdown
    columns: gr.CheckboxGroup
    table: gr.HTML
    plots: gr.Row
    forest: gr.Plot
    axis: gr.Radio
    front: gr.Plot
    unknown: gr.Markdown
    cell: gr.Column
    against: gr.Dropdown
    outcome: gr.Dropdown
    failure: gr.Dropdown
    items: gr.HTML

    def changed(self) -> list[Block]:
        """Return what a new view changes."""
        return [getattr(self, field.name) for field in fields(self)]


class BoardScreen:
    """Reads the run folders and says what the page shows; names are looked up, never trusted."""

    def __init__(self, parts: LeaderboardParts, widgets: BoardWidgets) -> None:
        self._parts = parts
        self._widgets = widgets

    def board(self, view: View) -> Board:
        """Return the leaderboard in the version that the view asks for."""
        return make_board(*self._parts.index.all(), {view.task: view.version})

    def csv(self, view: View) -> str:
        """Return the cells that the view's table shows, in its order, as CSV with all columns."""
        board = self.board(view)
        return board_csv(board, shown_cells(board, checked(view, board)))

    def show(
        self, view: View, *, is_admin: bool, notice: str = "", is_placed: bool = True
    ) -> Update:
        """Return the whole tab; `is_placed`: the browser's address follows the view.

        Raises:
            NotFoundError: the view names what is not there.
            InputError: the view compares a model with itself.
        """
        board = self.board(view)
        view = checked(view, board)
        place = view.link() if is_placed else NO_PLACE
        w = self._widgets
        return {
            **self._controls(board, view),
            **self._plots(board, view),
            **self._items(board, view, place),
            w.view: view,
            w.notice: gr.update(value=as_text(notice), visible=bool(notice)),
            w.table: self._table(board, view, is_admin, "" if view.model else place),
        }

    def chosen(self, view: View) -> Update:
        """Return what a link sets and no other view: that would undo what is being typed."""
        w = self._widgets
        return {
            w.search: view.search,
            w.sort: view.sort,
            w.state: view.state,
            w.columns: list(view.columns),
            w.axis: view.axis,
        }

    def _table(self, board: Board, view: View, is_admin: bool, place: str) -> str:
        cells = chosen_cells(board, view)
        rows: Sequence[Any] = cells if view.task else models_of(cells, view)
        panel = self._parts.panel
        more = {
            "place": place,
            "is_admin": is_admin,
            "shown": frozenset(cells),
            "first_model": panel.first_model,
            "first_task": panel.first_task(),
        }
        return self._parts.pages.board(board, view, rows, more)

    def _controls(self, board: Board, view: View) -> Update:
        w, column = self._widgets, board.column(view.task)
        tasks = [("All tasks", "")] + [(clean(c.task), c.task) for c in board.columns]
        versions = column.versions if column else ()
        named = [(version_label(version), version.id) for version in versions]
        shown = column.version.id if column else None
        return {
            w.task: gr.update(choices=tasks, value=view.task),
            w.version: gr.update(choices=named, value=shown, visible=len(versions) > 1),
        }

    def _plots(self, board: Board, view: View) -> Update:
        w = self._widgets
        if not view.task or not board.ranked(view.task):
            return {w.plots: gr.update(visible=False), w.forest: None, w.front: None, w.unknown: ""}
        front = pareto_plot(board, view.task, view.axis)
        unknown = unknown_line(pareto(board, view.task, view.axis), view.axis)
        return {
            w.plots: gr.update(visible=True),
            w.forest: forest_plot(board, view.task),
            w.front: gr.update(value=front, visible=front is not None),
            w.unknown: gr.update(value=as_text(unknown), visible=bool(unknown)),
        }

    def _items(self, board: Board, view: View, place: str) -> Update:
        w = self._widgets
        if not view.model:
            return {w.cell: gr.update(visible=False), w.items: ""}
        cell = cell_of(board, view.task, view.model)
        others = [c for c in cells_of(board, view.task) if c is not cell]
        runs = [cell.run] + [c.run for c in others if c.run.model.id == view.against]
        wanted = ItemFilter(view.failure or None, view.outcome, view.page)
        page = self._parts.items.page(runs, wanted)
        view = replace(view, page=page.page)
        named = [("No other model", "")] + [(label_of(c.run.model), c.run.model.id) for c in others]
        return {
            w.cell: gr.update(visible=True),
            w.against: gr.update(choices=named, value=view.against),
            w.outcome: gr.update(
                choices=outcome_choices(page.outcomes),
                value=view.outcome or "",
                visible=bool(view.against),
            ),
            w.failure: gr.update(
                choices=failure_choices(page.failures, view.failure), value=view.failure
            ),
            w.items: self._parts.pages.items(runs, page, view, place and view.link()),
        }


def chosen_cells(board: Board, view: View) -> list[Cell]:
    """Return the cells that the search and the filter let through, in the view's order."""
    tasks = [view.task] if view.task else [column.task for column in board.columns]
    wanted = view.search.casefold().split()
    cells = [
        cell
        for task in tasks
        for cell in cells_of(board, task)
        if view.state == "all" or (view.state == "ranked") == (cell.rank is not None)
        if all(word in found_by(cell) for word in wanted)
    ]
    return in_order(cells, view)


def shown_cells(board: Board, view: View) -> list[Cell]:
    """Return the chosen cells as the table has them: where it shows all tasks, model by model."""
    cells = chosen_cells(board, view)
    if view.task:
        return cells
    places = {model: place for place, model in enumerate(models_of(cells, view))}
    return sorted(cells, key=lambda cell: (places[cell.run.model], cell.run.task))


def found_by(cell: Cell) -> str:
    """Return what a search looks through."""
    run, model = cell.run, cell.run.model
    digests = f"{model.model_digest} {model.adapter_digest} {model.served}"
    return f"{model.name} {digests} {model.ran_as} {run.task} {run.run} {run.status}".casefold()


def in_order(cells: Sequence[Cell], view: View) -> list[Cell]:
    """Return the cells, given best first, in the view's order; what is unknown comes last."""
    last = float("inf")
    keys: Mapping[str, Any] = {
        "name": lambda cell: (cell.run.model.name.casefold(), cell.run.model.id),
        "cost": lambda cell: last if (x := cell.run.cost_per_1000) is None else x,
        "speed": lambda cell: last if (x := cell.run.tokens_per_s) is None else -x,
        "newest": lambda cell: -cell.run.finished_at,
    }
    return list(cells) if view.sort == "best" else sorted(cells, key=keys[view.sort])


def models_of(cells: Sequence[Cell], view: View) -> list[ModelKey]:
    """Return the models of these cells in the view's order.

    Best first means: most often among those that can't be told from the best, then by the mean of
    the ranks; scores of different tasks have no common mean.
    """
    by_model: dict[ModelKey, list[Cell]] = {}
    for cell in cells:
        by_model.setdefault(cell.run.model, []).append(cell)
    if view.sort != "best":
        return list(by_model)

    def place(model: ModelKey) -> tuple[int, float, str]:
        ranks = [cell.rank for cell in by_model[model] if cell.rank is not None]
        tops = sum(cell.group == 1 for cell in by_model[model])
        return -tops, sum(ranks) / len(ranks) if ranks else float("inf"), model.id

    return sorted(by_model, key=place)


def version_label(version: Version) -> str:
    """Return how a list names a version of a task."""
    data, grader = clean(short(version.data_digest)), clean(short(version.grader))
    return f"{version.size} items, data {data}, grader {grader} ({version.id[:4]})"


def label_of(model: ModelKey) -> str:
    """Return how a list names a model."""
    return f"{clean(model.name)} · {clean(digest_of(model))}"


def outcome_choices(outcomes: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return what a comparison can be filtered by, with numbers of items."""
    names: Mapping[Outcome, str] = OUTCOME_NAMES
    found = [(f"{text} ({outcomes.get(name, 0)})", name) for name, text in names.items()]
    return [(f"all items ({sum(outcomes.values())})", ""), *found]


def failure_choices(failures: Mapping[str, int], chosen: str) -> list[tuple[str, str]]:
    """Return the failure labels with numbers of items, the chosen one in any case."""
    found = [(f"{clean(name)} ({count})", name) for name, count in failures.items()]
    more = [(clean(chosen), chosen)] if chosen and chosen not in failures else []
    return [("Any label or none", ""), *found[:200], *more]
