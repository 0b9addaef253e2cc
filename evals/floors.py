"""What a task gives to answers that take no understanding: its floor."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from core.errors import ScoringError
from core.json_text import canonical
from core.messages import JsonValue
from evals.ideal import ABSTENTION, ideal_answer
from evals.sample import Answer, Grade, Sample
from evals.task import Floor, Task
from evals.task_scorer import scorer_of
from evals.totals import estimate_of

QUESTION = "{question}"
"""Stands for the sample's own last message: the answer that only repeats what was asked."""
TRIVIAL = (
    "",
    "{}",
    "[]",
    "I will look into it and come back to you with an answer as soon as I can.",
    ABSTENTION,
    QUESTION,
)
"""Answers that are tried on every task."""


def trivial_answers(task: Task, samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return `TRIVIAL`, and the most frequent target, the first of several, as an answer's text.

    There is no such text where a task's samples have no ideal answer.
    """
    targets = Counter(canonical(sample.target) for sample in samples)
    ((frequent, _),) = targets.most_common(1)
    sample = next(each for each in samples if canonical(each.target) == frequent)
    try:
        ideal = ideal_answer(sample, task)
    except ScoringError:
        return TRIVIAL
    calls: list[JsonValue] = [
        {"name": call.name, "arguments": json.loads(call.arguments)}
        for call in ideal.tool_calls or ()
    ]
    constant = json.dumps(calls, ensure_ascii=False) if calls else ideal.text
    return tuple(dict.fromkeys((*TRIVIAL, constant)))


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
        grades = [Grade(s.id, s.group, score(s, _answer(s, answer))) for s in samples]
        estimate = estimate_of(metric, grades)
        if estimate is None:
            raise ScoringError(f"task {task.name!r}: scorer {task.scorer!r} gives no {metric!r}")
        yield estimate.value


def _answer(sample: Sample, text: str) -> Answer:
    return Answer(sample.messages[-1].text if text == QUESTION else text)
