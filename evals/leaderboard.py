"""Models by tasks: only runs of the same items and graders stand side by side.

Ranks are joint: with every interval widened for the number of models, the statement "at best this
rank, at worst that one" holds for all models at once, 95% of the time. Source: Klein, Wright &
Wieczorek (2020), A joint confidence region for an overall ranking of populations, JRSS C 69(3).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

from evals.leaderboard_runs import DamagedRun, ModelKey, RunIndex, RunSummary, Version
from evals.sample import Estimate
from evals.stats.ranks import tie_groups

LOWER_IS_BETTER = frozenset({"meta_language_rate", "refusal_rate", "expected_calibration_error"})
"""Metrics of which less is better."""
Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Cell:
    """One model on one task: the newest completed run, else the newest of any state."""

    run: RunSummary
    rank: int | None = None
    """Best rank that the intervals allow, from 1; None: the run is not ranked."""
    rank_worst: int | None = None
    group: int | None = None
    """Tie group from 1: the best model left over, and all it can't be told from."""
    newer: RunSummary | None = None
    """A later run of the same model that is not ranked, if there is one."""


@dataclass(frozen=True, slots=True)
class Column:
    """A task in the version that is shown."""

    task: str
    version: Version
    versions: tuple[Version, ...]
    """All that were run, the shown one included, the newest first."""
    metric: str
    floor: float | None


@dataclass(frozen=True, slots=True)
class Board:
    """The leaderboard."""

    columns: tuple[Column, ...]
    models: tuple[ModelKey, ...]
    cells: Mapping[tuple[ModelKey, str], Cell] = field(hash=False)
    damaged: tuple[DamagedRun, ...]

    def column(self, task: str) -> Column | None:
        """Return the column of a task, None where there is none."""
        return next((column for column in self.columns if column.task == task), None)

    def ranked(self, task: str) -> list[Cell]:
        """Return the ranked cells of a task, the best value first."""
        cells = [cell for (_, of), cell in self.cells.items() if of == task and cell.rank]
        return sorted(cells, key=lambda cell: (cell.rank, -_signed(cell.run)[0], cell.run.run))


def make_board(
    runs: Sequence[RunSummary],
    damaged: Sequence[DamagedRun] = (),
    chosen: Mapping[str, str] | None = None,
) -> Board:
    """Return the leaderboard of these runs, given oldest first.

    Args:
        runs: of any task and version.
        damaged: listed beside it.
        chosen: task to the id of the version that is shown; unknown ids are passed over.
    """
    columns: list[Column] = []
    cells: dict[tuple[ModelKey, str], Cell] = {}
    for task in sorted({run.task for run in runs}):
        column = _column(task, [run for run in runs if run.task == task], (chosen or {}).get(task))
        shown = [run for run in runs if run.task == task and run.version == column.version]
        for cell in _ranked(_cells(shown)):
            cells[(cell.run.model, task)] = cell
        columns.append(column)
    models = sorted(
        {model for model, _ in cells}, key=lambda model: (model.name, model.ran_as, model.id)
    )
    return Board(tuple(columns), tuple(models), cells, tuple(damaged))


def leaderboard(home: Path) -> dict[str, Any]:
    """Return the leaderboard of a home as JSON: tasks with their models, and damaged runs."""
    return board_to_dict(make_board(*RunIndex(home).all()))


def board_to_dict(board: Board) -> dict[str, Any]:
    """Return the leaderboard as JSON, the best model of each task first."""
    tasks = [
        {
            "task": column.task,
            "metric": column.metric,
            "floor": column.floor,
            "version": column.version.id,
            "versions": [version.id for version in column.versions],
            "task_digest": column.version.task_digest,
            "data_digest": column.version.data_digest,
            "grader_version": column.version.grader,
            "items": column.version.size,
            "models": [cell_to_dict(cell) for cell in cells_of(board, column.task)],
        }
        for column in board.columns
    ]
    damaged = [{"run": run.run, "reason": run.reason} for run in board.damaged]
    return {"tasks": tasks, "damaged": damaged}


def cells_of(board: Board, task: str) -> list[Cell]:
    """Return all cells of a task: the ranked ones, the best first, then the others by name."""
    others = [cell for (_, of), cell in board.cells.items() if of == task and not cell.rank]
    return board.ranked(task) + sorted(others, key=lambda cell: (cell.run.model.id, cell.run.run))


