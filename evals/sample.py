"""The values of an evaluation: a sample, the answer to it, and what a scorer makes of the two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.messages import JsonObject, JsonValue, Message, Tool, ToolCall


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of a dataset."""

    id: str
    messages: tuple[Message, ...]
    """The input; a system prompt of the task is put before it."""
    target: JsonValue = field(hash=False)
    """The ideal answer; its shape is the scorer's."""
    group: str
    """The source that samples share (a document, a template); its own id where there is none."""
    tools: tuple[Tool, ...] = ()
    details: JsonObject = field(default_factory=dict, hash=False)
    """What the scorer needs besides the target: a schema, instructions, documents."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to a sample."""

    text: str
    tool_calls: tuple[ToolCall, ...] | None = None
    """Calls that came apart from the text; None: they are to be read from the text."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a scorer says of one answer."""

    values: Mapping[str, float] = field(hash=False)
    """Metric to mark, 0.0 to 1.0; a metric that does not apply to the sample is left out."""
    repaired: Mapping[str, float] = field(default_factory=dict, hash=False)
    """The marks after what a lenient reader repairs; only where repair applies."""
    failure: str | None = None
    """Label of what is wrong; None: nothing is."""
    counts: Mapping[str, float] = field(default_factory=dict, hash=False)
    """What metrics over all samples are made of: hits, misses, a predicted label's confidence."""
    notes: JsonObject = field(default_factory=dict, hash=False)
    """What a reader of the item should see: the calls that were read, the predicted label."""


class Scorer(Protocol):
    """Judges answers by rules alone: no model, no network, the same score each time."""

    def __call__(self, sample: Sample, answer: Answer) -> Score:
        """Return the score.

        Raises:
            ScoringError: the sample is not one that this scorer can judge.
        """
        ...


@dataclass(frozen=True, slots=True)
class Grade:
    """A score, and which sample and repeat it is of."""

    id: str
    group: str
    score: Score
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric over many samples, with its 95% interval."""

    value: float
    low: float | None
    """None: too few samples or groups for an interval."""
    high: float | None
    n: int
    """Samples that it is of."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the estimate as JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


Grades = Sequence[Grade]
