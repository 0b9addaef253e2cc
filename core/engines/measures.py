"""What is measured of a loaded model, and of the machine that it is on."""

import os
import sys
from typing import TYPE_CHECKING

from core.engines.base import SMALL_MODEL

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def cores() -> int:
    """Return how many cores this process may use.

    Asked of the system: PyTorch's own number is that of the thread that asks, and what one model
    sets becomes the default of every thread that begins later.
    """
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_for(model: "PreTrainedModel") -> int:
    """Return with how many threads the model computes a token soonest.

    No more than `OMP_NUM_THREADS`, where the process was started with it.
    """
    if sum(p.numel() for p in model.parameters()) < SMALL_MODEL:
        return 1
    # OpenMP's own setting, as PyTorch reads it; a list is for loops within loops.
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return min(cores(), int(asked)) if asked.isdecimal() and int(asked) else cores()


def end_tokens_of(model: "PreTrainedModel") -> frozenset[int]:
    """Return the tokens that end an answer."""
    ends = model.generation_config.eos_token_id
    listed = ends if isinstance(ends, list) else [ends]
    return frozenset(token for token in listed if token is not None)


def weight_bytes(model: "PreTrainedModel") -> int:
    """Return the bytes of parameters and buffers."""
    tensors = [*model.parameters(), *model.buffers()]
    sizes = {t.data_ptr(): t.numel() * t.element_size() for t in tensors}
    return sum(sizes.values())
