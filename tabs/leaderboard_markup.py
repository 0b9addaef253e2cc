"""The leaderboard's HTML, from `assets/pages`: every value is escaped unless a template says so.

No template says so. What others wrote is shown character by character, control characters and
what turns text around as a replacement sign, long text cut with the number of characters left out.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from evals.leaderboard import Board, Cell
from evals.leaderboard_items import ItemPage, Outcome
from evals.leaderboard_pending import RunState
from evals.leaderboard_runs import ModelKey, RunSummary
from evals.leaderboard_text import money, rank_text
from tabs.leaderboard_view import View

UNSHOWABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
MAX_SHOWN = 20_000
"""Characters of one text on a page."""
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
        self._templates = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "clean": clean,
            "clipped": clipped,
            "day": day,
            "digest": digest_of,
            "money": money,
            "number": number,
            "rank": rank_text,
            "share": share,
            "short": short,
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


def clean(text: str) -> str:
    """Return a text whose every character can be shown and sent."""
    return UNSHOWABLE.sub("\ufffd", text.encode("utf-8", "replace").decode())


def clipped(text: str) -> str:
    """Return the beginning of a long text, and how much is left out."""
    if len(text) <= MAX_SHOWN:
        return text
    return f"{text[:MAX_SHOWN]}\n... {len(text) - MAX_SHOWN:,} more characters"


def share(value: float | None) -> str:
    """Return a score with three places; "unknown" where it was not measured."""
    return "unknown" if value is None else f"{value:.3f}"


def number(value: float | None) -> str:
    """Return a speed for people; "unknown" where it was not measured."""
    return "unknown" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def short(digest: str) -> str:
    """Return enough of a digest to tell it from others."""
    return digest.removeprefix("sha256:")[:8]


def digest_of(key: ModelKey) -> str:
    """Return enough of what names the weights, the adapter's part first."""
    digest = key.adapter_digest or key.model_digest or key.served
    return short(digest) if digest else "no digest"


def day(moment: float) -> str:
    """Return a time as a date and minute, UTC; "unknown" where it was not stored."""
    if not 0 < moment < 1e11:
        return "unknown"
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


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
