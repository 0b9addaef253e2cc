"""The leaderboard's HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evals.leaderboard import Board, Cell
from evals.leaderboard_items import ItemPage, Outcome
from evals.leaderboard_pending import RunState
from evals.leaderboard_runs import ModelKey, RunSummary
from evals.leaderboard_text import rank_text
from tabs.compare_link import CompareLink
from tabs.leaderboard_view import View
from tabs.templates import make_templates, short

OUTCOME_NAMES: Mapping[Outcome, str] = {
    "only_a": "only the first is right",
    "only_b": "only the second is right",
    "both": "both right",
    "none": "neither right",
    "missing": "an answer is missing",
}


class LeaderboardPages:
    """Renders the leaderboard, the items of a cell, and the runs of the app."""

    def __init__(self, folder: Path) -> None:
        self._templates = make_templates(folder)
        self._templates.filters |= {
            "compare": compare_address,
            "digest": digest_of,
            "rank": rank_text,
        }

    def board(self, board: Board, view: View, rows: Sequence[Any], more: Mapping[str, Any]) -> str:
        """Return the table: rows are cells of one task, or models where all tasks are shown."""
        column = board.column(view.task)
        cells = [cell for cell in board.cells.values() if not column or cell.run.task == view.task]
        floors = {each.task: each.floor for each in board.columns}
        return self._templates.get_template("leaderboard.html").render(
            board=board,
            view=view,
            rows=rows,
            column=column,
            ranked=sum(cell.rank is not None for cell in cells),
            beside=beside([row.run.model if column else row for row in rows]),
            spans={cell.run.run: _span(cell, floors.get(cell.run.task)) for cell in cells},
            **more,
        )

    def items(self, runs: Sequence[RunSummary], page: ItemPage, view: View, place: str) -> str:
        """Return a page of the items of one run or two."""
        return self._templates.get_template("items.html").render(
            runs=runs,
            page=page,
            outcomes=OUTCOME_NAMES,
            place=place,
            links={
                "before": replace(view, page=max(1, page.page - 1)).link(),
                "after": replace(view, page=page.page + 1).link(),
                "close": view.closed().link(),
            },
        )

    def runs(self, states: Sequence[RunState]) -> str:
        """Return the runs that wait, are at work, or can be resumed."""
        shown = [
            {
                **asdict(state),
                "can_stop": state.can_stop,
                "can_resume": state.can_resume,
            }
            for state in states
        ]
        return self._templates.get_template("runs.html").render(runs=shown)


def beside(models: Sequence[ModelKey]) -> dict[ModelKey, ModelKey]:
    """Return which model each one is compared with: the first of another name, if there is one."""
    firsts: dict[str, ModelKey] = {}
    for model in models:
        firsts.setdefault(model.name, model)
    two = list(firsts.values())[:2]
    pairs = {model: [other for other in two if other.name != model.name] for model in models}
    return {model: others[0] for model, others in pairs.items() if others}


def compare_address(models: Sequence[str], task: str = "", item: str = "") -> str:
    """Return the link that opens these models side by side, with an item of the task."""
    return CompareLink(tuple(models), task=task, item=item).address()


def digest_of(key: ModelKey) -> str:
    """Return enough of what names the weights, the adapter's part first, and as what they ran."""
    digest = key.adapter_digest or key.model_digest or key.served
    named = short(digest) if digest else "no digest"
    return f"{named}, {key.ran_as}" if key.ran_as else named


def _span(cell: Cell, floor: float | None) -> dict[str, float | None] | None:
    """Return where an interval lies on a bar from 0 to 1, in percent; None: nowhere."""
    score = cell.run.score
    if cell.rank is None or score is None or not 0.0 <= score.value <= 1.0:
        return None
    low = score.value if score.low is None else score.low
    high = score.value if score.high is None else score.high
    low, high = max(0.0, low), min(1.0, high)
    return {
        "low": round(low * 100, 2),
        "width": round(max(0.0, high - low) * 100, 2),
        "value": round(score.value * 100, 2),
        "floor": None if floor is None else round(min(1.0, max(0.0, floor)) * 100, 2),
    }
