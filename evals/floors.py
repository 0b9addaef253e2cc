"""What a task gives to answers that take no understanding: its floor."""

from collections import Counter
from collections.abc import Iterator, Sequence

from core.errors import ScoringError
from evals.ideal import ABSTENTION
from evals.sample import Answer, Grade, Sample
from evals.task import Floor, Task
from evals.task_scorer import scorer_of
from evals.totals import estimate_of

TRIVIAL = (
    "",
    "{}",
    "[]",
    "I will look into it and come back to you with an answer as soon as I can.",
    ABSTENTION,
)
"""Answers that are tried on every task."""


def trivial_answers(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return `TRIVIAL`, and the most frequent target where targets are texts."""
    texts = Counter(sample.target for sample in samples if isinstance(sample.target, str))
    frequent = [text for text, count in texts.most_common(1) if count > 1]
    return (*TRIVIAL, *frequent)


def measure_floor(task: Task, samples: Sequence[Sample], answers: Sequence[str]) -> Floor:
    """Return the best primary metric of those trivial answers, each given to every sample.

    Raises:
        InputError: the task's scorer can't be made.
        ScoringError: a sample can't be judged, or the primary metric has no value.
    """
    return Floor(answers=tuple(answers), value=max(_values(task, samples, answers)))


def _values(task: Task, samples: Sequence[Sample], answers: Sequence[str]) -> Iterator[float]:
    score, metric = scorer_of(task), task.metrics[0]
    for answer in answers:
        grades = [Grade(s.id, s.group, score(s, Answer(answer))) for s in samples]
        estimate = estimate_of(metric, grades)
        if estimate is None:
            raise ScoringError(f"task {task.name!r}: scorer {task.scorer!r} gives no {metric!r}")
        yield estimate.value
