"""The HTML of votes: what was behind a side, ratings, and experiments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.messages import Generation
from core.outcomes import Outcome
from core.store.battle_records import Source
from core.store.experiments import Experiment
from evals.arena.items import Verdict
from evals.arena.panel import Panel
from evals.arena.results import words_of
from evals.arena.shown import Reveal, RevealedSide
from evals.arena.standings import Standing
from evals.ratings import Rating
from evals.ratings.rate import FEW_BATTLES
from tabs.chat_view import ENDS, cost, seconds, tokens
from tabs.compare_markup import compared, verdict_text
from tabs.templates import make_templates

OUTCOME_WORDS: Mapping[Outcome, str] = {
    "model_a": "A better",
    "model_b": "B better",
    "tie": "tie",
    "both_bad": "both bad",
}
METRIC_WORDS = {
    "votes": "people's votes",
    "task": "the marks of task {}",
    "thumbs": "thumbs in Chat",
    "judge": "a judge's votes on task {}",
}


FOR_PROGRAMS = " (`component`)"
"""Where programs find what a page calls a group."""


@dataclass(frozen=True, slots=True)
class Group:
    """Models that battles connect, or those without any rating."""

    title: str
    models: tuple[Rating, ...]


class VotePages:
    """Renders what the sections Battle, Ratings and Experiments show."""

    def __init__(self, folder: Path) -> None:
        self._templates = make_templates(folder)
        self._templates.filters |= {"seconds": seconds, "capitalize_first": capitalize_first}

    def side(self, side: RevealedSide, verdict: Verdict = None, metric: str = "") -> str:
        """Return what was behind one side, and the scorer's word on its answer if there is one."""
        words, is_right = verdict_text(verdict, metric)
        facts = facts_of(side.generation)
        return self._render("reveal.html", side=side, facts=facts, verdict=words, is_right=is_right)

    def differences(self, reveal: Reveal) -> str:
        """Return how the two answers differ, as Side by side shows it."""
        a, b = (f"{name}, {s.arm.model}" for name, s in (("A", reveal.a), ("B", reveal.b)))
        pair = compared(a, b, reveal.a.generation, reveal.b.generation, reveal.tools)
        return self._render("battle_result.html", pairs=[pair])

    def ratings(self, standing: Standing, source: Source) -> str:
        """Return the tables of a standing."""
        outcomes = [(OUTCOME_WORDS[o], many) for o, many in standing.ratings.outcomes.items()]
        return self._render(
            "ratings.html",
            standing=standing,
            source=source,
            note=(standing.ratings.note or "").replace(FOR_PROGRAMS, ""),
            outcomes=outcomes,
            excluded=[(words_of(why), many) for why, many in standing.excluded.items()],
            groups=groups_of(standing.ratings.models),
            length=standing.ratings.length,
            few=FEW_BATTLES,
        )

    def experiment(self, panel: Panel) -> str:
        """Return an experiment as it stands."""
        return self._render(
            "experiment.html",
            panel=panel,
            plan=plan_text(panel.experiment),
            interval=interval_words(panel.experiment),
            counts=counts_of(panel),
            span=span_of(panel),
            excluded=[(words_of(why), many) for why, many in panel.excluded.items()],
            arms=list(zip("AB", panel.arms, strict=True)),
        )

    def _render(self, name: str, **values: Any) -> str:
        return self._templates.get_template(name).render(**values)


def facts_of(generation: Generation) -> list[tuple[str, str]]:
    """Return names and values of what a generation took; unknown is said to be unknown."""
    timings, usage = generation.timings, generation.usage
    speed = timings.tokens_per_s
    found = [
        ("First token", seconds(timings.first_token_s)),
        ("Total", seconds(timings.total_s)),
        ("Speed", "unknown" if speed is None else f"{speed:.0f} tokens/s"),
        ("Tokens", f"{tokens(usage.input_tokens)} in, {tokens(usage.output_tokens)} out"),
        ("Cost", cost(generation.cost_usd)),
    ]
    if generation.finish_reason in ENDS:
        found.append(("End", ENDS[generation.finish_reason]))
    return found


def groups_of(models: Sequence[Rating]) -> list[Group]:
    """Return the models of each connected part, then those without a rating."""
    parts = list(dict.fromkeys(model.component for model in models))
    return [
        Group(
            "Not rated" if part is None else f"Group {part}",
            tuple(model for model in models if model.component == part),
        )
        for part in sorted(parts, key=lambda part: (part is None, part or 0))
    ]


def counts_of(panel: Panel) -> list[tuple[str, str]]:
    """Return names and values of what was counted."""
    counts = panel.counts
    more = "no end in sight" if panel.more is None else f"about {panel.more:,}"
    found = [
        ("A won", f"{counts.wins_a:,}"),
        ("B won", f"{counts.wins_b:,}"),
        ("Ties", f"{counts.ties:,}"),
        ("Both bad", f"{counts.both_bad:,}"),
        ("Items", f"{counts.n:,}"),
    ]
    is_open = panel.verdict == "not_enough" and not panel.is_final
    return [*found, ("Still needed", more)] if is_open else found


def plan_text(experiment: Experiment) -> str:
    """Return in words what decides, and when."""
    what = METRIC_WORDS[experiment.metric].format(experiment.task)
    plan, made = experiment.plan, experiment.made_at.strftime("%Y-%m-%d %H:%M UTC")
    if plan.kind == "fixed_n":
        when = f"one look after {plan.n:,} items"
    else:
        when = f"looks at any time, with a false winner at most {100 * plan.alpha:g}% of the time"
    smallest = ""
    if plan.delta:
        smallest = f"; a difference below {100 * plan.delta:g} points counts as none"
    judge = f" by {experiment.judge}, {experiment.rubric}" if experiment.judge else ""
    return f"Decided by {what}{judge}; {when}{smallest}. Planned {made}, before the first item."


def interval_words(experiment: Experiment) -> str:
    """Return what kind of interval the panel shows."""
    if experiment.plan.kind == "fixed_n":
        return "95% interval"
    return f"always-valid {100 - 100 * experiment.plan.alpha:g}% interval"


def span_of(panel: Panel) -> dict[str, float | None] | None:
    """Return where difference, interval and delta lie on an axis from -1 to 1, in percent."""
    difference = panel.difference
    if difference is None:
        return None
    delta = panel.experiment.plan.delta
    low, high = difference.low, difference.high
    known = low is not None and high is not None
    return {
        "value": _percent(difference.value),
        "low": _percent(low) if known and low is not None else None,
        "width": (high - low) * 50 if low is not None and high is not None else None,
        "delta": delta * 100,
        "delta_left": _percent(-delta),
    }


def capitalize_first(text: str) -> str:
    """Return a sentence that begins with a capital letter."""
    return text[:1].upper() + text[1:]


def _percent(value: float) -> float:
    return round((value + 1) * 50, 2)
