"""The leaderboard as CSV and as a table for the terminal."""

import csv
import io
import re
from collections.abc import Sequence

from evals.leaderboard import Board, Cell, Column, cells_of
from evals.leaderboard_runs import RunSummary

CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What would move the cursor or turn the text around."""
PARTED_FORMULA = re.compile(r"[;,|\t\r\n]\s*+(?=[=+\-@])")
HEADERS = (
    "task", "model", "model_digest", "adapter_digest", "precision", "device", "status",
    "rank", "rank_worst", "tie_group", "metric", "score", "low", "high", "bound_low", "bound_high",
    "floor", "n", "missing", "cost_per_1000_usd", "tokens_per_s", "run", "task_digest",
    "data_digest", "grader_version",
)  # fmt: skip


def board_csv(board: Board, cells: Sequence[Cell]) -> str:
    """Return one line for each of these cells of the board, in their order.

    No cell is a formula to a spreadsheet, not even to one that parts cells by `;`.
    """
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(HEADERS)
    columns = {column.task: column for column in board.columns}
    writer.writerows(
        [_safe(value) for value in _values(columns[cell.run.task], cell)] for cell in cells
    )
    return out.getvalue()


def board_table(board: Board) -> str:
    """Return the leaderboard for a terminal, a table for each task."""
    blocks = [_task_table(board, column) for column in board.columns]
    if board.damaged:
        lines = [f"  {CONTROLS.sub(' ', f'{run.run}: {run.reason}')}" for run in board.damaged]
        blocks.append("\n".join(["Damaged runs:", *lines]))
    return "\n\n".join(blocks) or "No runs yet. Start one: python -m evals run --model M --task T"


def score_text(run: RunSummary) -> str:
    """Return value and interval, or what is known of a run that has no rank."""
    score = run.score
    if run.status != "completed" or score is None:
        return state_text(run)
    if score.low is None or score.high is None:
        return f"{score.value:.3f}"
    return f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]"


def state_text(run: RunSummary) -> str:
    """Return the state of a run that has no rank, with bounds where there are any."""
    bounds = run.bounds.get(run.primary)
    within = f" {bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else ""
    state = "INVALID" if run.status == "invalid" else run.status
    return f"{state}{within}"


def money(usd: float | None) -> str:
    """Return dollars for people; "unknown" where no price is known."""
    return "unknown" if usd is None else f"${usd:,.4f}" if usd < 1 else f"${usd:,.2f}"


def rank_text(cell: Cell) -> str:
    """Return "2" or "1 to 3"; empty for a run that has no rank."""
    if cell.rank is None:
        return ""
    return f"{cell.rank}" if cell.rank == cell.rank_worst else f"{cell.rank} to {cell.rank_worst}"


def _task_table(board: Board, column: Column) -> str:
    floor = "unknown" if column.floor is None else f"{column.floor:.3f}"
    version = column.version
    title = (
        f"{column.task}: {column.metric}, {version.size} items, floor {floor}, "
        f"version {version.id}, {len(column.versions)} in all"
    )
    rows = [("rank", "model", "ran as", "score", "missing", "$/1000", "tokens/s", "run")]
    for cell in cells_of(board, column.task):
        run = cell.run
        speed = "unknown" if run.tokens_per_s is None else f"{run.tokens_per_s:.0f}"
        cost = money(run.cost_per_1000)
        missing = f"{run.missing} of {run.n}"
        ran_as, score = run.model.ran_as or "unknown", score_text(run)
        rows.append((rank_text(cell), run.model.name, ran_as, score, missing, cost, speed, run.run))
    return "\n".join([CONTROLS.sub(" ", title), *text_table(rows)])


def text_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of equal length as lines, their columns below each other."""
    clean = [[CONTROLS.sub(" ", value) for value in row] for row in rows]
    widths = [max(len(row[n]) for row in clean) for n in range(len(clean[0]))]
    lines = ["  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) for row in clean]
    return [line.rstrip() for line in lines]


def _values(column: Column, cell: Cell) -> tuple[object, ...]:
    run = cell.run
    score = run.score if cell.rank else None
    bounds = run.bounds.get(run.primary, (None, None))
    return (
        run.task, run.model.name, run.model.model_digest, run.model.adapter_digest,
        run.model.precision, run.model.device, run.status,
        cell.rank, cell.rank_worst, cell.group, run.primary,
        score.value if score else None, score.low if score else None, score.high if score else None,
        *bounds, column.floor, run.n, run.missing, run.cost_per_1000, run.tokens_per_s, run.run,
        run.version.task_digest, run.version.data_digest, run.version.grader,
    )  # fmt: skip


def _safe(value: object) -> object:
    """Return a value that no spreadsheet takes for a formula; numbers stay numbers.

    Quotes don't hold a cell together where another separator is in use, so an apostrophe is also
    put between a separator and what begins a formula.
    """
    if not isinstance(value, str):
        return "" if value is None else value
    text = PARTED_FORMULA.sub(r"\g<0>'", value.encode("utf-8", "replace").decode())
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
