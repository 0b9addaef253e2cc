"""Two runs compared, or refused where they are not comparable.

Answers of different models must have been made alike; of one model, how they were made may be
what is compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import InputError, StorageError
from evals.compare.comparison import Comparison, IncomparableError, compare
from evals.compare.scores import ScoredRow, Scores
from evals.manifest import Manifest
from evals.run_files import RunFolder
from evals.sample import Grade
from evals.stats.paired_ratio import Part
from evals.totals import RATIOS, Ratio

SAME: Mapping[str, str] = {
    "task": "another task",
    "task_digest": "another version of the task",
    "data_digest": "other items",
    "grader_version": "another version of the grader",
}
"""What the summaries of two runs must share, and what it means where they don't."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What a comparison needs of a run."""

    manifest: Manifest
    summary: Mapping[str, Any] = field(hash=False)
    grades: Mapping[str, Sequence[Grade]] = field(hash=False)
    """By item; one that has no answer is left out."""

    @property
    def name(self) -> str:
        return self.manifest.run

    @property
    def items(self) -> frozenset[str]:
        return frozenset(self.manifest.items)


def compare_runs(a: RunFolder, b: RunFolder, metric: str | None = None) -> Comparison:
    """Return the comparison of two runs by a metric; None: the task's primary one.

    A metric that is a ratio of counts over all items is compared as that ratio; any other by its
    marks, an item's being the mean over its repeats. Both runs must be completed, and share task,
    data, grader and planned items, and the parameters too unless both are of one model. A
    completed run may lack a few answers: items without any are left out, and all are counted and
    bounded.

    Raises:
        IncomparableError: a run is not completed, or they differ in what they must share.
        StorageError: a file can't be read or is damaged.
        InputError: the same run twice, or no item has a mark of that metric.
    """
    scores_a, scores_b = scores_of_runs(a, b, metric)
    comparison = compare(scores_a, scores_b)
    return replace(comparison, note=_note(a.manifest(), b.manifest()))


def scores_of_runs(a: RunFolder, b: RunFolder, metric: str | None = None) -> tuple[Scores, Scores]:
    """Return the marks that `compare_runs` compares, item by item.

    Raises:
        IncomparableError, StorageError, InputError: as `compare_runs`.
    """
    if a.path.resolve() == b.path.resolve():
        raise InputError(f"{a.run!r} is both runs; compare two different ones")
    runs = _read(a), _read(b)
    _check_same(*runs)
    _check_alike(runs[0].manifest, runs[1].manifest)
    chosen = metric or str(runs[0].summary["primary"])
    ratio = RATIOS.get(chosen)
    ratio = ratio if ratio and all(_has_counts(run, ratio) for run in runs) else None
    one, other = (_scores(run, chosen, ratio) for run in runs)
    items = [{row.id for row in side.rows} | side.missing for side in (one, other)]
    if items[0] != items[1]:
        raise InputError(
            f"{chosen!r} applies to other items in {one.name!r} than in {other.name!r}, so there "
            "are no pairs; choose another metric"
        )
    return one, other


def _read(folder: RunFolder) -> _Run:
    manifest, status = folder.manifest(), folder.status()
    if status != "completed":
        todo = (
            "grade a file with all of its answers"
            if manifest.mode == "predictions"
            else f"finish it with `python -m evals run --resume {manifest.run}`"
        )
        raise IncomparableError(
            f"run {manifest.run!r} is {status}, and its marks can't be compared; {todo}"
        )
    grades: dict[str, list[Grade]] = {}
    for grade in folder.grades():
        grades.setdefault(grade.id, []).append(grade)
    return _Run(manifest, folder.summary() or {}, grades)


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


def _check_alike(a: Manifest, b: Manifest) -> None:
    """Refuse models that were asked otherwise: nobody could say what made the difference."""
    if (apart := _params_apart(a, b)) and not _is_one_model(a, b):
        raise IncomparableError(
            f"{a.run!r} and {b.run!r} are of different models and were not asked alike: "
            f"{', '.join(apart)}; run both with the same parameters"
        )


def _params_apart(a: Manifest, b: Manifest) -> list[str]:
    """Return each parameter that differs, with A's value first; of a file of answers none is known.

    The seed is none: another one only draws other answers.
    """
    if "predictions" in (a.mode, b.mode):
        return []
    one, other = ({**run.params, "repeats": run.repeats} for run in (a, b))
    names = sorted((one.keys() | other.keys()) - {"seed"})
    return [
        f"{name} {one.get(name)} and {other.get(name)}"
        for name in names
        if one.get(name) != other.get(name)
    ]


def _is_one_model(a: Manifest, b: Manifest) -> bool:
    if a.model_digest is None or b.model_digest is None:
        return a.served == b.served
    return (a.model_digest, a.adapter_digest) == (b.model_digest, b.adapter_digest)


def _note(a: Manifest, b: Manifest) -> str | None:
    """Return what a reader must know of how two runs were made."""
    told = [(name, getattr(a, name), getattr(b, name)) for name in ("precision", "device")]
    ways = [f"{name} {x} and {y}" for name, x, y in told if None not in (x, y) and x != y]
    found = [
        f"how the answers of {run.run!r} were made is not known"
        for run in (a, b)
        if run.mode == "predictions"
    ]
    if _is_one_model(a, b):
        apart = _params_apart(a, b) + ways
        what = f"what is compared is {', '.join(apart)}" if apart else "what differs is noise"
        which = "one served model" if a.model_digest is None else "the same weights"
        found.append(f"both runs are of {which}: {what}")
    elif ways:
        found.append(f"besides the models, these differ: {', '.join(ways)}")
    return "; ".join(found) or None


def _has_counts(run: _Run, ratio: Ratio) -> bool:
    every = (grade.score.counts for grades in run.grades.values() for grade in grades)
    return any(ratio.below.keys() <= counts.keys() for counts in every)


def _scores(run: _Run, metric: str, ratio: Ratio | None) -> Scores:
    try:
        found = [_row(run, grades, metric, ratio) for grades in run.grades.values()]
    except TypeError as error:
        raise StorageError(f"the grades of run {run.name!r} are damaged: {error}") from error
    rows = tuple(row for row in found if row is not None)
    if not rows:
        names = sorted(
            {n for grades in run.grades.values() for g in grades for n in g.score.values}
        )
        raise InputError(
            f"no item of {run.name!r} has a mark of {metric!r}; choose one of: "
            f"{', '.join(names) or 'none'}"
        )
    return Scores(run.name, metric, rows, run.items - run.grades.keys())


def _row(run: _Run, grades: Sequence[Grade], metric: str, ratio: Ratio | None) -> ScoredRow | None:
    """Return an item's mark, and its part of a ratio; None: the metric does not apply to it."""
    marks = [grade.score.values[metric] for grade in grades if metric in grade.score.values]
    part = None
    if ratio is not None:
        counted = [ratio.of(grade.score.counts, "") or (0.0, 0.0) for grade in grades]
        part = Part(*(sum(column) for column in zip(*counted, strict=True)))
    if marks:
        score = sum(marks) / len(marks)
    elif part is not None:
        score = part.above / part.below if part.below else 1.0
    else:
        return None
    absent = 1 - len(grades) / run.manifest.repeats
    return ScoredRow(grades[0].id, score, grades[0].group, absent=absent, part=part)
