"""A task: a dataset, how a model is asked, and how its answers are judged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.messages import GenerationParams, JsonObject


@dataclass(frozen=True, slots=True)
class Floor:
    """What trivial answers score: a model below it has learnt nothing."""

    answers: tuple[str, ...]
    """The trivial answers, each given to every sample; `{question}` is the sample's own."""
    value: float
    """Best primary metric that one of them reached, 0.0 to 1.0; a test measures it again."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task file."""

    name: str
    description: str
    dataset: Path
    """JSONL with `id`, `input`, `target`, `group`, `tools`, `details`."""
    system: str
    """System prompt put before each sample's messages; empty for none."""
    scorer: str
    """Name of a scorer in `evals.scorers.SCORERS`, or of a judge."""
    arguments: JsonObject = field(hash=False)
    """What the scorer is made with."""
    metrics: tuple[str, ...]
    """Metrics that are reported; the first is the primary one."""
    params: GenerationParams
    floor: Floor | None
    """None: not measured."""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What readers filter by: domain, licence, source."""
