"""Items of a task as prompts for people, and the scorer's word on what models answer to them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import NotFoundError
from core.messages import Generation, GenerationParams, Message, Tool
from evals.graders import is_judged
from evals.grading import GradingFailure, ScorerSpec, grade_all
from evals.sample import Answer, Sample, Score
from evals.task import Task
from evals.task_files import list_tasks, load_task, samples_of

Verdict = Score | GradingFailure | None
"""None: there was no answer to judge."""


@dataclass(frozen=True, slots=True)
class Item:
    """One sample of a task, as a model is asked it in a run."""

    task: str
    id: str
    messages: tuple[Message, ...]
    """Whole, the system prompt of the task or the sample first; ends with the user or a tool."""
    tools: tuple[Tool, ...]
    params: GenerationParams
    metrics: tuple[str, ...]
    """What the scorer marks; the first is the primary one."""

    @property
    def system(self) -> str:
        """Return the system prompt; empty for none."""
        return self.messages[0].text if self.messages[0].role == "system" else ""

    @property
    def given(self) -> tuple[Message, ...]:
        """Return what was said before the question, the system prompt left out."""
        first = 1 if self.messages[0].role == "system" else 0
        last = -1 if self.messages[-1].role == "user" else None
        return self.messages[first:last]

    @property
    def question(self) -> str:
        """Return the last message if it is a person's; empty when a tool's result is last."""
        return self.messages[-1].text if self.messages[-1].role == "user" else ""


def item_tasks(home: Path) -> tuple[str, ...]:
    """Return the names of the tasks that have items, sorted; no file is read.

    Raises:
        InputError: a task of the user's has the name of a shipped one.
    """
    return list_tasks(home)


def random_item(home: Path, task: str) -> Item:
    """Return an item of the task, drawn by chance.

    Raises:
        InputError: the name, the task's file or a row is wrong.
        NotFoundError: there is no such task, or its dataset is missing.
        StorageError: a file can't be read.
    """
    found = load_task(task, home)
    return as_item(found, secrets.choice(samples_of(found)))


def find_item(home: Path, task: str, item_id: str) -> Item:
    """Return the item of this id.

    Raises:
        NotFoundError: there is no such task or item, or the task's dataset is missing.
        InputError, StorageError: as `random_item`.
    """
    found = load_task(task, home)
    return as_item(found, _sample(found, item_id))


def verdicts(
    home: Path, task: str, item_id: str, generations: Sequence[Generation | None]
) -> tuple[Verdict, ...]:
    """Return what the task's scorer says of each answer, in order; takes up to seconds.

    The scorer runs in a process of its own, so that a hostile answer costs its own verdict only. A
    task that a model judges has none here: its judge must be calibrated first, which a run does.

    Raises:
        NotFoundError, InputError, StorageError: as `find_item`.
        ScoringError: the scorers can't be loaded.
    """
    found = load_task(task, home)
    sample = _sample(found, item_id)
    if is_judged(found):
        why = GradingFailure("sample", "a model judges this task; start a run to have it judged")
        return tuple(None if each is None else why for each in generations)
    pairs = [
        (place, sample, Answer(each.text, each.tool_calls or None))
        for place, each in enumerate(generations)
        if each is not None
    ]
    graded = dict(grade_all(ScorerSpec(found.scorer, found.arguments), pairs, workers=1))
    return tuple(graded.get(place) for place in range(len(generations)))


def _sample(task: Task, item_id: str) -> Sample:
    for sample in samples_of(task):
        if sample.id == item_id:
            return sample
    raise NotFoundError(f"task {task.name!r} has no item {item_id[:80]!r}; choose another one")


def as_item(task: Task, sample: Sample) -> Item:
    """Return a sample as a model is asked it in a run."""
    system = (Message("system", task.system),) if task.system else ()
    return Item(
        task=task.name,
        id=sample.id,
        messages=(*system, *sample.messages),
        tools=sample.tools,
        params=task.params,
        metrics=task.metrics,
    )
