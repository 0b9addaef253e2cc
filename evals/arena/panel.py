"""The live panel of an experiment: counts, the difference, the verdict, and what each arm costs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from core.catalog import Catalog
from core.errors import StorageError
from core.messages import JsonObject, JsonValue
from core.store.experiments import Experiment, Metric
from evals.arena.costs import ArmFigures, LocalRate, arm_figures
from evals.arena.decisions import Decision, Item, decide
from evals.arena.results import Results
from evals.sample import Estimate
from evals.stats.intervals import proportion
from evals.stats.sequential import LookVerdict

UNITS: Mapping[Metric, str] = {
    "votes": "votes",
    "task": "items",
    "thumbs": "pairs of thumbs",
    "judge": "battles of the judge",
}
"""What the items of a metric are called."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Items that count, by what they say."""

    wins_a: int
    wins_b: int
    ties: int
    both_bad: int
    n: int
    """All of them; `both_bad` is no difference, as a tie is."""


@dataclass(frozen=True, slots=True)
class Panel:
    """What is known of an experiment."""

    experiment: Experiment
    counts: Counts
    difference: Estimate | None
    """Mean of B minus A, -1.0 to 1.0, with the interval that the plan allows: always valid, or
    none before a fixed n is reached. None: no item."""
    verdict: LookVerdict
    more: int | None
    """About how many more items it takes; 0 with a verdict, None: no end in sight, or no more
    items can come."""
    text: str
    """The verdict in words."""
    position: Estimate | None
    """Share of decisive votes of people for the answer shown first; None: nothing was shown first,
    as of a judge, who is asked in both orders."""
    excluded: Mapping[str, int] = field(hash=False)
    """What is not counted, by reason; `results.words_of` has the words."""
    arms: tuple[ArmFigures, ArmFigures]
    notes: tuple[str, ...]
    is_final: bool = False
    """Whether the plan takes no more items."""

    def with_rates(self, rates: Mapping[str, LocalRate]) -> "Panel":
        """Return the panel with costs by these rates, by arm, where no price is known.

        A rate for an arm that runs elsewhere has no effect, and a note says so.
        """
        a, b = (arm.with_rate(rates.get(arm.model)) for arm in self.arms)
        elsewhere = [
            f"{arm.model} does not run on this machine: what was entered is not its cost"
            for arm in self.arms
            if arm.model in rates and not arm.is_local and arm.usd_per_thousand is None
        ]
        return replace(self, arms=(a, b), notes=(*self.notes, *elsewhere))

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the panel as JSON."""
        return {"experiment": self.experiment.to_dict(), **self.result()}

    def result(self) -> dict[str, JsonValue]:
        """Return everything but the experiment itself, as it is kept at the end."""
        return {
            "counts": asdict(self.counts),
            "difference": _json(self.difference),
            "verdict": self.verdict,
            "more": self.more,
            "text": self.text,
            "position": _json(self.position),
            "excluded": dict(self.excluded),
            "arms": [arm.to_dict() for arm in self.arms],
            "notes": list(self.notes),
            "is_final": self.is_final,
        }

    @staticmethod
    def of_result(experiment: Experiment, result: JsonObject) -> "Panel":
        """Read what `result` wrote.

        Raises:
            StorageError: a key is missing or unknown.
        """
        value: dict[str, Any] = dict(result)
        try:
            a, b = value["arms"]
            return Panel(
                experiment=experiment,
                counts=Counts(**value["counts"]),
                difference=_estimate(value["difference"]),
                verdict=value["verdict"],
                more=value["more"],
                text=value["text"],
                position=_estimate(value["position"]),
                excluded=value["excluded"],
                arms=(ArmFigures.from_dict(a), ArmFigures.from_dict(b)),
                notes=tuple(value["notes"]),
                is_final=value.get("is_final", False),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(
                f"the result of experiment {experiment.name!r} can't be read: {error}"
            ) from error


def make_panel(catalog: Catalog, experiment: Experiment, results: Results) -> Panel:
    """Return the panel of what an experiment has measured."""
    decision = decide(experiment.plan, results.items)
    if results.is_whole and decision.verdict == "not_enough":
        decision = replace(decision, more=None, is_final=True)
    counts = _counts(results.items)
    return Panel(
        experiment=experiment,
        counts=counts,
        difference=decision.difference,
        verdict=decision.verdict,
        more=decision.more,
        text=_words(experiment, decision, counts.n),
        position=_position(results.items),
        excluded=dict(+results.excluded),
        arms=(
            arm_figures(catalog, experiment.arm_a.model, results.measured_a),
            arm_figures(catalog, experiment.arm_b.model, results.measured_b),
        ),
        notes=results.notes,
        is_final=decision.is_final,
    )


def _counts(items: Sequence[Item]) -> Counts:
    both_bad = sum(item.is_both_bad for item in items)
    return Counts(
        wins_a=sum(item.difference < 0 for item in items),
        wins_b=sum(item.difference > 0 for item in items),
        ties=sum(item.difference == 0 for item in items) - both_bad,
        both_bad=both_bad,
        n=len(items),
    )


def _position(items: Sequence[Item]) -> Estimate | None:
    decisive = [item.has_first_won for item in items if item.has_first_won is not None]
    return proportion(sum(decisive), len(decisive)) if decisive else None


def _words(experiment: Experiment, decision: Decision, n: int) -> str:
    """Return the verdict as a sentence without a full stop."""
    unit, plan = UNITS[experiment.metric], experiment.plan
    if decision.verdict in ("a", "b"):
        winner = experiment.arm_a if decision.verdict == "a" else experiment.arm_b
        return f"{decision.verdict.upper()} is better: {winner.model}{_turned(decision, unit)}"
    if decision.verdict == "no_difference":
        return f"no difference larger than {100 * plan.delta:g} points"
    if decision.is_contradiction:
        return (
            f"no verdict: the {unit} were enough for one arm first and for the other later, so "
            "they did not come in random order, or what they measure has changed"
        )
    if decision.is_final:
        wanted = "" if decision.new_n is None else f"; a new plan needs about {decision.new_n}"
        return f"the plan is complete without a decision: {n} {unit} show no difference{wanted}"
    if plan.n is not None:
        return f"not enough data: {n} of the planned {plan.n} {unit}"
    more = "" if decision.more is None else f": about {decision.more} more {unit}"
    return f"not enough data{more}"


def _turned(decision: Decision, unit: str) -> str:
    """Say where the mean lies on the other side of 0 by now."""
    value = 0.0 if decision.difference is None else decision.difference.value
    has_turned = value > 0 if decision.verdict == "a" else value < 0
    return f"; the {unit} since then point the other way" if has_turned else ""


def _json(estimate: Estimate | None) -> JsonValue:
    return None if estimate is None else estimate.to_dict()


def _estimate(value: Mapping[str, Any] | None) -> Estimate | None:
    return None if value is None else Estimate(**value)
