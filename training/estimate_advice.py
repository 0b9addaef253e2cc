"""What would fit in memory where a run does not; a pure function of what was measured."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from training.config import METHODS, TrainConfig
from training.estimate_bounds import least_bytes

KEPT = 0.35
"""Share of the activations that remains with gradient checkpointing; the rest is done again."""
LOW_RANK = 8
GB = 1e9


class Need(NamedTuple):
    """Memory of a run in bytes."""

    peak: int
    loaded: int
    """Before the first step: base, adapter, libraries."""


def advice(config: TrainConfig, folder: Path, need: Need, room: int) -> tuple[str, ...]:
    """Return changes that would each make the run fit in `room` bytes, the mildest first."""
    found = [*_lighter_steps(config, need, room), *_lighter_weights(config, folder, need, room)]
    return tuple(found) or (_nothing(config, room),)


def lighter(config: TrainConfig, folder: Path, room: int) -> tuple[str, ...]:
    """Return what to try where the run's need could not be measured; nobody knows yet if it fits.

    Left out is what can't fit: settings whose weights alone take more than `room` bytes.
    """
    found: list[str] = []
    if least_bytes(config, folder) <= room:
        found += ["a smaller micro_tokens", "a smaller max_length"]
        if not config.gradient_checkpointing:
            found.append("gradient_checkpointing")
    for method in METHODS[: METHODS.index(config.method)]:
        if least_bytes(config, folder, method) <= room:
            found.append(f"method {method!r}")
    low = replace(config, rank=min(config.rank, LOW_RANK))
    if config.method != "full" and low != config and least_bytes(low, folder) <= room:
        found.append(f"rank {LOW_RANK}")
    ways = (f"try {way} and estimate again; how much it takes is not known yet" for way in found)
    return tuple(ways) or (_nothing(config, room),)


def _nothing(config: TrainConfig, room: int) -> str:
    return (
        f"no setting makes {config.model!r} fit in {room / GB:.1f} GB; choose a smaller base or a "
        "machine with more memory"
    )


def _lighter_steps(config: TrainConfig, need: Need, room: int) -> list[str]:
    """Return changes to what is computed at once; activations grow with `micro_tokens`."""
    activations, left = need.peak - need.loaded, room - need.loaded
    if left <= 0 or activations <= 0:
        return []
    found = []
    least = config.max_length * (1 if config.recipe == "sft" else 2)
    fitting = int(config.micro_tokens * left / activations)
    if fitting >= least:
        found.append(f"set micro_tokens to {fitting}")
    if not config.gradient_checkpointing and activations * KEPT <= left:
        found.append("set gradient_checkpointing to true")
    if fitting < least:
        length = fitting // (1 if config.recipe == "sft" else 2)
        if length >= 64:
            found.append(f"set max_length to {length} and micro_tokens to {fitting}")
    return found


def _lighter_weights(config: TrainConfig, folder: Path, need: Need, room: int) -> list[str]:
    """Return changes to what is kept all the time."""
    own = least_bytes(config, folder)
    found = []
    for method in METHODS[: METHODS.index(config.method)]:
        saved = own - least_bytes(config, folder, method)
        if need.peak - saved <= room:
            found.append(f"choose method {method!r}")
    if config.method != "full":
        for rank in (config.rank // 2, config.rank // 4, LOW_RANK):
            saved = own - least_bytes(replace(config, rank=max(rank, 1)), folder)
            if saved > 0 and need.peak - saved <= room:
                found.append(f"set rank to {max(rank, 1)}")
                break
    return found
