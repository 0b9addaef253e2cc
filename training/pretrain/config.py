"""What is trained: the two embedded models' sizes and schedules."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.errors import InputError


@dataclass(frozen=True, slots=True)
class Stage:
    """What the training conversations are like from a step on; shares run 0.0 to 1.0."""

    first_step: int
    """Step that the stage begins with."""
    habits: bool = False
    """Whether the assistant's turns have the habits of real bases."""
    echoes: float = 0.0
    """Share of conversations that only practise copying."""
    novel_words: float = 0.0
    """Share of words that are made up."""
    novel_names: float = 0.0
    """Share of tool names that are made up."""


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
    """Optimizer steps in all."""
    stages: tuple[Stage, ...]
    """What the conversations are like, by first step."""
    batch: int = 16
    """Conversations per step."""
    learning_rate: float = 2e-3
    """Peak of the schedule: warm-up, then cosine to a twentieth."""
    warmup: int = 200
    """Steps until the peak."""

    def stage(self, step: int) -> Stage:
        """Return the stage that a step belongs to."""
        return max(
            (stage for stage in self.stages if stage.first_step <= step),
            key=lambda stage: stage.first_step,
        )

    def __post_init__(self) -> None:
        if self.hidden % 64 or self.feed_forward % 64 or self.hidden % self.heads:
            raise InputError(
                "hidden and feed_forward must be multiples of 64, and heads must divide hidden"
            )


SKILL = Stage(0, echoes=0.25, novel_words=0.4, novel_names=0.6)
"""Practice in copying from the first step on; `docs/decisions/003-curriculum.md` says why."""
CONFIGS: Mapping[str, PretrainConfig] = {
    "lead": PretrainConfig(
        "lead",
        hidden=192,
        layers=5,
        heads=6,
        feed_forward=512,
        steps=9000,
        stages=(SKILL,),
    ),
    "understudy": PretrainConfig(
        "understudy",
        hidden=128,
        layers=4,
        heads=4,
        feed_forward=384,
        steps=9000,
        stages=(SKILL, replace(SKILL, first_step=7200, habits=True)),
    ),
}
