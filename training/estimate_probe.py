"""The measurement behind an estimate: ten steps of the run, the largest among them."""

import json
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import AppError, InputError
from core.settings import Settings
from training.attempt_parts import base_folder, read_rows, set_up
from training.config import TrainConfig
from training.estimate import PROGRESS, Tell
from training.events import Kind
from training.recipes.base_model import load_base
from training.recipes.course import Course
from training.recipes.hooks import Hooks, memory_bytes
from training.recipes.trainers import build_trainer
from training.run_folder import find_rows, threads_here

STEPS = 10
WARM = 2
"""Steps at the beginning that are slower than the rest."""


@dataclass
class Noted:
    """What the steps took."""

    tell: Tell
    steps: int
    """How many there will be."""
    tokens: list[int] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)

    def __call__(self, kind: Kind, _step: int, values: Mapping[str, Any]) -> None:
        """Note a step."""
        if kind == "step":
            self.tokens.append(values["tokens"])
            self.speeds.append(values["tokens_per_s"])
            self.tell(f"step {len(self.tokens)} of {self.steps}")

    @property
    def tokens_per_s(self) -> float:
        """Return the speed of the steps after the first ones, by token."""
        skipped = WARM if len(self.tokens) > WARM else 0
        tokens, speeds = self.tokens[skipped:], self.speeds[skipped:]
        return statistics.harmonic_mean(speeds, weights=tokens)


def main(given: str) -> int:
    """Measure what the JSON text asks for and print what was found; return the exit code."""
    out = os.dup(1)
    os.dup2(2, 1)  # what the libraries print is no answer
    asked = json.loads(given)
    told: dict[str, Any]

    def tell(progress: str) -> None:
        os.write(out, f"{PROGRESS}{progress}\n".encode())

    try:
        told = probe(TrainConfig.from_dict(asked["config"]), tell)
    except AppError as error:
        told = {"error": str(error), "is_usage": isinstance(error, InputError)}
    except (MemoryError, RuntimeError) as error:
        is_memory = isinstance(error, MemoryError) or "memory" in str(error).lower()
        told = {"error": str(error), "is_usage": False, "is_out_of_memory": is_memory}
    os.write(out, f"{json.dumps(told)}\n".encode())
    return 0


def probe(config: TrainConfig, tell: Tell) -> dict[str, Any]:
    """Go through ten steps of a run, keeping nothing; return what they took.

    Raises:
        AppError: the run could not start either.
    """
    settings = Settings.from_env(os.environ)
    set_up(threads_here())
    tell(f"loading {config.model}")
    weights = load_base(config, base_folder(config.model, settings))
    tell("reading the rows")
    found = find_rows(settings.home, config.dataset)
    rows = read_rows(found.rows, found.splits, config, weights.tokenizer)
    whole = Course(config, rows.train)
    course = Course(config, rows.train, only=_chosen(whole))
    noted = Noted(tell, course.total)
    with tempfile.TemporaryDirectory() as scratch:
        hooks = Hooks(report=noted, stops=lambda: False)
        built = build_trainer(weights, course, Path(scratch), hooks)
        loaded = memory_bytes()
        built.trainer.train()
    return {
        "steps": whole.total,
        "tokens": sum(whole.tokens(step) for step in range(whole.total)),
        "tokens_per_s": noted.tokens_per_s,
        "peak_bytes": _peak_bytes(),
        "loaded_bytes": loaded,
        "probed_steps": course.total,
        **built.facts,
    }


def _chosen(course: Course) -> tuple[int, ...]:
    """Return the first steps, and the one with the largest example for its memory."""
    if course.total <= STEPS:
        return tuple(range(course.total))
    largest = max(
        range(course.total),
        key=lambda step: max(course.costs[index] for index in course.steps[step]),
    )
    first = [step for step in range(STEPS) if step != largest]
    return (*first[: STEPS - 1], largest)


def _peak_bytes() -> int:
    import torch

    if torch.cuda.is_available():
        return memory_bytes()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
