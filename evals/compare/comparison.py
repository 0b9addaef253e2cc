"""What a comparison says: the paired difference, the items that flipped, and the slices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.messages import JsonValue
from evals.compare.scores import ScoredRow, Scores, read_scores
from evals.stats.arrays import ALPHA
from evals.stats.intervals import Bounds
from evals.stats.paired import ROUNDING, PairedDifference, paired, paired_anywhere
from evals.stats.paired_ratio import Part, paired_ratio
from evals.stats.slices import Compare, SliceDifference, slices


class IncomparableError(InputError):
    """Two sides are not of the same thing, or a run is not valid; decisions exit with 40."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """B against A on the same items."""

    a: str
    b: str
    metric: str
    difference: PairedDifference
    slices: tuple[SliceDifference, ...]
    """By label, else by group; empty where neither is shared."""
    fixed: tuple[str, ...]
    """Ids of the items that B scores higher."""
    broken: tuple[str, ...]
    """Ids of the items that B scores lower."""
    missing_a: int
    """Planned items that lack a score in A; `difference` has only those that lack not all."""
    missing_b: int
    bounds: Bounds | None
    """The difference over all planned items, whatever the missing scores are; None: none is."""
    note: str | None = None
    """What a reader must know besides."""

    @property
    def more_items(self) -> int | None:
        """Return about how many more items would show a difference of the size that was seen.

        0 where it is shown; None where no number is known.
        """
        found = self.difference
        if found.p_value is not None and found.p_value <= ALPHA:
            return 0
        wanted = found.items_for(found.difference.value)
        return None if wanted is None else max(wanted - found.n, 1)

    def to_dict(self) -> dict[str, JsonValue]:
        """Return what `evals compare --json` prints."""
        return {
            "a": self.a,
            "b": self.b,
            "metric": self.metric,
            **_figures(self.difference),
            "more_items": self.more_items,
            "discordant": {"fixed": list(self.fixed), "broken": list(self.broken)},
            "slices": [_slice(one) for one in self.slices],
            "missing": {"a": self.missing_a, "b": self.missing_b},
            "bounds": None if self.bounds is None else list(self.bounds),
            "note": self.note,
        }


def _figures(found: PairedDifference) -> dict[str, JsonValue]:
    return {
        "n": found.n,
        "groups": found.groups,
        "scores": {"a": found.mean_a, "b": found.mean_b},
        "difference": found.difference.to_dict(),
        "p_value": found.p_value,
        "method": found.method,
        "mde": found.mde,
        "flipped": {"fixed": found.fixed, "broken": found.broken},
        "discordance": found.discordance,
        "effect": found.effect,
    }


def _slice(one: SliceDifference) -> dict[str, JsonValue]:
    figures = {} if one.difference is None else _figures(one.difference)
    return {"slice": one.label, "n": one.n, **figures, "p_holm": one.p_holm}


def compare_files(path_a: Path, path_b: Path) -> Comparison:
    """Return the comparison of two JSONL files; see `read_scores` and `compare`.

    Raises:
        NotFoundError: there is no such file.
        StorageError: a file can't be read.
        IncomparableError: the files are of different items.
        InputError: a line is no scored item, or as `compare` does.
    """
    return compare(read_scores(path_a), read_scores(path_b))


def compare(a: Scores, b: Scores) -> Comparison:
    """Return how B differs from A over the items that both have a score for.

    Items that a side has planned and is missing are left out and bounded; any other item must be
    on both sides. Scores with a part of a ratio are compared by the ratio of their sums; those
    that leave 0.0 to 1.0 by a test that knows of no range.

    Raises:
        IncomparableError: ids that only one side has, or another group or label for the same id.
        InputError: fewer than 2 items, or the parts make no ratio.
    """
    rows_a, rows_b = ({row.id: row for row in side.rows} for side in (a, b))
    planned_a, planned_b = rows_a.keys() | a.missing, rows_b.keys() | b.missing
    if planned_a != planned_b:
        raise IncomparableError(
            f"both sides must have the same items: {len(planned_a - planned_b)} of {a.name!r} are "
            f"missing in {b.name!r}, and {len(planned_b - planned_a)} the other way round"
        )
    both = [key for key in rows_a if key in rows_b]
    shared = {key: _shared(rows_a[key], rows_b[key]) for key in both}
    differ = _differ([*a.rows, *b.rows])
    values_a, values_b = (_values(rows, both, differ) for rows in (rows_a, rows_b))
    groups = {key: (row.group, "") if row.group else (key, key) for key, row in shared.items()}
    labels = _labels(shared)
    changes = {key: rows_b[key].score - rows_a[key].score for key in both}
    lacking = [len(side.missing) + sum(row.absent > 0 for row in side.rows) for side in (a, b)]
    return Comparison(
        a=a.name,
        b=b.name,
        metric=a.metric,
        difference=differ(values_a, values_b, groups),
        slices=slices(values_a, values_b, labels, groups, differ) if labels else (),
        fixed=tuple(key for key, change in changes.items() if change > ROUNDING),
        broken=tuple(key for key, change in changes.items() if change < -ROUNDING),
        missing_a=lacking[0],
        missing_b=lacking[1],
        bounds=_bounds(a, b) if any(lacking) and differ != paired_anywhere else None,
    )


def _differ(rows: Sequence[ScoredRow]) -> Compare:
    """Return the test that suits the scores."""
    if rows and all(row.part is not None for row in rows):
        return paired_ratio
    return paired if all(0 <= row.score <= 1 for row in rows) else paired_anywhere


def _values(rows: Mapping[str, ScoredRow], both: Sequence[str], differ: Compare) -> dict[str, Any]:
    return {key: rows[key].part if differ == paired_ratio else rows[key].score for key in both}


def _shared(one: ScoredRow, other: ScoredRow) -> ScoredRow:
    """Return a row with the group and label of both sides; one side may leave them out."""
    for name, left, right in (
        ("group", one.group, other.group),
        ("label", one.label, other.label),
    ):
        if left is not None and right is not None and left != right:
            raise IncomparableError(
                f"item {one.id[:100]!r} has {name} {left[:100]!r} in A and {right[:100]!r} in B"
            )
    return replace(one, group=one.group or other.group, label=one.label or other.label)


def _labels(rows: Mapping[str, ScoredRow]) -> dict[str, str]:
    """Return what slices are made by: labels, else groups if some items share one."""
    if labels := {key: row.label for key, row in rows.items() if row.label}:
        return labels
    groups = {key: row.group for key, row in rows.items() if row.group}
    return groups if 1 < len(set(groups.values())) < len(groups) else {}


def _bounds(a: Scores, b: Scores) -> Bounds:
    """Return the difference with every missing score at its worst for B, and at its best.

    Source: Manski (1989), worst-case bounds.
    """
    of_a, of_b = _reach(a), _reach(b)
    return Bounds(of_b.low - of_a.high, of_b.high - of_a.low)


def _reach(side: Scores) -> Bounds:
    """Return what a side comes to with all missing answers wrong, and with all right.

    In a ratio a missing answer counts for as much as the largest of those there are.
    """
    parts = [row.part or Part(row.score * (1 - row.absent), 1 - row.absent) for row in side.rows]
    whole = [part.below / (1 - row.absent) for part, row in zip(parts, side.rows, strict=True)]
    lacking = len(side.missing) + sum(row.absent for row in side.rows)
    above, unknown = sum(part.above for part in parts), max(whole) * lacking
    below = sum(part.below for part in parts) + unknown
    return Bounds(above / below, (above + unknown) / below)
