"""A task's scorer, made from what the task file names."""

import difflib
import inspect

from core.errors import InputError
from evals.sample import Scorer
from evals.task import Task


def scorer_of(task: Task) -> Scorer:
    """Return the scorer that the task names, made with its arguments.

    Raises:
        InputError: there is no such scorer, or it does not take the arguments.
    """
    from evals.scorers import SCORERS

    make = SCORERS.get(task.scorer)
    if make is None:
        close = difflib.get_close_matches(task.scorer, SCORERS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of: {', '.join(SCORERS)}"
        raise InputError(f"task {task.name!r}: no scorer named {task.scorer!r}; {hint}")
    try:
        inspect.signature(make).bind(**task.arguments)
    except TypeError as error:
        raise InputError(f"task {task.name!r}: scorer {task.scorer!r}: {error}") from error
    return make(**task.arguments)
