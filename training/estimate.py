"""What a run will take, before it is started: ten of its steps are done on this machine.

`python -m training.estimate` reads settings as JSON from its input and prints what it measured;
`estimate` runs it in a process of its own, so that its memory is the run's and nobody else's.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.catalog_files import load_catalog
from core.errors import InputError, TrainingError
from core.providers.local import folder_here
from core.settings import PROJECT, Settings
from training.config import TrainConfig
from training.estimate_advice import Need, advice
from training.estimate_bounds import least_bytes
from training.run_folder import base_entry, find_rows

GB = 1e9
MARGIN = 0.95
"""Share of the free memory that a run may take."""
PROBE_S = 600.0
"""Longest time that the measurement may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run takes on this machine."""

    fits: bool
    memory_gb: float
    """Most memory at once: main memory, or the GPU's where there is one; a lower bound where
    nothing could be measured."""
    free_gb: float
    """What is free of it now."""
    advice: tuple[str, ...] = ()
    """What would fit, when this does not."""
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
    config: TrainConfig, settings: Settings, price_per_hour: float | None = None
) -> Estimate:
    """Return what a run will take; the base must be on this disk.

    `price_per_hour` is what this machine costs, in any currency.

    Raises:
        InputError: the settings, the data or the model are wrong, or the price is negative.
        NotFoundError: there is no such dataset.
        TrainingError: the measurement failed for another reason than memory.
    """
    if price_per_hour is not None and price_per_hour < 0:
        raise InputError(f"the price per hour must be at least 0, got {price_per_hour!r}")
    folder = _base_folder(config, settings)
    find_rows(settings.home, config.dataset)
    free = free_bytes()
    bound = least_bytes(config, folder)
    if bound > MARGIN * free:
        return _too_large(config, folder, Need(bound, bound), free)
    told = _probe(config, settings)
    if told is None:
        return _too_large(config, folder, Need(free, bound), free)
    need = Need(told["peak_bytes"], told["loaded_bytes"])
    if need.peak > MARGIN * free:
        return _too_large(config, folder, need, free)
    duration_s = told["tokens"] / told["tokens_per_s"]
    return Estimate(
        fits=True,
        memory_gb=round(need.peak / GB, 3),
        free_gb=round(free / GB, 3),
        steps=told["steps"],
        step_s=round(duration_s / told["steps"], 4),
        tokens=told["tokens"],
        tokens_per_s=round(told["tokens_per_s"], 1),
        duration_s=round(duration_s, 3),
        cost=None if price_per_hour is None else round(price_per_hour * duration_s / 3600, 4),
        trainable_parameters=told["trainable_parameters"],
        probed_steps=told["probed_steps"],
    )


def _base_folder(config: TrainConfig, settings: Settings) -> Path:
    folder = folder_here(base_entry(load_catalog(settings), config.model))
    if folder is None or not folder.is_dir():
        raise InputError(f"{config.model!r} is not on this disk yet; download it first, by a chat")
    return folder


def free_bytes() -> int:
    """Return the memory that a run could take now."""
    import psutil

    from core.providers.weights import has_cuda

    if has_cuda():
        import torch

        return int(torch.cuda.mem_get_info()[0])
    return int(psutil.virtual_memory().available)


def _too_large(config: TrainConfig, folder: Path, need: Need, free: int) -> Estimate:
    return Estimate(
        fits=False,
        memory_gb=round(need.peak / GB, 3),
        free_gb=round(free / GB, 3),
        advice=advice(config, folder, need, int(MARGIN * free)),
    )


def _probe(config: TrainConfig, settings: Settings) -> Mapping[str, Any] | None:
    """Measure in a process of its own; None when it ran out of memory."""
    given = json.dumps({"config": config.to_dict(), "home": str(settings.home)})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "training.estimate"],
            cwd=PROJECT,
            env={**os.environ, **settings.environment, "UNDERSTUDY_HOME": str(settings.home)},
            input=given,
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TrainingError(
            f"ten steps take more than {PROBE_S:.0f} s here; choose a smaller base, or less of "
            "max_length and batch_size"
        ) from error
    if done.returncode == -9:
        return None
    return _read(done.stdout, done.stderr)


def _read(out: str, err: str) -> Mapping[str, Any] | None:
    try:
        told: Mapping[str, Any] = json.loads(out.splitlines()[-1])
    except (ValueError, IndexError) as error:
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
