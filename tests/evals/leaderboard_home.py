"""Run folders as the run code writes them, without a model: as many as a test needs."""

import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evals.stats.intervals import wilson

BEGAN = 1_760_000_000


def write_run(
    home: Path,
    run: str,
    *,
    model: str = "lead",
    task: str = "calls",
    marks: Sequence[float | None] = (1.0, 0.0),
    metric: str = "tool_call_strict",
    status: str = "completed",
    finished: float = BEGAN,
    texts: Mapping[int, str] = {},
    changes: Mapping[str, Any] = {},
    manifest_changes: Mapping[str, Any] = {},
) -> Path:
    """Write one run: a mark for each item, None for a missing answer."""
    folder = home / "evals" / run
    folder.mkdir(parents=True)
    ids = [f"{task}-{n:04}" for n in range(len(marks))]
    about = summary_of(run, model, task, marks, metric) | {
        "status": status,
        "finished_at": datetime.fromtimestamp(finished, UTC).isoformat(),
    }
    write_json(folder / "summary.json", about | dict(changes))
    planned = {
        "run": run, "task": task, "model": model, "items": ids, "repeats": 1, "mode": "free",
        "params": {"temperature": 0.0, "max_tokens": 64, "seed": None}, "served": "sha256:aa",
        "created_at": about["created_at"],
    }  # fmt: skip
    write_json(folder / "manifest.json", planned | dict(manifest_changes))
    answers, grades = [], []
    for n, (name, mark) in enumerate(zip(ids, marks, strict=True)):
        row = {
            "id": name,
            "repeat": 0,
            "status": "ok",
            "text": texts.get(n, f"answer {n} of {model}"),
        }
        if mark is None:
            answers.append(row | {"status": "error", "text": "", "error": "connection refused"})
            continue
        answers.append(row)
        failure = None if mark == 1.0 else ("wrong_name", "wrong_arguments")[n % 2]
        grades.append(
            {
                "id": name, "repeat": 0, "group": name, "values": {metric: mark}, "repaired": {},
                "failure": failure, "counts": {}, "notes": {"calls": [{"name": "seat"}]},
            }
        )  # fmt: skip
    write_lines(folder / "generations.jsonl", answers)
    write_lines(folder / "grades.jsonl", grades)
    return folder


def summary_of(
    run: str, model: str, task: str, marks: Sequence[float | None], metric: str
) -> dict[str, Any]:
    """Return the summary that the run code would write."""
    found = [mark for mark in marks if mark is not None]
    missing = len(marks) - len(found)
    metrics = {}
    if found:
        share = sum(found) / len(found)
        low, high = wilson(share, len(found))
        metrics = {metric: {"value": share, "low": low, "high": high, "n": len(found)}}
    bounds = {metric: [sum(found) / len(marks), (sum(found) + missing) / len(marks)]}
    return {
        "run": run, "task": task, "model": model, "n": len(marks), "missing": missing,
        "metrics": metrics, "failures": {}, "primary": metric,
        "bounds": bounds if missing else None, "repaired": {}, "floor": 0.1, "reason": None,
        "task_digest": "sha256:" + "1" * 64, "data_digest": "sha256:" + "2" * 64,
        "grader_version": "3", "model_digest": f"sha256:{model}", "adapter_digest": None,
        "cost_usd": None, "tokens_per_s": None, "output_tokens": 100, "wall_s": 1.0,
        "created_at": datetime.fromtimestamp(BEGAN, UTC).isoformat(),
    }  # fmt: skip


def write_home(home: Path, *, models: int, tasks: int, items: int, seed: int = 0) -> None:
    """Write models x tasks runs, models from bad to good, with costs and speeds for most."""
    rng = random.Random(seed)
    for m in range(models):
        for t in range(tasks):
            chance = 0.3 + 0.6 * m / max(1, models - 1) + rng.uniform(-0.05, 0.05)
            marks = [float(rng.random() < chance) for _ in range(items)]
            costs = {} if m % 4 == 3 else {"cost_usd": items * 1e-5 * 1.4**m}
            speeds = {} if m % 5 == 4 else {"tokens_per_s": 400 / (1 + m)}
            write_run(
                home, f"run-{m:03}-{t:02}", model=f"model-{m:02}", task=f"task-{t:02}",
                marks=marks, finished=BEGAN + 60 * (m * tasks + t), changes=costs | speeds,
            )  # fmt: skip


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def write_lines(path: Path, rows: Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
