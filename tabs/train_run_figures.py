"""What a run's figures are in words; what is unknown has none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from core.gateway.buckets import spoken
from tabs.templates import number
from training.events import Event
from training.job_states import WORKING
from training.job_view import JobView
from training.mirror_state import MirrorState

QUIET_S = 60.0
"""Silence of a worker after which it is said."""
STALE_S = 120.0
"""The same of a mirror, which writes every second or so."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing."""

    name: str
    text: str
    is_bad: bool = False


def figures_of(view: JobView, mirror: MirrorState | None, now: float) -> tuple[Figure, ...]:
    """Return what is known of a run; `now` is in seconds since 1970."""
    facts = view.facts
    found = [
        ("Loss", None if facts.loss is None else f"{facts.loss:.4f}"),
        ("Eval loss", None if facts.eval_loss is None else f"{facts.eval_loss:.4f}"),
        ("Learning rate", None if facts.learning_rate is None else f"{facts.learning_rate:.3g}"),
        ("Tokens/s", None if facts.tokens_per_s is None else number(facts.tokens_per_s)),
        ("Memory", None if facts.memory_gb is None else f"{facts.memory_gb:.2f} GB"),
        ("Time left", None if view.eta_s is None else f"about {spoken(view.eta_s)}"),
        ("Last checkpoint", None if facts.committed is None else f"step {facts.committed:,}"),
    ]
    figures = [Figure(name, text) for name, text in found if text is not None]
    return (*figures, *_mirror(view, mirror, now))


def notes_of(view: JobView, now: datetime) -> tuple[str, ...]:
    """Return what a person should know besides: waits, silence, what comes next."""
    return tuple(_notes(view, now))


def warning_text(warning: Event) -> str:
    """Return a warning of a worker as one line."""
    known = ("t", "kind", "attempt", "step", "what")
    what = str(warning.get("what", "warning")).replace("_", " ")
    told = [f"{key} {value}" for key, value in warning.items() if key not in known]
    step = f"step {warning['step']}: " if warning["step"] else ""
    return f"{step}{what}{': ' if told else ''}{', '.join(told)}"[:500]


def in_order(views: Sequence[JobView]) -> list[JobView]:
    """Return runs as a list shows them: at work, then waiting in turn, then ended, newest first."""
    working = [view for view in views if view.job.status in WORKING]
    waiting = sorted((v for v in views if v.place is not None), key=lambda view: view.place or 0)
    rest = [v for v in views if v.place is None and v.job.status not in WORKING]
    rest.sort(key=lambda view: view.job.ended_at or view.job.queued_at, reverse=True)
    return [*working, *waiting, *rest]


def _mirror(view: JobView, state: MirrorState | None, now: float) -> Iterator[Figure]:
    if state is None:
        return
    if state.error is not None:
        yield Figure("Mirror", f"fails: {state.error}", is_bad=True)
        return
    step = "nothing there yet" if state.step is None else f"step {state.step:,}"
    if state.behind:
        late = "checkpoint" if state.behind == 1 else "checkpoints"
        step += f", {state.behind} {late} and {spoken(state.lag_s)} behind"
    is_stale = view.job.status in WORKING and now - state.at > STALE_S
    if is_stale:
        step += f", silent since {_clock(datetime.fromtimestamp(state.at, UTC))}"
    yield Figure("Mirror", step, is_bad=is_stale)


def _notes(view: JobView, now: datetime) -> Iterator[str]:
    job = view.job
    if view.place is not None:
        yield f"Place {view.place} in the queue."
    if job.status == "queued" and job.not_before is not None and job.not_before > now:
        yield f"The next attempt starts after {_clock(job.not_before)}."
    if job.status in WORKING and view.beat.phase not in (None, "training", "ended"):
        yield f"The worker is {view.beat.phase}."
    if job.status == "stopping":
        yield "It saves a checkpoint after this step and ends."
    if view.quiet_s is not None and view.quiet_s > QUIET_S:
        yield f"No sign of life from the worker for {spoken(60 * (view.quiet_s // 60))}."


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%H:%M:%S} UTC"
