"""Whether a model's rows can share a forward: asked of the model itself, once, at load."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.engines.keyvalues import KeyValues

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

REFUSALS = (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError)
"""What a model's code raises over a cache or a mask that it does not know."""
PROBES = ([1, 2, 3, 4, 5, 6, 7], [9, 8, 7], [3, 5, 4, 6])
TOLERANCE = 0.1
"""Share of the logits' spread: int8 and bf16 differ by some percent when rows are together, while
rows that see wrong places differ by the whole."""
ROPES = ("default", "linear", "llama3", "yarn", "proportional")
"""Rotary angles that follow from a token's own position. Dynamic ones and longrope take them from
the largest position of the forward, beyond the lengths of any probe: another row's."""


def can_batch(model: "PreTrainedModel") -> bool:
    """Say whether rows of different lengths in one forward give what each gives alone.

    Sliding windows, recurrent states and attention other than PyTorch's own are left alone, and so
    is what shows only beyond the probes' lengths.
    """
    import torch

    if _has_windows(model) or not _has_own_angles(model.config.to_dict()):
        return False
    if model.config._attn_implementation not in ("sdpa", "eager"):
        return False
    try:
        with torch.inference_mode():
            together, alone = _together(model), _alone(model)
    except REFUSALS:
        return False
    return bool((together - alone).abs().max() <= TOLERANCE * alone.std())


def _has_windows(model: "PreTrainedModel") -> bool:
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    layers = DynamicCache(config=model.config).layers
    # GPT-Neo's windows are in its own mask, which counts places of the cache; no cache knows them.
    has_local = "local" in getattr(model.config, "attention_layers", ())
    return has_local or any(type(layer) is not DynamicLayer for layer in layers)


def _has_own_angles(config: Mapping[str, Any], *, within: bool = False) -> bool:
    """Say whether every rotary setting of the config, `within` one or below, is one of `ROPES`."""
    for name, value in config.items():
        if within and name in ("rope_type", "type") and value not in (*ROPES, None):
            return False
        if isinstance(value, Mapping) and not _has_own_angles(
            value, within=within or name.startswith("rope_")
        ):
            return False
    return True


def _alone(model: "PreTrainedModel") -> "torch.Tensor":
    """Return the logits after each probe without its last token, and after the whole."""
    import torch

    rows = []
    for probe in PROBES:
        tokens = torch.tensor([probe], device=model.device)
        logits = model(input_ids=tokens, use_cache=False).logits  # (1, tokens, vocabulary)
        rows.append(logits[0, -2:])
    return torch.stack(rows).float()


def _together(model: "PreTrainedModel") -> "torch.Tensor":
    """Return the same, read as a batch reads: all but the last tokens, then one more each."""
    import torch

    cache = KeyValues(model.device, mask_dtype(model))
    for _ in PROBES:
        cache.add()
    width = max(len(probe) for probe in PROBES) - 1
    filled = [probe[:-1] + [0] * (width + 1 - len(probe)) for probe in PROBES]
    lengths = [len(probe) - 1 for probe in PROBES]
    last = torch.tensor([length - 1 for length in lengths], device=model.device)
    first = _read(model, cache, filled, last)  # (rows, rows, vocabulary)
    cache.lengths = lengths
    second = _read(model, cache, [probe[-1:] for probe in PROBES], 1)  # (rows, 1, vocabulary)
    mine = torch.arange(len(PROBES), device=model.device)
    return torch.stack([first[mine, mine], second[:, 0]], dim=1).float()


def _read(
    model: "PreTrainedModel", cache: KeyValues, tokens: list[list[int]], kept: Any
) -> "torch.Tensor":
    import torch

    positions = cache.aim(0, [len(row) for row in tokens])
    logits: torch.Tensor = model(
        input_ids=torch.tensor(tokens, device=model.device),
        attention_mask=cache.mask(),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=kept,
    ).logits
    return logits


def mask_dtype(model: "PreTrainedModel") -> "torch.dtype | None":
    """Return in what numbers the model's attention takes its mask; None: as yes and no."""
    return None if model.config._attn_implementation == "sdpa" else model.dtype
