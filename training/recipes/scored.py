"""The loss of a part: only the learnt tokens meet the vocabulary.

The output layer costs as much as several others, and most tokens of a conversation are read, not
learnt. TRL leaves them out on GPUs alone.
"""

from collections.abc import Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any

from core.errors import TrainingError
from training.recipes.rows import IGNORED

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

SHAPED = (
    "final_logit_softcapping",
    "logit_scale",
    "output_multiplier",
    "lm_head_multiplier",
    "logits_scaling",
    "output_router_logits",
)
"""Settings by which a model changes its logits or its loss; its own forward is used then."""
LOGITS = 2**26
"""Most logits in memory at once, per part: 256 MB in 32 bits."""
TOLERANCE: Mapping[str, float] = {"torch.float32": 1e-3, "torch.bfloat16": 3e-2}
"""By how much two ways to the same loss may differ, relative."""


def is_plain(model: "PreTrainedModel") -> bool:
    """Say whether the model's logits are its output layer's, unchanged."""
    config = model.config.get_text_config()
    return not any(getattr(config, name, None) for name in SHAPED)


def add_scored_forward(model: "PreTrainedModel") -> None:
    """Let `model(..., scored=labels)` return the sum of the losses of the learnt tokens, in nats.

    It goes through the model's forward, so that what wraps it, such as DDP, sees the call.
    """
    forward = model.forward

    def scored_forward(self: Any, *args: Any, scored: Any = None, **options: Any) -> Any:
        if scored is None:
            return forward(*args, **options)
        hidden = self.base_model(*args, use_cache=False, **options).last_hidden_state
        is_learnt = scored[:, 1:] != IGNORED
        picked = hidden[:, :-1][is_learnt]  # (learnt, hidden)
        return _summed(picked, scored[:, 1:][is_learnt], self.get_output_embeddings())

    model.forward = MethodType(scored_forward, model)


def _summed(picked: "torch.Tensor", labels: "torch.Tensor", head: Any) -> "torch.Tensor":
    """Return the sum of the cross-entropies; in slices where all logits would take too much."""
    from torch.utils.checkpoint import checkpoint

    size = max(1, LOGITS // head.weight.shape[0])
    if len(labels) <= size:
        return _slice(picked, labels, head)
    total = picked.new_zeros((), dtype=_float32())
    for at in range(0, len(labels), size):
        part = slice(at, at + size)
        total = total + checkpoint(_slice, picked[part], labels[part], head, use_reentrant=False)
    return total


def _slice(picked: "torch.Tensor", labels: "torch.Tensor", head: Any) -> "torch.Tensor":
    from torch.nn.functional import cross_entropy

    return cross_entropy(head(picked).float(), labels, reduction="sum")


def _float32() -> Any:
    import torch

    return torch.float32


def check_loss(model: Any, part: Mapping[str, "torch.Tensor"], loss: "torch.Tensor") -> None:
    """Compare the loss of a part with what the model says of each of its examples alone.

    Raises:
        TrainingError: they differ, so examples in one row see each other in this architecture, or
            its loss is not what its output layer makes of it.
    """
    alone = sum(_alone(model, *each) for each in _examples(part))
    tolerance = TOLERANCE.get(str(model.dtype), 3e-2)
    if abs(float(loss) - alone) > tolerance * max(abs(alone), 1.0):
        raise TrainingError(
            f"{type(model).__name__} gives packed examples a loss of {float(loss):.4f} and alone "
            f"{alone:.4f}; set packing to false, or choose another base"
        )


def _examples(part: Mapping[str, "torch.Tensor"]) -> list[tuple["torch.Tensor", "torch.Tensor"]]:
    """Take a part to pieces: tokens and labels of each example in it, with anything learnt."""
    found = []
    for tokens, labels, at in zip(
        part["input_ids"], part["labels"], part["position_ids"], strict=True
    ):
        starts = [*(at == 0).nonzero().flatten().tolist(), len(at)]
        for begin, end in zip(starts, starts[1:], strict=False):
            if (labels[begin:end] != IGNORED).any():
                found.append((tokens[begin:end], labels[begin:end]))
    return found


def _alone(model: Any, tokens: "torch.Tensor", labels: "torch.Tensor") -> float:
    """Return what the model's own forward says of one example, in nats."""
    own = model(input_ids=tokens[None], labels=labels[None], use_cache=False).loss
    return float(own) * int((labels != IGNORED).sum())
