"""The grading stage of a run whose task is scored by a judge: `scorer: judge`.

The task's arguments are `{rubric, model}`. Verdicts go to `verdicts.jsonl` in the run's folder, so
that a run that is graded again asks nothing twice.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from core.gateway.gateway import Gateway
from evals.grade_stage import Graded
from evals.grading_wire import GradingFailure
from evals.judge.asking import Judge, make_judge
from evals.judge.candidates import Candidate, refuse_candidates
from evals.judge.judged import judge_answers
from evals.judge.pointwise import Item, Marked
from evals.judge.rubric_files import load_rubric, rubric_folders
from evals.judge.run_answers import candidate_of, item_of
from evals.judge.scorer import judge_scorer
from evals.judge.verdicts import VERDICTS_FILE, VerdictFile
from evals.manifest import Key, Manifest
from evals.run_files import RunFolder
from evals.run_rows import Row
from evals.sample import Sample
from evals.task import Task

SCORER = "judge"
__all__ = ["SCORER", "JudgeGrading", "judge_scorer", "judge_version", "task_judge"]


def task_judge(gateway: Gateway, home: Path, task: Task) -> Judge:
    """Return the judge that a task names.

    Raises:
        AppError: there is no such rubric or model, or its weights can't be fetched or read.
    """
    rubric = load_rubric(str(task.arguments["rubric"]), rubric_folders(home))
    return make_judge(gateway, str(task.arguments["model"]), rubric)


def judge_version(judge: Judge, candidate: Candidate) -> str:
    """Return what stands in a manifest for a judge, beside the grader's version.

    Marks of another rubric or other weights are not comparable, and this tells them apart.

    Raises:
        InputError: the judge is the candidate.
    """
    refuse_candidates(judge.gateway.traffic, judge.model, [candidate])
    known = f"{judge.rubric.digest} {judge.served}"
    return f"judge:{hashlib.sha256(known.encode()).hexdigest()[:16]}"


class JudgeGrading:
    """Takes a run's answers as they come, and has them judged at the end.

    The same methods as `evals.grade_stage.Grading`.
    """

    def __init__(
        self, judge: Judge, task: Task, samples: Mapping[str, Sample], folder: RunFolder
    ) -> None:
        self._judge = judge
        self._task = task
        self._samples = samples
        self._path = folder.path / VERDICTS_FILE
        self._items: dict[Key, Item] = {}

    def add(self, row: Row) -> None:
        """Have an answer judged, if the row has one."""
        if row.status == "ok":
            self._items[row.key] = item_of(self._task, self._samples[row.id], row)

    def finish(self, manifest: Manifest) -> Graded:
        """Ask the judge, and return the grades in the planned order.

        Raises:
            InputError: the judge is the candidate.
            ScoringError: it does not agree with the anchors, so nothing is graded.
            StorageError: a verdict can't be written.
        """
        refuse_candidates(self._judge.gateway.traffic, self._judge.model, [candidate_of(manifest)])
        items = [self._items[key] for key in manifest.keys if key in self._items]
        judged = judge_answers(self._judge, items, VerdictFile(self._path))
        failures = {
            Key(each.item.id, each.item.repeat): GradingFailure("sample", _why(each))
            for each in judged.marked
            if each.mark is None
        }
        return Graded(tuple(judged.grades), failures)

    def close(self) -> None:
        """Hold nothing that must be freed."""


def _why(marked: Marked) -> str:
    failed = [verdict.reason for verdict in marked.verdicts if verdict.status != "ok"]
    return failed[-1] if failed else "the judge's calls disagree"
