"""What stands for a judge among the scorers, which grading processes load: no model, no gateway."""

from dataclasses import dataclass

from core.errors import InputError, ScoringError
from evals.sample import Answer, Sample, Score, Scorer


@dataclass(frozen=True, slots=True)
class _AskedElsewhere:
    """Stands among the scorers, so that a task file is checked like every other."""

    rubric: str
    model: str

    def __call__(self, sample: Sample, answer: Answer) -> Score:
        """Refuse: a judge is asked through the gateway, by the run.

        Raises:
            ScoringError: always.
        """
        del sample, answer
        raise ScoringError(f"{self.model!r} judges through the gateway, in the run's own process")


def judge_scorer(rubric: str, model: str) -> Scorer:
    """Return what stands for a judge among the scorers.

    Raises:
        InputError: rubric or model is no name.
    """
    if not (isinstance(rubric, str) and rubric and isinstance(model, str) and model):
        raise InputError("a judge needs the names of a rubric and of a model of the catalog")
    return _AskedElsewhere(rubric, model)
