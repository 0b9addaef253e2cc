"""The least memory that a run takes, from the sizes in the base's files, before any is loaded."""

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from core.errors import UnavailableError
from core.providers.weights import has_cuda
from training.config import Method, TrainConfig

NF4 = 0.516
"""Bytes per weight in 4 bits with double quantisation, constants included; measured."""
ADAM = 4 * 4
"""Bytes per trained weight in 32 bits: itself, its gradient, and two moments."""
MAX_HEADER = 2**26


class Sizes(NamedTuple):
    """What a base's files hold, in numbers of weights."""

    linear: int
    """Of layers that can be quantised and adapted."""
    other: int
    """Embeddings and norms."""
    sides: int
    """Inputs plus outputs of all linear layers: an adapter of rank 1 has so many weights."""


def least_bytes(config: TrainConfig, folder: Path, method: Method | None = None) -> int:
    """Return what base, adapter, gradients and optimizer take, activations aside.

    Raises:
        UnavailableError: the folder has no readable safetensors.
    """
    sizes, method = sizes_of(folder), method or config.method
    full = 2 if has_cuda() else 4
    if method == "full":
        return (sizes.linear + sizes.other) * ADAM
    base = sizes.other * full + sizes.linear * (NF4 if method == "qlora" else full)
    return int(base + config.rank * sizes.sides * ADAM)


def sizes_of(folder: Path) -> Sizes:
    """Count the weights of a model folder.

    Raises:
        UnavailableError: it has no readable safetensors.
    """
    linear = other = sides = 0
    for name, shape in _shapes(folder):
        count = math.prod(shape)
        if len(shape) == 2 and not any(word in name for word in ("embed", "lm_head", "wte", "wpe")):
            linear, sides = linear + count, sides + sum(shape)
        else:
            other += count
    return Sizes(linear, other, sides)


def _shapes(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield names and shapes of all tensors; only the files' headers are read."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise UnavailableError(f"{str(folder)!r} has no safetensors")
    for path in paths:
        try:
            with path.open("rb") as file:
                (size,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(size, MAX_HEADER)))
        except (OSError, ValueError, struct.error) as error:
            raise UnavailableError(f"{str(path)!r} can't be read: {error}") from error
        for name, tensor in header.items():
            if name != "__metadata__":
                yield name, tensor["shape"]
