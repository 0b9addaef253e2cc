"""The results of an experiment on a task: one run of each arm, compared item by item.

The runs are the first comparable ones that were begun after the experiment was made. Later runs
change nothing, so no arm can be run until it wins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

from core.store.battle_records import Arm, Measured
from core.store.experiments import Experiment
from evals.arena.decisions import Item
from evals.compare import IncomparableError, Scores, scores_of_runs
from evals.leaderboard_runs import RunIndex
from evals.manifest import Manifest
from evals.run_files import RunFolder, last_rows
from evals.run_rows import Row


@dataclass(frozen=True, slots=True)
class TaskResults:
    """What two runs say."""

    items: Sequence[Item] = ()
    missing: int = 0
    """Planned items without a score on both sides."""
    measured_a: Sequence[Measured] = ()
    measured_b: Sequence[Measured] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Run:
    folder: RunFolder
    manifest: Manifest
    begun_at: datetime


def task_results(runs: RunIndex, experiment: Experiment, until: datetime) -> TaskResults:
    """Return the items in the planned order, and the runs that they are of.

    Raises:
        StorageError: a run is damaged.
    """
    arms = experiment.arm_a, experiment.arm_b
    found = [_runs_of(runs, experiment, arm, until) for arm in arms]
    pairs = sorted(product(*found), key=lambda pair: max(run.begun_at for run in pair))
    for one, other in pairs:
        if (scores := _scores(one, other)) is not None:
            return _results(one, other, scores)
    task = experiment.task
    note = (
        f"waits for a run of {task!r} by each arm, of the same items and parameters, begun after "
        f"the experiment was made: python -m evals run --task {task} --model MODEL"
    )
    return TaskResults(notes=(note,))


def _runs_of(runs: RunIndex, experiment: Experiment, arm: Arm, until: datetime) -> list[_Run]:
    """Return an arm's completed runs since the experiment was made, the oldest first."""
    begun = []
    for summary in runs.all()[0]:
        is_this = (summary.task, summary.model.name) == (experiment.task, arm.model)
        is_late = summary.finished_at > until.timestamp()
        if not is_this or summary.status != "completed" or is_late:
            continue
        folder = RunFolder(summary.folder)
        manifest = folder.manifest()
        begun_at = datetime.fromisoformat(manifest.created_at)
        if begun_at >= experiment.made_at and manifest.served == arm.digest:
            begun.append(_Run(folder, manifest, begun_at))
    return sorted(begun, key=lambda run: (run.begun_at, run.folder.run))


def _scores(one: _Run, other: _Run) -> tuple[Scores, Scores] | None:
    """Return the scores of two runs; None where they are not comparable."""
    if _conditions(one.manifest) != _conditions(other.manifest):
        return None
    try:
        return scores_of_runs(one.folder, other.folder)
    except IncomparableError:
        return None


def _conditions(manifest: Manifest) -> tuple[object, ...]:
    params = {name: value for name, value in manifest.params.items() if name != "seed"}
    return sorted(params.items(), key=str), manifest.repeats, manifest.mode


def _results(one: _Run, other: _Run, scores: tuple[Scores, Scores]) -> TaskResults:
    a, b = ({row.id: row for row in side.rows} for side in scores)
    order = [name for name in one.manifest.items if name in a and name in b]
    items = [Item(b[name].score - a[name].score, a[name].group) for name in order]
    note = f"runs {one.manifest.run} and {other.manifest.run}, {scores[0].metric}"
    return TaskResults(
        items=items,
        missing=len(one.manifest.items) - len(order),
        measured_a=_measured(one),
        measured_b=_measured(other),
        notes=(note,),
    )


def _measured(run: _Run) -> list[Measured]:
    rows = last_rows(run.folder.rows()).values()
    return [_row_measured(run.manifest.model, row) for row in rows if row.status == "ok"]


def _row_measured(model: str, row: Row) -> Measured:
    """Return what an answer took; one from the cache has no times, but what it would have cost."""
    usage, timings = row.usage or {}, {} if row.cache == "hit" else row.timings or {}
    return Measured(
        model=model,
        input_tokens=_whole(usage, "input_tokens"),
        output_tokens=_whole(usage, "output_tokens"),
        cost_usd=row.full_cost_usd,
        queue_s=_number(timings, "queue_s"),
        first_token_s=_number(timings, "first_token_s"),
        total_s=_number(timings, "total_s"),
        tokens_per_s=_number(timings, "tokens_per_s"),
    )


def _number(values: Mapping[str, object], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else None


def _whole(values: Mapping[str, object], name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) else None
