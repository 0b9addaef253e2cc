"""When an experiment is decided, by its plan: one look at the n-th item, or a look at any time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.store.experiments import Plan
from evals.sample import Estimate
from evals.stats.arrays import ALPHA
from evals.stats.paired import PairedDifference, paired
from evals.stats.sequential import LookVerdict, look


@dataclass(frozen=True, slots=True)
class Item:
    """What one item says: a vote, a sample of a task, or a pair of thumbs."""

    difference: float
    """B minus A, -1.0 to 1.0; 1.0 is a vote for B."""
    group: str | None = None
    """The source that items share; None: its own. Items of one group come together."""
    is_both_bad: bool = False
    """Whether it is a vote for neither."""
    has_first_won: bool | None = None
    """Whether the answer shown first won; None: no answer won, or none was shown first. A judge is
    shown both orders."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is known of the difference."""

    difference: Estimate | None
    """Mean of B minus A; without an interval before a fixed n is reached. None: no item. Of an
    always-valid plan its `n` counts groups, and the mean is theirs."""
    verdict: LookVerdict
    more: int | None
    """About how many more items it takes; 0 with a verdict, None: no end in sight, or no more
    items can come."""
    is_final: bool = False
    """Whether the plan takes no more items."""
    new_n: int | None = None
    """About how many items a new plan would need, where this one is final without a verdict."""
    is_contradiction: bool = False
    """Whether the items were enough for one arm once, and for the other later."""


def decide(plan: Plan, items: Sequence[Item]) -> Decision:
    """Return what the items say, in the order in which they came.

    `fixed_n`: nothing before the n-th item, then the paired test of exactly n items. Items after
    it must not be handed over. `always_valid`: the e-process over the means of groups.
    """
    if plan.n is not None:
        return _at_fixed_n(plan, plan.n, items)
    if not items:
        return Decision(None, "not_enough", None)
    means = _group_means(items)
    found = look(means, plan.delta, plan.alpha)
    more = found.more and math.ceil(found.more * len(items) / len(means))
    return Decision(found.difference, found.verdict, more, is_contradiction=found.is_contradiction)


def _group_means(items: Sequence[Item]) -> list[float]:
    """Return the mean of each group, in the order in which the groups began."""
    groups: dict[str, list[float]] = {}
    for number, item in enumerate(items):
        key = f"{number}" if item.group is None else f"group {item.group}"
        groups.setdefault(key, []).append(item.difference)
    return [sum(found) / len(found) for found in groups.values()]


def _at_fixed_n(plan: Plan, n: int, items: Sequence[Item]) -> Decision:
    if len(items) < n:
        mean = sum(item.difference for item in items) / len(items) if items else None
        early = None if mean is None else Estimate(mean, None, None, len(items))
        return Decision(early, "not_enough", n - len(items))
    found = _paired(items)
    verdict = _verdict(found, plan.delta)
    if verdict != "not_enough":
        return Decision(found.difference, verdict, 0, is_final=True)
    wanted = found.items_for(found.difference.value)
    new_n = None if wanted is None else max(wanted, n + 1)
    return Decision(found.difference, verdict, None, is_final=True, new_n=new_n)


def _paired(items: Sequence[Item]) -> PairedDifference:
    """Return the test of the differences; only they count, so the lower mark of a pair is 0."""
    keys = [str(number) for number in range(len(items))]
    groups = {
        key: ("own", key) if item.group is None else ("shared", item.group)
        for key, item in zip(keys, items, strict=True)
    }
    a = {key: max(-item.difference, 0.0) for key, item in zip(keys, items, strict=True)}
    b = {key: max(item.difference, 0.0) for key, item in zip(keys, items, strict=True)}
    return paired(a, b, groups)


def _verdict(found: PairedDifference, delta: float) -> LookVerdict:
    low, high = found.difference.low, found.difference.high
    if found.p_value is None or low is None or high is None:
        return "not_enough"
    if found.p_value <= ALPHA:
        return "b" if found.difference.value > 0 else "a"
    return "no_difference" if delta > 0 and -delta <= low and high <= delta else "not_enough"
