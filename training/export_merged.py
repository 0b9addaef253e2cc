"""An adapter and its base made one: a model folder that needs no peft, checked before it counts.

Merged in 32 bits into the base's original weights, never into quantised ones: those would lose
what the adapter adds. What is saved in 16 bits again is a model of its own; evaluate it as such.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import TrainingError
from core.providers.weights import load_folder

if TYPE_CHECKING:
    import torch

PROBES, PROBE_TOKENS = 4, 32
EXACT, ROUNDED = 1e-4, 5e-2
"""How far logits may be off, relative to the largest one: of sums in another order, and of weights
that were rounded to 16 bits."""


@dataclass(frozen=True, slots=True)
class Merge:
    """How well a merged model says what the base says with its adapter."""

    dtype: str
    """Number format that the weights were saved in: the base's own."""
    difference: float
    """Largest difference of a logit between merged and adapted model, both in 32 bits."""
    saved_difference: float
    """The same after saving."""
    effect: float
    """Largest difference that the adapter makes, for comparison."""


def merge(base: Path, adapter: Path, target: Path) -> Merge:
    """Write the merged model with its tokenizer to an empty folder.

    Raises:
        UnavailableError: the base is missing or damaged.
        TrainingError: the merged model does not say what base and adapter say.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    weights = load_folder(base.name, base, "fp32")
    probes = _probes(weights.model.config.get_text_config().vocab_size)
    plain = _logits(weights.model, probes)
    adapted = PeftModel.from_pretrained(weights.model, str(adapter)).eval()
    wanted = _logits(adapted, probes)
    merged = adapted.merge_and_unload()
    dtype = _stored_dtype(base)
    difference = _check(_logits(merged, probes), wanted, EXACT)
    merged.to(getattr(torch, dtype)).save_pretrained(target)
    weights.tokenizer.save_pretrained(target)
    saved = AutoModelForCausalLM.from_pretrained(
        target, dtype=torch.float32, local_files_only=True, use_safetensors=True
    ).eval()
    bound = EXACT if dtype == "float32" else ROUNDED
    saved_difference = _check(_logits(saved, probes), wanted, bound)
    effect = (plain - wanted).abs().max().item()
    return Merge(dtype, difference, saved_difference, effect)


def _check(found: "torch.Tensor", wanted: "torch.Tensor", bound: float) -> float:
    """Return the largest difference of two models' logits.

    Raises:
        TrainingError: it is above the bound.
    """
    difference = (found - wanted).abs().max().item()
    largest = wanted.abs().max().item()
    if not difference <= bound * largest:
        raise TrainingError(
            f"the merged model is not the adapted one: a logit differs by {difference:.3g}, where "
            f"the largest is {largest:.3g}; export the adapter instead"
        )
    return difference


def _probes(vocabulary: int) -> "torch.Tensor":
    """Return token ids to compare models with; the same ones every time."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randint(vocabulary, (PROBES, PROBE_TOKENS), generator=generator)


def _logits(model: Any, probes: "torch.Tensor") -> "torch.Tensor":
    import torch

    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=probes, use_cache=False).logits  # (probes, tokens, v)
    return found.float().clone()


def _stored_dtype(base: Path) -> str:
    """Return the number format of the base's weights, as PyTorch calls it."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    found = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    return found if found in ("float32", "bfloat16", "float16") else "float32"
