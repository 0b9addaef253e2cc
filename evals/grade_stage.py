"""The second stage of a run: answers are graded while others are still being generated."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

from evals.grading import GradingFailure, ScorerSpec, grade_all
from evals.manifest import Key, Manifest
from evals.run_rows import Row
from evals.sample import Answer, Grade, Sample, Score
from evals.task import Task

GRADER_VERSION = "3"
"""Raise it when a scorer would mark the same answer otherwise: older grades then stand apart."""


@dataclass(frozen=True, slots=True)
class Graded:
    """What grading made of a run's answers."""

    grades: tuple[Grade, ...]
    """In the planned order."""
    ungraded: Mapping[Key, GradingFailure] = field(hash=False)
    """Answers that no scorer could judge: missing, not wrong."""


class Grading:
    """Grades answers as they come, in processes of their own."""

    def __init__(self, task: Task, samples: Mapping[str, Sample]) -> None:
        self._samples = samples
        self._rows: SimpleQueue[Row | None] = SimpleQueue()
        self._scores: dict[Key, Score] = {}
        self._failures: dict[Key, GradingFailure] = {}
        self._thread = ThreadPoolExecutor(1, "grading")
        self._work = self._thread.submit(self._run, ScorerSpec(task.scorer, task.arguments))

    def add(self, row: Row) -> None:
        """Have an answer graded, if the row has one."""
        if row.status == "ok":
            self._rows.put(row)

    def finish(self, manifest: Manifest) -> Graded:
        """Wait for all that was added, and return it in the planned order.

        Raises:
            ScoringError: the scorer can't be made from its name and arguments.
            UnavailableError: its processes can't be started.
        """
        self.close()
        self._work.result()
        grades = [
            Grade(key.id, self._samples[key.id].group, self._scores[key], key.repeat)
            for key in manifest.keys
            if key in self._scores
        ]
        failures = {key: self._failures[key] for key in manifest.keys if key in self._failures}
        return Graded(tuple(grades), failures)

    def close(self) -> None:
        """Take nothing more; return when what was added is graded and the processes have ended."""
        self._rows.put(None)
        self._thread.shutdown(wait=True)

    def _run(self, spec: ScorerSpec) -> None:
        for row, found in grade_all(spec, self._pairs()):
            if isinstance(found, GradingFailure):
                self._failures[row.key] = found
            else:
                self._scores[row.key] = _noted(found, row)

    def _pairs(self) -> Iterator[tuple[Row, Sample, Answer]]:
        while (row := self._rows.get()) is not None:
            yield row, self._samples[row.id], row.answer()


def _noted(score: Score, row: Row) -> Score:
    """Return the score with a note where the answer used up the run's own `max_tokens`."""
    if row.finish_reason != "length":
        return score
    return replace(score, notes={**score.notes, "over_budget": True})
