"""Two runs compared, or refused where they are not comparable."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import InputError, StorageError
from evals.compare.comparison import Comparison, compare
from evals.compare.scores import ScoredRow, Scores
from evals.manifest import Manifest
from evals.run_files import RunFolder
from evals.sample import Grade

SAME: Mapping[str, str] = {
    "task": "another task",
    "task_digest": "another version of the task",
    "data_digest": "other items",
    "grader_version": "another version of the grader",
}
"""What the summaries of two runs must share, and what it means where they don't."""


class IncomparableError(InputError):
    """A run is not valid, or two runs are not of the same thing; decisions exit with 40."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What a comparison needs of a run."""

    manifest: Manifest
    summary: Mapping[str, Any] = field(hash=False)
    marks: Mapping[str, Mapping[str, float]] = field(hash=False)
    """Item to metric to its mean over the repeats."""
    groups: Mapping[str, str] = field(hash=False)

    @property
    def name(self) -> str:
        return self.manifest.run

    @property
    def items(self) -> frozenset[str]:
        return frozenset(self.manifest.items)


def compare_runs(a: RunFolder, b: RunFolder, metric: str | None = None) -> Comparison:
    """Return the comparison of two runs by the marks of a metric; None: the task's primary one.

    Marks are per item, the mean over its repeats; a metric that is made of counts over all items
    has to have marks too. Both runs must be completed, and share task, data, grader and planned
    items. A completed run may lack a few items: they are left out, counted and bounded.

    Raises:
        IncomparableError: a run is not completed, or they differ in what they must share.
        StorageError: a file can't be read or is damaged.
        InputError: the same run twice, or no item has a mark of that metric.
    """
    scores_a, scores_b = scores_of_runs(a, b, metric)
    comparison = compare(scores_a, scores_b)
    one, other = a.manifest(), b.manifest()
    weights = one.model_digest, one.adapter_digest
    is_same = weights == (other.model_digest, other.adapter_digest) and weights[0] is not None
    note = "both runs are of the same weights: what differs is noise or parameters"
    return replace(comparison, note=note) if is_same else comparison


def scores_of_runs(a: RunFolder, b: RunFolder, metric: str | None = None) -> tuple[Scores, Scores]:
    """Return the marks that `compare_runs` compares, item by item.

    Raises:
        IncomparableError, StorageError, InputError: as `compare_runs`.
    """
    if a.path.resolve() == b.path.resolve():
        raise InputError(f"{a.run!r} is both runs; compare two different ones")
    one, other = _read(a), _read(b)
    _check_same(one, other)
    chosen = metric or str(one.summary["primary"])
    return _scores(one, chosen), _scores(other, chosen)


def _read(folder: RunFolder) -> _Run:
    manifest, status = folder.manifest(), folder.status()
    if status != "completed":
        raise IncomparableError(
            f"run {manifest.run!r} is {status}, and its marks can't be compared; finish it with "
            f"`python -m evals run --resume {manifest.run}`"
        )
    grades = folder.grades()
    groups = {grade.id: grade.group for grade in grades}
    return _Run(manifest, folder.summary() or {}, _means(folder, grades), groups)


def _means(folder: RunFolder, grades: list[Grade]) -> dict[str, dict[str, float]]:
    marks: dict[str, dict[str, list[float]]] = {}
    for grade in grades:
        item = marks.setdefault(grade.id, {})
        for name, mark in grade.score.values.items():
            item.setdefault(name, []).append(mark)
    try:
        return {
            key: {name: sum(found) / len(found) for name, found in values.items()}
            for key, values in marks.items()
        }
    except TypeError as error:
        raise StorageError(f"the grades of run {folder.run!r} are damaged: {error}") from error


def _check_same(a: _Run, b: _Run) -> None:
    for key, meaning in SAME.items():
        left, right = a.summary.get(key), b.summary.get(key)
        if left != right:
            raise IncomparableError(
                f"{b.name!r} is of {meaning} than {a.name!r}: {key} is {right!r}, not {left!r}; "
                "run both alike"
            )
    only_a, only_b = len(a.items - b.items), len(b.items - a.items)
    if only_a or only_b:
        raise IncomparableError(
            f"{only_a} items of {a.name!r} were not planned in {b.name!r}, and {only_b} the other "
            "way round; run both with the same limit and seed"
        )


def _scores(run: _Run, metric: str) -> Scores:
    rows = tuple(
        ScoredRow(key, values[metric], run.groups[key])
        for key, values in run.marks.items()
        if metric in values
    )
    if not rows:
        names = sorted({name for values in run.marks.values() for name in values})
        raise InputError(
            f"no item of {run.name!r} has a mark of {metric!r}; choose one of: "
            f"{', '.join(names) or 'none'}"
        )
    return Scores(run.name, metric, rows, run.items - run.marks.keys())
