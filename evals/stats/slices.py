"""Where two models differ: the paired difference within each slice of the items."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.stats.arrays import ALPHA
from evals.stats.paired import Groups, PairedDifference, paired
from evals.stats.paired_ratio import NoRatioError

Values = Mapping[str, Any]
"""Item id to what `Compare` takes: a score, or a part of a ratio."""
Compare = Callable[[Values, Values, Groups | None], PairedDifference]


@dataclass(frozen=True, slots=True)
class SliceDifference:
    """The items with one label."""

    label: str
    n: int
    difference: PairedDifference | None
    """None: fewer than 2 items, or nothing to make a ratio of."""
    p_holm: float | None
    """p-value held against all slices at once; None without a p-value."""


def slices(
    a: Values,
    b: Values,
    labels: Mapping[str, str],
    groups: Groups | None = None,
    compare: Compare = paired,
) -> tuple[SliceDifference, ...]:
    """Return each slice's difference, by label; items without a label are in none.

    A slice whose items are all of one group is about that group alone, so within it the items are
    taken as independent.

    Raises:
        InputError: as `compare` does.

    Source: Holm (1979), by statsmodels.
    """
    members: dict[str, list[str]] = {}
    for key in a:
        if key in labels:
            members.setdefault(labels[key], []).append(key)
    found = {
        label: _slice([{key: side[key] for key in keys} for side in (a, b)], groups, compare)
        for label, keys in sorted(members.items())
    }
    adjusted = iter(holm([d.p_value for d in found.values() if d and d.p_value is not None]))
    return tuple(
        SliceDifference(
            label=label,
            n=len(members[label]),
            difference=d,
            p_holm=next(adjusted) if d and d.p_value is not None else None,
        )
        for label, d in found.items()
    )


def _slice(
    sides: Sequence[Values], groups: Groups | None, compare: Compare
) -> PairedDifference | None:
    keys = list(sides[0])
    if len(keys) < 2:
        return None
    is_one_group = groups is not None and len({groups[key] for key in keys}) == 1
    within = None if groups is None or is_one_group else {key: groups[key] for key in keys}
    try:
        return compare(sides[0], sides[1], within)
    except NoRatioError:
        return None


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that any below 5% is significant among all of them.

    Source: Holm (1979), by statsmodels.
    """
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return []
    return [float(p) for p in multipletests(list(p_values), alpha=ALPHA, method="holm")[1]]
