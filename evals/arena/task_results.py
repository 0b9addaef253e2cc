"""The results of an experiment on a task: one run of each arm, compared item by item.

A run counts when it was begun after the experiment was made, has been completed, and its items
begin with the planned ones: the first n of the task's fixed order, or all of them where looks are
always valid. The first comparable pair of such runs, by when they were completed, is written down
when it is first used. Later runs, and older ones that are finished later, change nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path

from core.errors import AppError, InputError, NotFoundError
from core.store.battle_records import Arm, Measured
from core.store.experiments import Experiment, StoredExperiments
from evals.arena.decisions import Item
from evals.compare import Scores, scores_of_runs
from evals.leaderboard_runs import RunIndex
from evals.manifest import Manifest
from evals.plan import ordered
from evals.run_files import RunFolder, last_rows
from evals.run_rows import Row
from evals.task_files import load_task, samples_of


@dataclass(frozen=True, slots=True)
class Tasks:
    """Where tasks and their runs are, and where it is written which runs decide."""

    home: Path
    runs: RunIndex
    stored: StoredExperiments


@dataclass(frozen=True, slots=True)
class TaskResults:
    """What two runs say."""

    items: Sequence[Item] = ()
    missing: int = 0
    """Planned items without a score on both sides."""
    measured_a: Sequence[Measured] = ()
    measured_b: Sequence[Measured] = ()
    notes: tuple[str, ...] = ()
    is_chosen: bool = False
    """Whether the runs that decide are there, so that no more items can come."""


@dataclass(frozen=True, slots=True)
class _Run:
    folder: RunFolder
    manifest: Manifest
    finished_at: float


def task_results(tasks: Tasks, experiment: Experiment, until: datetime) -> TaskResults:
    """Return the items in the planned order, and the runs that they are of.

    Raises:
        StorageError: a run is damaged.
    """
    names = experiment.runs
    if names is None:
        found = _first_pair(tasks, experiment, until)
        if found is None:
            return TaskResults(notes=(_waiting(experiment),))
        names = tasks.stored.choose_runs(experiment.name, found)
    try:
        one, other = (_run(tasks.runs, name) for name in names)
        scores = scores_of_runs(one.folder, other.folder)
    except (InputError, NotFoundError) as error:
        note = f"runs {names[0]} and {names[1]} decide, and can't be used now: {error}"
        return TaskResults(notes=(note,))
    return _results(experiment, (one, other), scores)


def _waiting(experiment: Experiment) -> str:
    task, n = experiment.task, experiment.plan.n
    limit = "" if n is None else f" --limit {n}"
    which = "all items" if n is None else f"the first {n} items"
    return (
        f"waits for a run of {task!r} by each arm, complete on {which}, with the same parameters, "
        f"begun after the experiment was made: python -m evals run --task {task}{limit} "
        "--model MODEL"
    )


def _first_pair(tasks: Tasks, experiment: Experiment, until: datetime) -> tuple[str, str] | None:
    """Return the names of the two runs that were completed first; None: wait for them."""
    arms = experiment.arm_a, experiment.arm_b
    found = [_runs_of(tasks.runs, experiment, arm, until) for arm in arms]
    if not all(found) or not (planned := _planned(tasks.home, experiment)):
        return None
    fit = [[run for run in runs if _begins_with(run.manifest, planned)] for runs in found]
    for one, other in sorted(product(*fit), key=_completed):
        scores = _scores(one, other)
        if scores is not None and _is_enough(experiment, planned, scores):
            return one.manifest.run, other.manifest.run
    return None


def _completed(pair: tuple[_Run, ...]) -> tuple[float, float, list[str]]:
    """Order pairs by when the second of their runs was complete, then by the first one."""
    times = [run.finished_at for run in pair]
    return max(times), min(times), [run.manifest.run for run in pair]


def _planned(home: Path, experiment: Experiment) -> tuple[str, ...]:
    """Return the planned ids in the task's fixed order; none where the task can't be read."""
    try:
        samples = samples_of(load_task(str(experiment.task), home))
    except AppError:
        return ()
    return tuple(sample.id for sample in ordered(samples, 0, experiment.plan.n))


def _begins_with(manifest: Manifest, planned: tuple[str, ...]) -> bool:
    return manifest.items[: len(planned)] == planned


def _is_enough(
    experiment: Experiment, planned: tuple[str, ...], scores: tuple[Scores, Scores]
) -> bool:
    """Say whether a fixed n is reached; without one, what is missing is left out and counted."""
    scored = {row.id for row in scores[0].rows} & {row.id for row in scores[1].rows}
    return experiment.plan.n is None or scored.issuperset(planned)


def _run(runs: RunIndex, name: str) -> _Run:
    summary = runs.get(name)
    folder = RunFolder(summary.folder)
    return _Run(folder, folder.manifest(), summary.finished_at)


def _runs_of(runs: RunIndex, experiment: Experiment, arm: Arm, until: datetime) -> list[_Run]:
    """Return an arm's completed runs that were begun after the experiment was made."""
    found = []
    for summary in runs.all()[0]:
        is_this = (summary.task, summary.model.name) == (experiment.task, arm.model)
        is_late = summary.finished_at > until.timestamp()
        if not is_this or summary.status != "completed" or is_late:
            continue
        folder = RunFolder(summary.folder)
        manifest = folder.manifest()
        begun_at = datetime.fromisoformat(manifest.created_at)
        if begun_at >= experiment.made_at and manifest.served == arm.digest:
            found.append(_Run(folder, manifest, summary.finished_at))
    return found


def _scores(one: _Run, other: _Run) -> tuple[Scores, Scores] | None:
    """Return the scores of two runs; None where they are not comparable."""
    if _conditions(one.manifest) != _conditions(other.manifest):
        return None
    try:
        return scores_of_runs(one.folder, other.folder)
    except InputError:
        return None


def _conditions(manifest: Manifest) -> tuple[object, ...]:
    params = {name: value for name, value in manifest.params.items() if name != "seed"}
    return sorted(params.items(), key=str), manifest.repeats, manifest.mode


def _results(
    experiment: Experiment, runs: tuple[_Run, _Run], scores: tuple[Scores, Scores]
) -> TaskResults:
    one, other = runs
    a, b = ({row.id: row for row in side.rows} for side in scores)
    planned = one.manifest.items[: experiment.plan.n]
    order = [name for name in planned if name in a and name in b]
    items = [Item(b[name].score - a[name].score, a[name].group) for name in order]
    note = f"runs {one.manifest.run} and {other.manifest.run}, {scores[0].metric}"
    return TaskResults(
        items=items,
        missing=len(planned) - len(order),
        measured_a=_measured(one, planned),
        measured_b=_measured(other, planned),
        notes=(note,),
        is_chosen=True,
    )


def _measured(run: _Run, planned: Sequence[str]) -> list[Measured]:
    """Return what the answers to the planned items took."""
    rows, asked = last_rows(run.folder.rows()).values(), set(planned)
    ended = [row for row in rows if row.status == "ok" and row.id in asked]
    return [_row_measured(run.manifest.model, row) for row in ended]


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
