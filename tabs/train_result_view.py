"""What the step Result shows: figures, samples before and after, and what an evaluation says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import AppError
from core.gateway.buckets import spoken
from core.store.adapters import StoredAdapter
from evals.before_after import BeforeAfter, Pair, Subject, find_pairs
from evals.leaderboard_items import Outcome
from evals.leaderboard_pending import RunState
from tabs.compare_link import CompareLink
from tabs.leaderboard_view import View, text_of
from tabs.train_links import place_of
from tabs.train_parts import TrainParts
from tabs.train_run_figures import Figure
from tabs.train_run_plots import POINTS
from training.history import EVAL, History, Sample
from training.job_view import JobView
from training.registry import Registry

MARKS = re.compile(r"<\|[^|<>]{0,40}\|>")
MAX_TITLE = 100
MAX_STATES = 8
"""Evaluations under way or unfinished that are shown."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a page shows already; that is not sent again."""

    every_s: float = 0.0
    run: str = ""
    is_comparable: bool = False
    told: str = ""
    evaluated: str = ""


class ResultScreen:
    """Reads what came of a run and says what a page shows of it; safe to share between threads."""

    def __init__(self, parts: TrainParts) -> None:
        self._parts = parts
        self._before_after = BeforeAfter()
        self._registry = Registry(parts.services.store, parts.home)

    def history(self, run: str) -> History:
        """Return a run's curves and samples."""
        return self._parts.histories.look(run, POINTS)

    def told(self, view: JobView, history: History) -> str:
        """Return the run's figures and samples as HTML."""
        return self._parts.render(
            "train_result.html",
            place=place_of("result", run=view.job.id),
            job=view.job,
            adapter=view.adapter,
            figures=result_figures(history),
            samples=[(title_of(sample), sample) for sample in history.samples],
        )

    def subject(self, view: JobView) -> Subject | None:
        """Return what is compared; None while the run has made no version."""
        return None if view.adapter is None else subject_of(self._registry.get(view.adapter))

    def states(self, subject: Subject) -> tuple[RunState, ...]:
        """Return the evaluations of both that are not complete."""
        wanted = (subject.base, subject.adapted)
        found = [s for s in self._parts.board.panel.runs.states() if s.model in wanted]
        return tuple(found[:MAX_STATES])

    def evaluated(self, subject: Subject | None, states: Sequence[RunState]) -> str:
        """Return what evaluations say, as HTML."""
        if subject is None:
            return ""
        pairs = find_pairs(self._parts.board.index.all()[0], subject)
        newest = sorted(pairs.values(), key=lambda pair: -pair.adapted.finished_at)
        return self._parts.render(
            "train_evaluation.html",
            subject=subject,
            states=states,
            pairs=[(pair, self._before_after.tell(pair), links_of(pair)) for pair in newest],
            compare=compare_link(subject),
        )


def subject_of(stored: StoredAdapter) -> Subject:
    """Return a registered version beside its base."""
    return Subject(
        base=stored.model,
        base_digest=stored.base_digest,
        adapted=f"{stored.model}@{stored.name}",
        adapter_digest=stored.digest,
    )


def result_figures(history: History) -> tuple[Figure, ...]:
    """Return what was measured while a run was trained; what is unknown is left out."""
    loss, evaluated = history.curves["loss"], history.curves[EVAL]
    end, start = history.completed, history.started
    found: list[tuple[str, str | None]] = [
        ("Steps", f"{loss.steps[-1]:,}" if loss.steps else None),
        ("Loss", f"{loss.values[0]:.4f} to {loss.values[-1]:.4f}" if loss.steps else None),
        ("Eval loss", _range(evaluated.values)),
        ("Best step", _count(end.get("best_step"))),
        ("Better step, lost", _count(end.get("best_step_lost"))),
        ("Tokens", _count(history.tokens or None)),
        ("Examples", _count(start.get("examples"))),
        ("Held out", _count(start.get("eval_examples"))),
        ("Trained weights", _count(start.get("trainable_parameters"))),
        ("Most memory", _most(history.curves["memory_gb"].values)),
        ("Work", spoken(history.worked_s) if history.worked_s >= 1 else None),
        ("Ended early", "yes, it got no better" if end.get("is_early") is True else None),
    ]
    return tuple(Figure(name, text) for name, text in found if text is not None)


def title_of(sample: Sample) -> str:
    """Return the last turn of a prompt that says something, in one line."""
    turns = [" ".join(turn.split()) for turn in MARKS.split(sample.prompt)]
    words = next((turn for turn in reversed(turns) if turn.count(" ") >= 2), turns[-1])
    return words if len(words) <= MAX_TITLE else f"{words[:MAX_TITLE]}..."


def links_of(pair: Pair) -> dict[str, str]:
    """Return where the leaderboard has the items of a pair."""

    def items(outcome: Outcome | None) -> str:
        return View(
            task=pair.base.task,
            version=pair.base.version.id,
            model=pair.base.model.id,
            against=pair.adapted.model.id,
            outcome=outcome,
        ).link()

    return {"all": items(None), "fixed": items("only_b"), "broken": items("only_a")}


def compare_link(subject: Subject) -> str:
    """Return where the Compare tab has both side by side."""
    return CompareLink((subject.base, subject.adapted)).address()


def find_view(parts: TrainParts, run: str) -> JobView | None:
    """Return the run that is looked at; None where none is, or it is gone."""
    if not run:
        return None
    try:
        return parts.jobs.show(text_of(run))
    except AppError:
        return None


def _range(values: Sequence[float]) -> str | None:
    if not values:
        return None
    return f"{values[0]:.4f} to {min(values):.4f}" if len(values) > 1 else f"{values[0]:.4f}"


def _most(values: Sequence[float]) -> str | None:
    return f"{max(values):.2f} GB" if values else None


def _count(value: object) -> str | None:
    return f"{value:,}" if type(value) is int else None
