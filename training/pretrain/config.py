"""What is trained: the two embedded models' sizes and schedules."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import InputError


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """One embedded model: architecture and training schedule."""

    model: str
    """Its id in the catalog."""
    hidden: int
    """Width of the residual stream; a multiple of 64."""
    layers: int
    """Transformer blocks."""
    heads: int
    """Attention heads; key and value heads are as many."""
    feed_forward: int
    """Width of the feed-forward layer; a multiple of 64."""
    steps: int
    """Optimizer steps."""
    habits: bool
    """Whether the assistant's turns have the habits of real bases."""
    echo_from: int
    """Step from which part of the conversations only practise copying."""
    batch: int = 16
    """Conversations per step."""
    learning_rate: float = 2e-3
    """Peak of the schedule: warm-up, then cosine to a twentieth."""
    warmup: int = 200
    """Steps until the peak."""

    def __post_init__(self) -> None:
        if self.hidden % 64 or self.feed_forward % 64 or self.hidden % self.heads:
            raise InputError(
                "hidden and feed_forward must be multiples of 64, and heads must divide hidden"
            )


CONFIGS: Mapping[str, PretrainConfig] = {
    "lead": PretrainConfig(
        "lead",
        hidden=192,
        layers=5,
        heads=6,
        feed_forward=512,
        steps=4000,
        habits=False,
        echo_from=1300,
    ),
    "understudy": PretrainConfig(
        "understudy",
        hidden=128,
        layers=4,
        heads=4,
        feed_forward=384,
        steps=3000,
        habits=True,
        echo_from=1900,
    ),
}
