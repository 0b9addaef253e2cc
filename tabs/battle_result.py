"""What a battle's answers come to once it has its vote: the word of the task's own scorer."""

from pathlib import Path
from typing import Any, NamedTuple

from core.errors import AppError
from evals.arena.items import Verdict, find_item, verdicts
from evals.arena.shown import Reveal
from evals.grading import GradingFailure


class Marks(NamedTuple):
    """What the scorer says of both answers; None: there is none to ask."""

    metric: str
    """The task's primary one."""
    a: Verdict
    b: Verdict


def marks_of(home: Path, reveal: Reveal) -> Marks:
    """Return the scorer's word on a battle about a task's item; takes up to seconds.

    A task or an item that is gone since gives the reason instead: the vote is stored already.
    """
    if reveal.task is None or reveal.item is None:
        return Marks("", None, None)
    answers = (reveal.a.generation, reveal.b.generation)
    try:
        metric = find_item(home, reveal.task, reveal.item).metrics[0]
        a, b = verdicts(home, reveal.task, reveal.item, answers)
    except AppError as error:
        why = GradingFailure("sample", str(error))
        return Marks("", why, why)
    return Marks(metric, a, b)


def verdict_json(verdict: Verdict) -> dict[str, Any] | None:
    """Return a verdict as JSON: marks by metric, or why there are none."""
    if verdict is None:
        return None
    if isinstance(verdict, GradingFailure):
        return {"problem": verdict.text}
    return {
        "values": dict(verdict.values),
        "repaired": dict(verdict.repaired),
        "failure": verdict.failure,
    }
