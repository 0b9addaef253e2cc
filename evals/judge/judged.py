"""Judging the answers of a run: the gate first, then marks as scores, and what is missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.errors import InputError
from core.messages import JsonValue
from evals.judge.anchors import AnchorCheck, check_marks
from evals.judge.asking import Judge
from evals.judge.pointwise import Item, Marked, mark_items
from evals.judge.rubric import BEST_MARK, Rubric
from evals.judge.verdicts import VerdictFile
from evals.sample import Estimate, Grade, Score
from evals.stats.intervals import Bounds, bounds, estimate

MOST_MISSING = 0.01
"""Share of answers without a mark above which a judged run is invalid."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judge made of the answers of a run."""

    rubric: Rubric
    anchors: AnchorCheck
    marked: tuple[Marked, ...]

    @property
    def grades(self) -> list[Grade]:
        """Return the answers that have a mark, as the other scorers' grades."""
        return [
            Grade(each.item.id, each.item.group or each.item.id, score, each.item.repeat)
            for each in self.marked
            if (score := score_of(self.rubric, each)) is not None
        ]

    @property
    def missing(self) -> list[tuple[str, int]]:
        """Return id and repeat of the answers without a mark, which are no scores."""
        return [(each.item.id, each.item.repeat) for each in self.marked if each.mark is None]


@dataclass(frozen=True, slots=True)
class JudgeReport:
    """A judged run in figures."""

    n: int
    """Planned answers, also those without a mark."""
    missing: int
    metrics: Mapping[str, Estimate] = field(hash=False)
    """Over the answers that have a mark."""
    bounds: Mapping[str, Bounds] = field(hash=False)
    """Of each metric, if all missing marks are 0.0 and if all are 1.0."""
    zeroed: Mapping[str, int] = field(hash=False)
    """Condition to the answers that it marked without the judge."""
    calls: int
    failed_calls: int
    """Without a verdict, for whatever reason."""
    third_calls: int
    """Answers whose first calls disagreed or brought too little."""
    cost_usd: float | None
    """None: not known of every call."""

    @property
    def is_valid(self) -> bool:
        """Whether few enough marks are missing."""
        return self.missing <= MOST_MISSING * self.n

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the report as JSON."""
        return {
            "n": self.n,
            "missing": self.missing,
            "status": "completed" if self.is_valid else "invalid",
            "metrics": {name: each.to_dict() for name, each in self.metrics.items()},
            "bounds": {name: list(each) for name, each in self.bounds.items()},
            "zeroed": dict(self.zeroed),
            "calls": self.calls,
            "failed_calls": self.failed_calls,
            "third_calls": self.third_calls,
            "cost_usd": self.cost_usd,
        }


def judge_answers(judge: Judge, items: Sequence[Item], verdicts: VerdictFile) -> Judged:
    """Return the marks of the answers, after the judge has agreed with the anchors.

    That the judge is no candidate is for `candidates.refuse_candidates` to see to, before.

    Raises:
        ScoringError: the judge does not agree with the anchors; nothing else was asked.
        StorageError: a verdict can't be written.
    """
    anchors = check_marks(judge, verdicts)
    return Judged(judge.rubric, anchors, tuple(mark_items(judge, items, verdicts)))


def score_of(rubric: Rubric, marked: Marked) -> Score | None:
    """Return an answer's marks as a score; None where the whole mark is missing."""
    if marked.mark is None:
        return None
    is_good = marked.mark >= rubric.pass_mark
    parts = {f"judge_{name}": marked.marks[name] / BEST_MARK for name in rubric.names}
    notes: dict[str, JsonValue] = {
        "marks": dict(marked.marks),
        "without_judge": dict(marked.zeroed),
        "reasons": [verdict.reason for verdict in marked.verdicts],
    }
    return Score(
        values={"judge": marked.mark, "judge_pass": float(is_good), **parts},
        failure=None if is_good else _failure(rubric, marked),
        notes=notes,
    )


def report_of(judged: Judged, unanswered: int = 0) -> JudgeReport:
    """Return the figures of a judged run.

    `unanswered`: planned answers that there are not, which count as missing.

    Raises:
        InputError: no answer was planned.
    """
    n, missing = len(judged.marked) + unanswered, len(judged.missing) + unanswered
    if not n:
        raise InputError("there are no answers to judge")
    grades = judged.grades
    groups = [grade.group for grade in grades]
    names = ["judge", "judge_pass", *(f"judge_{name}" for name in judged.rubric.names)]
    values = {name: [grade.score.values[name] for grade in grades] for name in names}
    verdicts = [verdict for each in judged.marked for verdict in each.verdicts]
    costs = [verdict.cost_usd for verdict in verdicts]
    known = [cost for cost in costs if cost is not None]
    return JudgeReport(
        n=n,
        missing=missing,
        metrics={name: estimate(values[name], groups) for name in names if grades},
        bounds={name: bounds(sum(values[name]), n, missing) for name in names},
        zeroed=Counter(why for each in judged.marked for why in set(each.zeroed.values())),
        calls=len(verdicts),
        failed_calls=sum(verdict.status != "ok" for verdict in verdicts),
        third_calls=sum(
            any(verdict.call == judged.rubric.calls for verdict in each.verdicts)
            for each in judged.marked
        ),
        cost_usd=sum(known) if len(known) == len(costs) else None,
    )


def _failure(rubric: Rubric, marked: Marked) -> str:
    """Return why an answer is not good: what gave it zeros, or the dimension that cost it most."""
    whole = set(marked.zeroed.values())
    if len(marked.zeroed) == len(rubric.names) and whole:
        return next(iter(marked.zeroed.values()))
    worst = min(rubric.names, key=lambda name: marked.marks[name])
    return f"low_{worst}"
