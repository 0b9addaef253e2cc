"""Does a JSON answer meet a set of constraints: counts, no repeats, enums, patterns, ranges?"""

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import InputError, ScoringError
from core.json_text import JsonFailure
from core.messages import JsonObject
from evals.sample import Answer, Sample, Score, Scorer
from evals.scorers.constraint_rules import Constraint, read_constraint
from evals.scorers.json_answers import format_failure, reading_notes
from evals.strict_json import Reading, read_json


def constraints(constraints: Sequence[JsonObject] = ()) -> Scorer:
    """Return a scorer of the task's constraints; a sample's `details.constraints` are added.

    How one is declared: `evals.scorers.constraint_rules`. Marks: `constraints_met` (1.0 for all
    of them) and `constraints_share`, both 0.0 where the whole text is not strict JSON; repaired:
    the same after lenient reading. Failures: `not_json`; the name of the first constraint that
    the JSON breaks; `json_fenced` or `json_repairable` where nothing else is wrong.

    Raises:
        InputError: a constraint can't be read.
    """
    if isinstance(constraints, str) or not isinstance(constraints, Sequence):
        raise InputError(f"constraints must be a list of objects, got {constraints!r}")
    return ConstraintSet(tuple(map(read_constraint, constraints)))


@dataclass(frozen=True, slots=True)
class ConstraintSet:
    """Constraints that hold for every sample of a task."""

    shared: tuple[Constraint, ...]

    def __call__(self, sample: Sample, answer: Answer) -> Score:
        """Return the marks.

        Raises:
            ScoringError: there is no constraint, or the sample's can't be read.
        """
        wanted = (*self.shared, *sample_constraints(sample))
        if not wanted:
            raise ScoringError(f"sample {sample.id!r} has no constraints, and its task has none")
        read = read_json(answer.text)
        if isinstance(read, JsonFailure):
            return _score(read, wanted, wanted)
        broken = [constraint for constraint in wanted if not constraint.is_met(read.value)]
        return _score(read, wanted, broken)


def sample_constraints(sample: Sample) -> list[Constraint]:
    """Return the constraints in the sample's details; none where there are none.

    Raises:
        ScoringError: they can't be read.
    """
    declared = sample.details.get("constraints", [])
    if isinstance(declared, str) or not isinstance(declared, Sequence):
        raise ScoringError(f"the constraints of sample {sample.id!r} must be a list")
    try:
        return [read_constraint(each) for each in declared]
    except InputError as error:
        raise ScoringError(f"sample {sample.id!r}: {error}") from error


def _score(
    read: Reading | JsonFailure, wanted: Sequence[Constraint], broken: Sequence[Constraint]
) -> Score:
    share = (len(wanted) - len(broken)) / len(wanted)
    is_raw = isinstance(read, Reading) and read.level == "raw"
    label = format_failure(read, "any")
    if isinstance(read, Reading) and broken:
        label = broken[0].name
    return Score(
        values=_marks(share if is_raw else 0.0),
        repaired=_marks(share),
        failure=label,
        notes={**reading_notes(read), "broken": [constraint.name for constraint in broken]},
    )


def _marks(share: float) -> dict[str, float]:
    return {"constraints_met": float(share == 1.0), "constraints_share": share}
