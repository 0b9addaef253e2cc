"""LoRA adapters as PEFT saves them, turned into what llama.cpp loads beside a model."""

import re
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

from core.digests import folder_digest
from core.engines.adapter_files import setting_refused
from core.engines.generation_settings import NotConvertible
from core.engines.gguf_files import FORMAT, Tensor, in_pairs, kept, open_writer, read_tensors
from core.engines.llama_config import (
    MODULES,
    LlamaShape,
    Part,
    count_in,
    number_in,
    read_object,
)
from core.errors import UnavailableError

MAX_RANK = 4096
KEY = re.compile(r"base_model\.model\.model\.layers\.(\d{1,4})\.(\w+\.\w+)\.lora_([AB])\.weight")
UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "lora_bias": (False, None),
    "fan_in_fan_out": (False, None),
    "alpha_pattern": (None, {}),
    "rank_pattern": (None, {}),
}
"""Settings of plain LoRA that have no equal in llama.cpp, with what they must be."""


def adapter_file(folder: Path, shape: LlamaShape, cache: Path) -> Path:
    """Return the adapter's GGUF file, converted now unless the cache has it.

    Raises:
        UnavailableError: the folder is no LoRA of this model, or one we can't convert whole.
        MissingExtraError: the package `gguf` is not installed.
        StorageError: the folder can't be read or the file can't be written.
    """
    try:
        alpha, rank = _scale(read_object(folder / "adapter_config.json"))
        tensors = read_tensors(folder / "adapter_model.safetensors")
        pairs = _pairs(tensors, shape, rank)
    except NotConvertible as error:
        raise UnavailableError(f"adapter {str(folder)!r} can't be loaded: {error}") from error
    # Which rows are paired depends on the heads, so the same adapter may give two files.
    heads = f"{shape.heads}x{shape.shared_heads}"
    digest = folder_digest(folder).removeprefix("sha256:")
    size = sum(4 * a.shape[0] * (a.shape[1] + b.shape[0]) for a, b in pairs.values())

    def write(target: Path) -> None:
        _write(pairs, alpha, target)

    return kept(cache / f"{digest}-lora-{heads}-{FORMAT}.gguf", write, size)


class Scale(NamedTuple):
    """What llama.cpp multiplies a change by: alpha over rank."""

    alpha: float
    rank: int


def _scale(config: Mapping[str, Any]) -> Scale:
    """Return what makes llama.cpp scale as PEFT does."""
    if config.get("peft_type") != "LORA":
        raise NotConvertible(f"it is a {config.get('peft_type')!r} adapter, not LORA")
    if reason := setting_refused(config):
        raise NotConvertible(f"{reason}, which llama.cpp has no place for")
    for name, values in UNSUPPORTED.items():
        if config.get(name) not in values:
            raise NotConvertible(f"{name} is {config[name]!r}, which llama.cpp has no place for")
    alpha, rank = number_in(config, "lora_alpha"), count_in(config, "r", MAX_RANK)
    return Scale(alpha * (sqrt(rank) if config.get("use_rslora") else 1.0), rank)


def _pairs(
    tensors: Mapping[str, Tensor], shape: LlamaShape, rank: int
) -> dict[Part, tuple[Tensor, Tensor]]:
    """Return the two halves of each matrix's change."""
    halves: dict[Part, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = KEY.fullmatch(name)
        if not match or match[2] not in MODULES or int(match[1]) >= shape.layers:
            raise NotConvertible(f"no place for tensor {name[:100]!r} in this model")
        part = shape.matrix(int(match[1]), match[2])
        halves.setdefault(part, {})[match[3]] = tensor
    if not halves:
        raise NotConvertible("it holds no tensors")
    found = {}
    for part, both in halves.items():
        if set(both) != {"A", "B"}:
            raise NotConvertible(f"half of the change of {part.name!r} is missing")
        found[part] = both["A"], both["B"]
        shapes = both["B"].shape, both["A"].shape
        if shapes != ((part.shape[0], rank), (rank, part.shape[1])):
            raise NotConvertible(
                f"the change of {part.name!r} is {shapes[0]} times {shapes[1]} at rank {rank}; "
                f"the model's is {part.shape}"
            )
    return found


def _write(pairs: Mapping[Part, tuple[Tensor, Tensor]], alpha: float, target: Path) -> None:
    import numpy as np

    writer = open_writer(target)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for part, (a, b) in pairs.items():
        down, up = a.read(), b.read()
        if not (np.isfinite(down).all() and np.isfinite(up).all()):
            raise UnavailableError(f"the change of {part.name!r} holds values that are no numbers")
        writer.add_tensor(f"{part.gguf_name}.lora_a", down)
        writer.add_tensor(f"{part.gguf_name}.lora_b", in_pairs(up, part.heads))
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
