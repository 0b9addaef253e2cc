"""A comparison of two models as text for the terminal."""

from evals.compare import Comparison
from evals.leaderboard_text import text_table
from evals.sample import Estimate
from evals.stats.slices import SliceDifference

MOST_SLICES = 40
"""Slices that the text shows; `--json` has all."""


def comparison_text(found: Comparison) -> str:
    """Return the difference, what flipped, what the items could show, and the slices."""
    paired = found.difference
    p_value = "" if paired.p_value is None else f", p = {paired.p_value:.3g} ({paired.method})"
    effect = (
        "unknown: the differences have no spread"
        if paired.effect is None
        else f"{paired.effect:+.2f} standard deviations of the differences"
    )
    lines = [
        f"{found.b} minus {found.a}, {found.metric}, {paired.n} items in {paired.groups} groups",
        f"  difference {_value(paired.difference)}{p_value}",
        f"  effect {effect}",
        f"  {paired.fixed} items fixed, {paired.broken} broken",
    ]
    if paired.mde is not None:
        lines.append(f"  smallest difference such items would show: {paired.mde:.3f}")
    if found.bounds is not None:
        low, high = found.bounds
        lines.append(f"  {low:+.3f} to {high:+.3f} whatever the missing answers are")
    return "\n".join([*lines, *([f"  {found.note}"] if found.note else []), *_slices(found)])


def _slices(found: Comparison) -> list[str]:
    if not found.slices:
        return []
    head = ("slice", "items", "difference", "p (Holm)", "fixed", "broken")
    table = text_table([head, *map(_slice, found.slices[:MOST_SLICES])])
    more = len(found.slices) - MOST_SLICES
    return ["", *table, *([f"and {more} more slices: see --json"] if more > 0 else [])]


def _slice(one: SliceDifference) -> tuple[str, ...]:
    found = one.difference
    if found is None:
        return (one.label[:60], str(one.n), "too few items", "", "", "")
    p_value = "" if one.p_holm is None else f"{one.p_holm:.3g}"
    counts = (str(found.fixed), str(found.broken))
    return (one.label[:60], str(one.n), _value(found.difference), p_value, *counts)


def _value(value: Estimate) -> str:
    if value.low is None or value.high is None:
        return f"{value.value:+.3f} no interval"
    return f"{value.value:+.3f} [{value.low:+.3f}, {value.high:+.3f}]"
