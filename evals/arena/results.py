"""What an experiment has measured so far, by its metric."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from core.outcomes import Outcome
from core.store import Store
from core.store.battle_records import Measured, RatedBattle, Source
from core.store.battles import Battles
from core.store.experiments import Experiment, Metric, StoredExperiments
from core.store.thumbs import RatedAnswer, rated_answers
from evals.arena.decisions import Item
from evals.arena.standings import OLD_WEIGHTS
from evals.arena.task_results import Tasks, task_results
from evals.arena.votes import EXCLUDED
from evals.leaderboard_runs import RunIndex

POINTS: Mapping[Outcome, float] = {"model_a": -1.0, "model_b": 1.0, "tie": 0.0, "both_bad": 0.0}
"""What a vote says of the second answer against the first."""
LEFT_OUT = {
    "other_weights": "given by other weights than the experiment was planned with",
    "after_end": "came after the experiment had ended",
    "after_plan": "came after the planned number was reached",
    "same_visitor": "a further thumb of a visitor who is counted already",
    "waiting": "wait for a thumb on the other arm",
    "missing": "items of the task without a score on both sides",
    OLD_WEIGHTS: "given on other weights of the model",
}
"""Words for why something that was measured isn't counted, besides those for votes."""
BY_CHOICE = (
    "visitors of Chat choose their model themselves, so a difference may be one between visitors"
)
FIRST_THUMB = (
    "each visitor's first thumb after the plan counts, as it was given: changed or taken back "
    "later it stays"
)
BOTH_ORDERS = (
    "nothing was shown first: a judge is asked in both orders, and a verdict that changes with the "
    "order is a tie; `python -m evals battles judge` says how many of those it judges do"
)


@dataclass(frozen=True, slots=True)
class Results:
    """Items in the order in which they came, and what each arm took."""

    items: Sequence[Item]
    excluded: Counter[str]
    measured_a: Sequence[Measured]
    measured_b: Sequence[Measured]
    notes: tuple[str, ...] = ()
    is_whole: bool = False
    """Whether no more items can come, whatever the plan."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where results are."""

    store: Store
    runs: RunIndex = field(compare=False)
    home: Path
    """`$UNDERSTUDY_HOME`, where tasks are."""


def words_of(reason: str) -> str:
    """Return why something isn't counted, in words."""
    known = {str(key): words for key, words in (*EXCLUDED.items(), *LEFT_OUT.items())}
    return known.get(reason, reason)


def results_of(sources: Sources, experiment: Experiment, until: datetime) -> Results:
    """Return what counts for the experiment of all that came until then, by its plan.

    Raises:
        StorageError: the store or a run can't be read.
    """
    found = READERS[experiment.metric](sources, experiment, until)
    n = experiment.plan.n
    if n is not None and len(found.items) > n:
        found.excluded["after_plan"] += len(found.items) - n
        return Results(
            found.items[:n], found.excluded, found.measured_a, found.measured_b, found.notes
        )
    return found


def _votes(sources: Sources, experiment: Experiment, until: datetime) -> Results:
    source: Source = "judge" if experiment.metric == "judge" else "person"
    battles = Battles(sources.store)
    excluded = Counter[str](battles.counts(source, experiment.name).excluded)
    items = []
    for each in battles.rated(source, experiment.name):
        if each.voted_at > until:
            excluded["after_end"] += 1
        elif not _is_planned(experiment, each):
            excluded["other_weights"] += 1
        else:
            items.append(_vote_item(experiment, each))
    measured = battles.measured(source, experiment.name)
    a, b = (
        [each for each in measured if each.model == arm.model]
        for arm in (experiment.arm_a, experiment.arm_b)
    )
    notes = (BOTH_ORDERS,) if source == "judge" else ()
    return Results(items, excluded, a, b, notes)


def _is_planned(experiment: Experiment, each: RatedBattle) -> bool:
    """Say whether both sides were the experiment's arms, as they were planned."""
    arms = {(arm.model, arm.digest) for arm in (experiment.arm_a, experiment.arm_b)}
    return {(each.model_a, each.digest_a), (each.model_b, each.digest_b)} == arms


def _vote_item(experiment: Experiment, each: RatedBattle) -> Item:
    points = POINTS[each.outcome]
    sign = 1.0 if each.model_a == experiment.arm_a.model else -1.0
    is_ordered = bool(points) and experiment.metric != "judge"
    return Item(
        difference=sign * points,
        is_both_bad=each.outcome == "both_bad",
        has_first_won=points < 0 if is_ordered else None,
    )


def _task(sources: Sources, experiment: Experiment, until: datetime) -> Results:
    stored = StoredExperiments(sources.store)
    found = task_results(Tasks(sources.home, sources.runs, stored), experiment, until)
    return Results(
        found.items,
        Counter(missing=found.missing) if found.missing else Counter(),
        found.measured_a,
        found.measured_b,
        found.notes,
        is_whole=found.is_chosen,
    )


def _thumbs(sources: Sources, experiment: Experiment, until: datetime) -> Results:
    """Pair the thumbs of both arms in the order in which they were given first.

    One for each visitor, so later thumbs and changed ones leave every pair as it is.
    """
    excluded = Counter[str]()
    sides = []
    for arm in (experiment.arm_a, experiment.arm_b):
        answers = rated_answers(sources.store, arm.model, experiment.made_at, until)
        kept = [each for each in answers if each.given_by == arm.digest]
        excluded["other_weights"] += sum(each.liked is not None for each in answers)
        excluded["other_weights"] -= sum(each.liked is not None for each in kept)
        sides.append(kept)
    counted = _one_each(sides)
    thumbs_a, thumbs_b = (
        [each.liked for each in side if each.place in counted and each.liked is not None]
        for side in sides
    )
    given = sum(each.liked is not None for side in sides for each in side)
    excluded["same_visitor"] = given - len(counted)
    excluded["waiting"] = abs(len(thumbs_a) - len(thumbs_b))
    items = [Item(float(b) - float(a)) for a, b in zip(thumbs_a, thumbs_b, strict=False)]
    a, b = ([each.measured for each in side] for side in sides)
    return Results(items, +excluded, a, b, (BY_CHOICE, FIRST_THUMB))


def _one_each(sides: Sequence[Sequence[RatedAnswer]]) -> set[int]:
    """Return the places of each visitor's first thumb, on whichever arm it was."""
    places: dict[str, int] = {}
    for side in sides:
        for each in side:
            if each.liked is not None and each.place is not None:
                places[each.visitor] = min(each.place, places.get(each.visitor, each.place))
    return set(places.values())


READERS: Mapping[Metric, Callable[[Sources, Experiment, datetime], Results]] = {
    "votes": _votes,
    "task": _task,
    "thumbs": _thumbs,
    "judge": _votes,
}
"""How the results of a metric are read."""
