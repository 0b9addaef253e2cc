"""What grades a run: a scorer in processes of its own, or a judge by way of the gateway."""

from collections.abc import Mapping
from typing import Protocol

from evals.bench import Bench
from evals.grade_stage import GRADER_VERSION, Graded, Grading
from evals.judge.grade_stage import SCORER, JudgeGrading, judge_version, task_judge
from evals.judge.run_answers import candidate_of
from evals.manifest import Manifest
from evals.run_files import RunFolder
from evals.run_rows import Row
from evals.sample import Sample
from evals.task import Task


class Grader(Protocol):
    """Grades the answers of one run."""

    def add(self, row: Row) -> None:
        """Have an answer graded, if the row has one."""
        ...

    def finish(self, manifest: Manifest) -> Graded:
        """Wait for all that was added, and return it in the planned order."""
        ...

    def close(self) -> None:
        """Take nothing more."""
        ...


def make_grader(
    bench: Bench, task: Task, samples: Mapping[str, Sample], folder: RunFolder
) -> Grader:
    """Return what grades a run of the task.

    Raises:
        AppError: the task's judge is not in the catalog, or can't be fetched or read.
    """
    if is_judged(task):
        return JudgeGrading(task_judge(bench.gateway, bench.home, task), task, samples, folder)
    return Grading(task, samples)


def grader_version(bench: Bench, task: Task, manifest: Manifest) -> str:
    """Return what grades must share to be compared; a judge's weights and rubric are part of it.

    Raises:
        InputError: the judge is the model that is judged.
    """
    if not is_judged(task):
        return GRADER_VERSION
    judge = task_judge(bench.gateway, bench.home, task)
    return f"{GRADER_VERSION} {judge_version(judge, candidate_of(manifest))}"


def is_judged(task: Task) -> bool:
    """Say whether a model grades the task's answers."""
    return task.scorer == SCORER
