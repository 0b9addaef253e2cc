"""What an adapter's folder may hold, looked at before anything of it touches the model.

Peft applies some settings and tensors to the base itself, which everybody shares, and keeps others
switched off together with the adapter: both would give wrong answers under the right digest.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from core.errors import UnavailableError

ABSENT: tuple[Any, ...] = (None, False, [], {})
"""What a setting is that asks for nothing."""
FREE: frozenset[str] = frozenset(
    {
        "peft_type", "task_type", "peft_version", "auto_mapping", "base_model_name_or_path",
        "revision", "inference_mode", "r", "lora_alpha", "lora_dropout", "use_rslora",
        "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
        "rank_pattern", "alpha_pattern", "fan_in_fan_out", "lora_bias",
        # Used while a training begins, under values of init_lora_weights of which none is allowed
        # that reads them at load.
        "loftq_config", "eva_config", "corda_config", "lora_ga_config",
        # Of no effect without what they belong to.
        "megatron_core", "qalora_group_size", "runtime_config",
    }
)  # fmt: skip
"""Settings that may have any value: the adapter stays two small matrices beside each layer."""
BOUND: Mapping[str, tuple[Any, ...]] = {
    "bias": ("none", None),
    # The others take their first matrices out of the base, at each load anew (peft 0.21). What is
    # saved with the base as it was names one of these.
    "init_lora_weights": (True, False, None, "gaussian", "orthogonal", "eva"),
}
"""Settings that have more values than present and absent, with those that are allowed."""
MATRIX = re.compile(r".+\.lora_(A\.weight|B\.weight|B\.bias)")


def check_adapter(version: str, folder: Path) -> None:
    """Refuse an adapter that is more than two matrices beside each linear layer.

    Raises:
        UnavailableError: it is no LoRA in safetensors, or one that changes the base itself or
            other modules; says which setting or tensor.
        SafetensorError, OSError, ValueError, KeyError: a file is missing or damaged.
    """
    from safetensors import safe_open

    weights = folder / "adapter_model.safetensors"
    if not weights.exists():
        raise UnavailableError(f"{str(folder)!r} holds no adapter_model.safetensors")
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    if config["peft_type"] != "LORA":
        raise UnavailableError(
            f"{str(folder)!r} is a {config['peft_type']} adapter; only LORA is supported"
        )
    with safe_open(weights, framework="numpy") as file:
        reason = setting_refused(config) or _tensor_refused(file.keys())
    if reason:
        raise UnavailableError(
            f"adapter {version!r} is no plain LoRA on linear layers: {reason}; train it without"
        )


def setting_refused(config: Mapping[str, Any]) -> str:
    """Return which setting makes the adapter more than plain LoRA; empty when none does."""
    for name, value in config.items():
        if name not in FREE and value not in BOUND.get(name, ABSENT):
            return f"{name} is {repr(value)[:100]}"
    return ""


def _tensor_refused(names: Iterable[str]) -> str:
    strange = sorted(name for name in names if not MATRIX.fullmatch(name))
    return f"it holds {strange[0][:150]!r}" if strange else ""