def cell_to_dict(cell: Cell) -> dict[str, Any]:
    """Return a cell as JSON; `score` is None for a run that is not completed."""
    run, score = cell.run, cell.run.score
    return {
        "model": run.model.name,
        "model_digest": run.model.model_digest,
        "adapter_digest": run.model.adapter_digest,
        "precision": run.model.precision,
        "device": run.model.device,
        "run": run.run,
        "status": run.status,
        "score": score.to_dict() if score and cell.rank else None,
        "bounds": list(run.bounds[run.primary]) if run.primary in run.bounds else None,
        "rank": cell.rank,
        "rank_worst": cell.rank_worst,
        "group": cell.group,
        "n": run.n,
        "missing": run.missing,
        "cost_per_1000_usd": run.cost_per_1000,
        "tokens_per_s": run.tokens_per_s,
        "failures": dict(run.failures),
    }


def widened(estimate: Estimate, models: int) -> tuple[float, float]:
    """Return an interval that holds together with those of the other models, 95% of the time.

    Wilson intervals are computed anew at the level 1 - 0.05 / models (Bonferroni, which dependent
    models allow); others have their arms stretched as a normal's would be. Without an interval
    nothing is known: minus to plus infinity.
    """
    if estimate.low is None or estimate.high is None:
        return float("-inf"), float("inf")
    z = NormalDist().inv_cdf(1 - 0.025 / max(1, models))
    low, high = wilson(estimate.value, estimate.n, Z95)
    if abs(low - estimate.low) < 1e-6 and abs(high - estimate.high) < 1e-6:
        return wilson(estimate.value, estimate.n, z)
    stretch = z / Z95
    below, above = estimate.value - estimate.low, estimate.high - estimate.value
    return estimate.value - below * stretch, estimate.value + above * stretch


def wilson(share: float, n: int, z: float) -> tuple[float, float]:
    """Return Wilson's score interval of a share of n items.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    if n < 1 or not 0.0 <= share <= 1.0:
        return float("-inf"), float("inf")
    centre, scale = share + z * z / (2 * n), 1 + z * z / n
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def _column(task: str, runs: Sequence[RunSummary], chosen: str | None) -> Column:
    """Return a task's column; by default the newest data and grader, and of them the most items."""
    newest: dict[Version, tuple[bool, float, str]] = {}
    for run in runs:
        at = (run.status == "completed", run.finished_at, run.run)
        newest[run.version] = max(at, newest.get(run.version, at))
    versions = sorted(newest, key=lambda version: newest[version], reverse=True)
    latest = versions[0]
    alike = [v for v in versions if _graded_as(v) == _graded_as(latest) and newest[v][0]]
    default = max(alike or [latest], key=lambda version: (version.size, newest[version]))
    shown = next((version for version in versions if version.id == chosen), default)
    about = [run for run in runs if run.version == shown][-1]
    return Column(task, shown, tuple(versions), about.primary, about.floor)


def _graded_as(version: Version) -> tuple[str, str, str]:
    return version.task_digest, version.data_digest, version.grader


def _cells(runs: Iterable[RunSummary]) -> list[Cell]:
    """Return one cell for each model, from runs given oldest first."""
    cells: dict[ModelKey, Cell] = {}
    for run in runs:
        before = cells.get(run.model)
        if before is None or is_rankable(run) or not is_rankable(before.run):
            cells[run.model] = Cell(run)
        else:
            cells[run.model] = Cell(before.run, newer=run)
    return list(cells.values())


def is_rankable(run: RunSummary) -> bool:
    """Return whether a run may have a rank: all its items were answered and graded."""
    return run.status == "completed" and run.score is not None


def _ranked(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells with their ranks and tie groups."""
    ranked = [cell for cell in cells if is_rankable(cell.run)]
    spans = {cell.run.run: _span(cell.run, len(ranked)) for cell in ranked}
    ranked.sort(key=lambda cell: cell.run.run)
    values = [_signed(cell.run)[0] for cell in ranked]
    groups = tie_groups(values, [spans[cell.run.run] for cell in ranked])
    done = [cell for cell in cells if not is_rankable(cell.run)]
    for cell, group in zip(ranked, groups, strict=True):
        low, high = spans[cell.run.run]
        better = sum(other_low > high for other_low, _ in spans.values())
        worse = sum(other_high < low for _, other_high in spans.values())
        done.append(Cell(cell.run, 1 + better, len(ranked) - worse, group, cell.newer))
    return done


def _span(run: RunSummary, models: int) -> tuple[float, float]:
    """Return the joint interval of the primary metric, so that more is better."""
    _, sign = _signed(run)
    low, high = widened(run.score, models) if run.score else (float("-inf"), float("inf"))
    return (low, high) if sign > 0 else (-high, -low)


def _signed(run: RunSummary) -> tuple[float, int]:
    """Return the primary metric so that more is better, and the sign that makes it so."""
    sign = -1 if run.primary in LOWER_IS_BETTER else 1
    return (sign * run.score.value if run.score else float("-inf")), sign
