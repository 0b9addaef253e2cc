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
    cycles: tuple[int, ...]
    """Steps at which the learning rate has come down and starts at the peak again; the last one
    ends the training."""
    habits: bool
    """Whether the assistant's turns have the habits of real bases."""
    echo_from: int
    """Step from which part of the conversations only practise copying."""
    novel_from: int
    """Step from which part of the words and tool names are made up."""
    clean_steps: range = range(0)
    """Steps without habits in a model that has them: the skill before the dress."""
    batch: int = 16
    """Conversations per step."""
    learning_rate: float = 2e-3
    """Peak of the schedule: warm-up, then cosine to a twentieth, once per cycle."""
    warmup: int = 200
    """Steps until the peak."""

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.cycles[-1]

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
        cycles=(2800, 4800),
        habits=False,
        echo_from=1300,
        novel_from=2800,
    ),
    "understudy": PretrainConfig(
        "understudy",
        hidden=128,
        layers=4,
        heads=4,
        feed_forward=384,
        cycles=(3000, 7000),
        habits=True,
        echo_from=1900,
        novel_from=3500,
        clean_steps=range(3000, 6000),
    ),
}
