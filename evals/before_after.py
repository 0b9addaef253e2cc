"""A base and what training made of it, on the same items: which runs tell, and what they tell."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from core.errors import AppError, InputError
from evals.compare import Comparison, IncomparableError, compare_runs
from evals.leaderboard import LOWER_IS_BETTER, is_rankable
from evals.leaderboard_files import FileMemory
from evals.leaderboard_runs import RunSummary
from evals.run_files import RunFolder

REMEMBERED = 32
"""Pairs of runs whose comparison stays in memory."""
FILES = ("summary.json", "grades.jsonl")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose weights are compared."""

    base: str
    """Catalog id of the base."""
    base_digest: str
    adapted: str
    """`MODEL@VERSION`."""
    adapter_digest: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A run of each on the same items, with the same task, grader and parameters."""

    base: RunSummary
    adapted: RunSummary


@dataclass(frozen=True, slots=True)
class Change:
    """How one metric differs after training; the difference is adapted minus base."""

    comparison: Comparison
    is_lower_better: bool

    @property
    def improved(self) -> int:
        """Return how many items are better than before."""
        found = self.comparison.difference
        return found.broken if self.is_lower_better else found.fixed

    @property
    def worsened(self) -> int:
        """Return how many items are worse than before."""
        found = self.comparison.difference
        return found.fixed if self.is_lower_better else found.broken

    @property
    def verdict(self) -> str:
        """Return `better`, `worse`, or `not shown` where the 95 % interval holds 0."""
        found = self.comparison.difference.difference
        if found.low is None or found.high is None or found.low <= 0.0 <= found.high:
            return "not shown"
        return "better" if (found.value > 0) != self.is_lower_better else "worse"


@dataclass(frozen=True, slots=True)
class Told:
    """What a pair of runs tells."""

    changes: tuple[Change, ...]
    """By metric, the task's primary one first."""
    error: str = ""
    """Why the runs can't be compared; empty when they can."""


class BeforeAfter:
    """Compares pairs of runs; safe to share between threads."""

    def __init__(self) -> None:
        self._memory: FileMemory[Told] = FileMemory(REMEMBERED)

    def tell(self, pair: Pair) -> Told:
        """Return what the pair tells, from memory while the files are the same."""
        folders = (pair.base.folder, pair.adapted.folder)
        return self._memory.get(tuple(f / name for f in folders for name in FILES), _reading(pair))


def find_pairs(runs: Iterable[RunSummary], subject: Subject) -> dict[str, Pair]:
    """Return for each task the newest pair of completed runs; `runs` are given oldest first.

    Of the base's runs the newest that ran as the adapted model did (precision, device) is taken,
    or where there is none the newest; the comparison's note then says what differs.
    """
    before: dict[tuple[str, ...], RunSummary] = {}
    after: list[RunSummary] = []
    for run in runs:
        key = run.model
        if not is_rankable(run):
            continue
        if (key.name, key.model_digest) == (subject.base, subject.base_digest):
            before[_conditions(run)] = before[_conditions(run)[:2]] = run
        elif (key.name, key.adapter_digest) == (subject.adapted, subject.adapter_digest):
            after.append(run)
    pairs = {}
    for run in after:
        exact = _conditions(run)
        base = before.get(exact) or before.get(exact[:2])
        if base is not None:
            pairs[run.task] = Pair(base, run)
    return pairs


def _conditions(run: RunSummary) -> tuple[str, ...]:
    return run.task, run.version.id, run.model.ran_as


def _reading(pair: Pair) -> Callable[..., Told]:
    def read(*_: Path) -> Told:
        base, adapted = RunFolder(pair.base.folder), RunFolder(pair.adapted.folder)
        names = [pair.base.primary, *(n for n in pair.base.metrics if n != pair.base.primary)]
        try:
            found = [_comparison(base, adapted, name) for name in names]
        except AppError as error:
            return Told((), str(error))
        changes = tuple(Change(c, c.metric in LOWER_IS_BETTER) for c in found if c is not None)
        return Told(changes, "" if changes else "no metric of this task has a mark for each item")

    return read


def _comparison(base: RunFolder, adapted: RunFolder, metric: str) -> Comparison | None:
    """Return the comparison by a metric; None where it has no marks, being made of counts.

    Raises:
        AppError: the runs can't be compared at all.
    """
    try:
        return compare_runs(base, adapted, metric)
    except IncomparableError:
        raise
    except InputError:
        return None
