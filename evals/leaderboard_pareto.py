"""Quality against cost and speed: which models no other one beats in both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evals.leaderboard import LOWER_IS_BETTER, Board, Cell

Against = Literal["cost", "speed"]
"""`cost`: US dollars per 1,000 answers, less is better; `speed`: tokens/s, more is better."""


@dataclass(frozen=True, slots=True)
class ParetoPoint:
    """A model with a score and a known cost or speed."""

    cell: Cell
    x: float
    y: float
    on_front: bool
    """No other model is at least as good in both and better in one."""


@dataclass(frozen=True, slots=True)
class Pareto:
    """What can be plotted, and what can't."""

    points: tuple[ParetoPoint, ...]
    """In order of x."""
    unknown: tuple[Cell, ...]
    """Ranked models whose cost or speed nobody knows; they are never at 0."""


def pareto(board: Board, task: str, against: Against) -> Pareto:
    """Return the ranked models of a task by quality and cost or speed."""
    known: list[tuple[Cell, float, float]] = []
    unknown: list[Cell] = []
    for cell in board.ranked(task):
        run = cell.run
        x = run.cost_per_1000 if against == "cost" else run.tokens_per_s
        if x is None or run.score is None:
            unknown.append(cell)
        else:
            known.append((cell, x, run.score.value))
    points = [ParetoPoint(c, x, y, _on_front(c, x, y, known, against)) for c, x, y in known]
    points.sort(key=lambda point: (point.x, point.y, point.cell.run.run))
    return Pareto(tuple(points), tuple(unknown))


def _on_front(
    cell: Cell, x: float, y: float, known: Sequence[tuple[Cell, float, float]], against: Against
) -> bool:
    sign_x = -1 if against == "cost" else 1
    sign_y = -1 if cell.run.primary in LOWER_IS_BETTER else 1
    mine = (sign_x * x, sign_y * y)
    for _, other_x, other_y in known:
        theirs = (sign_x * other_x, sign_y * other_y)
        if theirs != mine and theirs[0] >= mine[0] and theirs[1] >= mine[1]:
            return False
    return True
