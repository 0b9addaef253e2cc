"""The last stage of a run: one object that says what came out, and how sure that is.

It depends on the run's other files and on its task alone.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal

from evals.grade_stage import Graded
from evals.manifest import Key, Manifest
from evals.routing_report import routing_report
from evals.run_rows import Row
from evals.sample import Grade
from evals.task import Task
from evals.totals import bounds_of, estimate_of

MAX_MISSING = 0.01
"""Share of the planned answers that may be missing from a valid run."""
NAMED = ("run", "task", "model")
FACTS = (
    *("task_digest", "data_digest", "grader_version", "model_digest", "adapter_digest"),
    *("provider", "mode", "repeats", "params", "created_at"),
)
"""What a summary repeats of its manifest."""
MAX_LISTED = 20
MAX_REASONS = 5
Status = Literal["completed", "invalid", "stopped"]


def summarise(
    manifest: Manifest,
    task: Task,
    rows: Mapping[Key, Row],
    graded: Graded,
    *,
    ending: str | None = None,
) -> dict[str, Any]:
    """Return the summary of a run.

    Marks are averaged over the answers that there are. Each bound holds whatever the missing ones
    would have been: `n` and `missing` count all that was planned.

    Args:
        manifest: the run's fixed facts.
        task: its task, for metrics and floor.
        rows: the last attempt at each answer.
        graded: what grading made of the answers.
        ending: why the run ended before everything was asked: `stopped` by a person, else the
            reason for which the model was given up; None: it did not.
    """
    grades, size = graded.grades, len(manifest.keys)
    missing = size - len(grades)
    return {
        **{name: getattr(manifest, name) for name in NAMED},  # names of our own dataclass
        "n": size,
        "missing": missing,
        "status": _status(size, missing, ending, has_all=len(rows) == size),
        **_figures(task, grades, missing),
        "reason": None if ending == "stopped" else ending,
        **_absences(manifest, rows, graded),
        "warnings": _warnings(rows.values()),
        **{name: getattr(manifest, name) for name in FACTS},
        **_costs(rows.values()),
        "finished_at": _finished_at(rows.values()),
    }


def _figures(task: Task, grades: Sequence[Grade], missing: int) -> dict[str, Any]:
    return {
        "metrics": _estimates(task.metrics, grades),
        "failures": _failures(grades),
        "primary": task.metrics[0],
        "bounds": _bounds(task.metrics, grades, missing),
        "repaired": _estimates(task.metrics, grades, repaired=True),
        "floor": task.floor.value if task.floor else None,
        **_routing(task, grades),
    }


def _routing(task: Task, grades: Sequence[Grade]) -> dict[str, Any]:
    """Return confusion, F1 of each label and calibration of a routing task; of others nothing."""
    if task.scorer != "routing" or not grades:
        return {}
    return {"routing": routing_report(grades).to_dict()}


def is_valid(summary: Mapping[str, Any]) -> bool:
    """Say whether a run's numbers may be used: it ended, and hardly anything is missing."""
    return bool(summary["status"] == "completed")


def busy_s(rows: Iterable[Row], *, with_loading: bool = True) -> float:
    """Return the seconds in which at least one of the requests was under way.

    Without loading, a request begins when the weights were there.
    """
    total, reached = 0.0, float("-inf")
    for began, ended in sorted(_spans(rows, with_loading=with_loading)):
        total += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return total


def _spans(rows: Iterable[Row], *, with_loading: bool) -> Iterator[tuple[float, float]]:
    for row in rows:
        if row.began is not None and row.ended is not None:
            load_s = (row.timings or {}).get("load_s")
            skipped = load_s if isinstance(load_s, float) and not with_loading else 0.0
            yield min(row.began + skipped, row.ended), row.ended


def _status(planned: int, missing: int, ending: str | None, *, has_all: bool) -> Status:
    if ending == "stopped" and not has_all:
        return "stopped"
    return "invalid" if missing > MAX_MISSING * planned else "completed"


def _estimates(
    metrics: Sequence[str], grades: Sequence[Grade], *, repaired: bool = False
) -> dict[str, Any]:
    found = {name: estimate_of(name, grades, repaired=repaired) for name in metrics}
    return {name: estimate.to_dict() for name, estimate in found.items() if estimate is not None}


def _bounds(
    metrics: Sequence[str], grades: Sequence[Grade], missing: int
) -> dict[str, list[float]] | None:
    if not missing:
        return None
    return {name: list(bounds_of(name, grades, missing)) for name in metrics}


def _failures(grades: Iterable[Grade]) -> dict[str, int]:
    labels = Counter(grade.score.failure for grade in grades if grade.score.failure)
    return dict(sorted(labels.items(), key=lambda pair: (-pair[1], pair[0])))


def _absences(manifest: Manifest, rows: Mapping[Key, Row], graded: Graded) -> dict[str, Any]:
    """Return why answers are missing: by status, `ungraded` or `not_asked`, and in words."""
    there = {Key(grade.id, grade.repeat) for grade in graded.grades}
    absent = [rows.get(key) for key in manifest.keys if key not in there]
    reasons = Counter(row.error for row in rows.values() if row.error)
    return {
        "missing_by": dict(Counter(map(_absence, absent))),
        "errors": dict(reasons.most_common(MAX_REASONS)),
        "ungraded": [
            {"id": key.id, "repeat": key.repeat, "reason": failure.reason, "text": failure.text}
            for key, failure in islice(graded.ungraded.items(), MAX_LISTED)
        ],
    }


def _absence(row: Row | None) -> str:
    if row is None:
        return "not_asked"
    return "ungraded" if row.status == "ok" else row.status


def _warnings(rows: Iterable[Row]) -> list[str]:
    """Return what speaks for other weights in between: names and fingerprints of a server."""
    seen: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.status == "ok" and row.model:
            told = [f"{row.model[key]}" for key in ("served", "fingerprint") if row.model.get(key)]
            if told:
                seen.setdefault(str(row.model["id"]), {})[" ".join(told)] = None
    return [
        f"the server of {model!r} gave {len(told)} names or fingerprints for its model: "
        f"{', '.join(list(told)[:MAX_REASONS])}; its weights may have changed during the run"
        for model, told in seen.items()
        if len(told) > 1
    ]


def _costs(rows: Collection[Row]) -> dict[str, Any]:
    """Return what the answers cost and how fast they came; None where a part is not known."""
    counted = [row for row in rows if row.status == "ok"]
    made = [row for row in counted if row.cache != "hit"]
    new_tokens, seconds = _sum(row.output_tokens for row in made), busy_s(made, with_loading=False)
    return {
        "cost_usd": _sum(row.full_cost_usd for row in counted),
        "spent_usd": _sum(row.cost_usd for row in counted),
        "tokens_per_s": new_tokens / seconds if new_tokens and seconds else None,
        "output_tokens": _sum(row.output_tokens for row in counted),
        "wall_s": busy_s(rows),
    }


def _sum(values: Iterable[Any]) -> Any:
    listed = list(values)
    return None if not listed or None in listed else sum(listed)


def _finished_at(rows: Iterable[Row]) -> str | None:
    moments = [row.ended for row in rows if row.ended is not None]
    return datetime.fromtimestamp(max(moments), UTC).isoformat() if moments else None
