"""What a run will take, before it is started: ten of its steps are done on this machine.

`python -m training.estimate` reads settings as JSON from its input and prints what it measured;
`estimate` runs it in a process of its own, so that its memory is the run's and nobody else's.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.catalog_files import load_catalog
from core.errors import InputError, TrainingError
from core.providers.local import folder_here
from core.settings import PROJECT, Settings
from training.config import TrainConfig
from training.estimate_advice import Need, advice, lighter
from training.estimate_bounds import least_bytes
from training.free_memory import free_bytes
from training.run_folder import base_entry, find_rows

GB = 1e9
MARGIN = 0.95
"""Share of the free memory that a run may take."""
PROBE_S = 600.0
"""Longest time that the measurement may take."""
Tell = Callable[[str], object]
"""Takes how far the measurement is, in words."""
PROGRESS = "... "
"""What a line begins with that tells how far the measurement is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run takes on this machine."""

    fits: bool
    memory_gb: float | None
    """Most memory at once: main memory, or the GPU's where there is one; None: it is unknown, and
    more than was free, for the measurement ran out of memory."""
    free_gb: float
    """What is free of it now."""
    is_least: bool = False
    """Whether `memory_gb` is a lower bound: the weights are too large to measure more."""
    advice: tuple[str, ...] = ()
    """What would fit, when this does not; where nothing could be measured, what may."""
    steps: int | None = None
    step_s: float | None = None
    """Seconds per step, mean."""
    tokens: int | None = None
    """All that the run reads, padding aside."""
    tokens_per_s: float | None = None
    duration_s: float | None = None
    """All steps; evaluations and saves come on top."""
    cost: float | None = None
    """In the price's currency; None without a price."""
    trainable_parameters: int | None = None
    probed_steps: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as JSON."""
        return asdict(self)


def estimate(
    config: TrainConfig,
    settings: Settings,
    price_per_hour: float | None = None,
    tell: Tell = lambda _: None,
) -> Estimate:
    """Return what a run will take; the base must be on this disk.

    `price_per_hour` is what this machine costs, in any currency; `tell` hears how far it is.

    Raises:
        InputError: the settings, the data or the model are wrong, or the price is negative.
        NotFoundError: there is no such dataset.
        TrainingError: the measurement failed for another reason than memory.
    """
    if price_per_hour is not None and not 0 <= price_per_hour < math.inf:
        raise InputError(f"the price per hour must be a number from 0 up, got {price_per_hour!r}")
    folder = _base_folder(config, settings)
    find_rows(settings.home, config.dataset)
    free = free_bytes()
    room = int(MARGIN * free)
    if (bound := least_bytes(config, folder)) > room:
        return _too_large(bound, free, lighter(config, folder, room), is_least=True)
    told = _probe(config, settings, tell)
    if told is None:
        return beyond(config, folder, free)
    need = Need(told["peak_bytes"], told["loaded_bytes"])
    if need.peak > room:
        return _too_large(need.peak, free, advice(config, folder, need, room))
    return _measured(told, free, price_per_hour)


def beyond(config: TrainConfig, folder: Path, free: int) -> Estimate:
    """Return the estimate of a run whose measurement ran out of memory: its need is unknown."""
    return _too_large(None, free, lighter(config, folder, int(MARGIN * free)))


def _too_large(
    need: int | None, free: int, ways: tuple[str, ...], *, is_least: bool = False
) -> Estimate:
    return Estimate(
        fits=False,
        memory_gb=None if need is None else round(need / GB, 3),
        free_gb=round(free / GB, 3),
        is_least=is_least,
        advice=ways,
    )


def _measured(told: Mapping[str, Any], free: int, price_per_hour: float | None) -> Estimate:
    duration_s = told["tokens"] / told["tokens_per_s"]
    return Estimate(
        fits=True,
        memory_gb=round(told["peak_bytes"] / GB, 3),
        free_gb=round(free / GB, 3),
        steps=told["steps"],
        step_s=round(duration_s / told["steps"], 4),
        tokens=told["tokens"],
        tokens_per_s=round(told["tokens_per_s"], 1),
        duration_s=round(duration_s, 3),
        cost=cost_of(duration_s, price_per_hour),
        trainable_parameters=told["trainable_parameters"],
        probed_steps=told["probed_steps"],
    )


def cost_of(duration_s: float, price_per_hour: float | None) -> float | None:
    """Return what a time on this machine costs, in the price's currency; None without a price."""
    return None if price_per_hour is None else round(price_per_hour * duration_s / 3600, 4)


def _base_folder(config: TrainConfig, settings: Settings) -> Path:
    folder = folder_here(base_entry(load_catalog(settings), config.model))
    if folder is None or not folder.is_dir():
        raise InputError(f"{config.model!r} is not on this disk yet; download it first, by a chat")
    return folder


def _probe(config: TrainConfig, settings: Settings, tell: Tell) -> Mapping[str, Any] | None:
    """Measure in a process of its own; None when it ran out of memory."""
    given = json.dumps({"config": config.to_dict(), "home": str(settings.home)})
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as err,
        subprocess.Popen(
            [sys.executable, "-m", "training.estimate"],
            cwd=PROJECT,
            env={**os.environ, **settings.environment, "UNDERSTUDY_HOME": str(settings.home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
        ) as child,
    ):
        timer = threading.Timer(PROBE_S, child.kill)
        began = time.monotonic()
        timer.start()
        try:
            out = _follow(child, given, tell)
            code = child.wait()
        finally:
            timer.cancel()
            child.kill()
        err.seek(0)
        said = err.read()
    if code != -9 or out:
        return _read(out, said)
    if time.monotonic() - began < PROBE_S:
        return None
    raise TrainingError(
        f"ten steps take more than {PROBE_S:.0f} s here; choose a smaller base, or less of "
        "max_length and batch_size"
    )


def _follow(child: "subprocess.Popen[str]", given: str, tell: Tell) -> str:
    """Hand over what is to be measured and return the answer; progress is told on the way."""
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(BrokenPipeError):  # It has ended already; how is seen later.
        child.stdin.write(given)
        child.stdin.close()
    for line in child.stdout:
        if not line.startswith(PROGRESS):
            return line
        tell(line.removeprefix(PROGRESS).strip())
    return ""


def _read(out: str, err: str) -> Mapping[str, Any] | None:
    try:
        told: Mapping[str, Any] = json.loads(out)
    except ValueError as error:
        raise TrainingError(f"the measurement failed: {err.strip()[-500:]}") from error
    if told.get("is_out_of_memory"):
        return None
    if "error" in told:
        kind = InputError if told["is_usage"] else TrainingError
        raise kind(told["error"])
    return told


if __name__ == "__main__":
    from training.estimate_probe import main

    sys.exit(main(sys.stdin.read()))
