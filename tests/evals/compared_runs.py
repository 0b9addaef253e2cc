"""Run folders that tests compare."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from evals.manifest import Manifest
from evals.run_files import RunFolder, create_run
from evals.sample import Grade, Score

MANIFEST = Manifest(
    run="run-a",
    task="gsm8k",
    task_digest="sha256:task",
    data_digest="sha256:rows",
    grader_version="1",
    model="lead",
    provider="local",
    model_digest="sha256:lead",
    adapter_digest=None,
    served="sha256:served",
    params={},
    repeats=1,
    items=tuple(f"q{k}" for k in range(20)),
    seed=0,
    mode="free",
    plan=None,
    uses_cache=True,
    created_at="2026-11-21T10:00:00+00:00",
    versions={},
    device="cpu",
    precision="float32",
)
MARKS_A = [1.0] * 10 + [0.0] * 10
MARKS_B = [1.0] * 9 + [0.0] + [1.0] * 5 + [0.0] * 5


def save(home: Path, marks: list[float], run: str, **other: Any) -> RunFolder:
    """Write a run; `summary` is laid over its summary, the rest over its manifest."""
    over = other.pop("summary", {})
    repeats = other.pop("grades", [marks])
    manifest = replace(MANIFEST, run=run, **other)
    folder = create_run(home, manifest)
    folder.write_grades(
        Grade(f"q{k}", f"q{k}", Score({"gsm8k": mark, "length": 0.5}), repeat)
        for repeat, listed in enumerate(repeats)
        for k, mark in enumerate(listed)
    )
    facts = manifest.to_dict()
    keys = ("run", "task", "task_digest", "data_digest", "grader_version")
    told = {"status": "completed", "primary": "gsm8k", **{key: facts[key] for key in keys}}
    folder.write_summary({**told, **over})
    return folder
