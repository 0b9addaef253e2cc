"""What a comparison says: the paired difference, the items that flipped, and the slices."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core.errors import InputError
from core.messages import JsonValue
from evals.compare.scores import ScoredRow, Scores, read_scores
from evals.stats.arrays import ALPHA
from evals.stats.intervals import Bounds
from evals.stats.paired import ROUNDING, PairedDifference, paired
from evals.stats.slices import SliceDifference, slices


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
    """Planned items without a score in A; they are not in `difference`."""
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
        InputError: a line is no scored item, or as `compare` does.
    """
    return compare(read_scores(path_a), read_scores(path_b))


def compare(a: Scores, b: Scores) -> Comparison:
    """Return how B differs from A over the items that both have a score for.

    Items that a side has planned and is missing are left out and bounded; any other item must be
    on both sides.

    Raises:
        InputError: ids that only one side has, another group or label for the same id, or fewer
            than 2 items.
    """
    rows_a, rows_b = ({row.id: row for row in side.rows} for side in (a, b))
    planned_a, planned_b = rows_a.keys() | a.missing, rows_b.keys() | b.missing
    if planned_a != planned_b:
        raise InputError(
            f"both sides must have the same items: {len(planned_a - planned_b)} of {a.name!r} are "
            f"missing in {b.name!r}, and {len(planned_b - planned_a)} the other way round"
        )
    both = [key for key in rows_a if key in rows_b]
    shared = {key: _shared(rows_a[key], rows_b[key]) for key in both}
    scores_a = {key: rows_a[key].score for key in both}
    scores_b = {key: rows_b[key].score for key in both}
    groups = {key: (row.group, "") if row.group else (key, key) for key, row in shared.items()}
    labels = _labels(shared)
    changes = {key: scores_b[key] - scores_a[key] for key in both}
    return Comparison(
        a=a.name,
        b=b.name,
        metric=a.metric,
        difference=paired(scores_a, scores_b, groups),
        slices=slices(scores_a, scores_b, labels, groups) if labels else (),
        fixed=tuple(key for key, change in changes.items() if change > ROUNDING),
        broken=tuple(key for key, change in changes.items() if change < -ROUNDING),
        missing_a=len(a.missing),
        missing_b=len(b.missing),
        bounds=_bounds(rows_a, rows_b, len(planned_a)) if a.missing | b.missing else None,
    )


def _shared(one: ScoredRow, other: ScoredRow) -> ScoredRow:
    """Return a row with the group and label of both sides; one side may leave them out."""
    for name, left, right in (
        ("group", one.group, other.group),
        ("label", one.label, other.label),
    ):
        if left is not None and right is not None and left != right:
            raise InputError(
                f"item {one.id[:100]!r} has {name} {left[:100]!r} in A and {right[:100]!r} in B"
            )
    return replace(one, group=one.group or other.group, label=one.label or other.label)


def _labels(rows: Mapping[str, ScoredRow]) -> dict[str, str]:
    """Return what slices are made by: labels, else groups if some items share one."""
    if labels := {key: row.label for key, row in rows.items() if row.label}:
        return labels
    groups = {key: row.group for key, row in rows.items() if row.group}
    return groups if 1 < len(set(groups.values())) < len(groups) else {}


def _bounds(a: Mapping[str, ScoredRow], b: Mapping[str, ScoredRow], planned: int) -> Bounds:
    """Return the difference with every missing score at its worst for B, and at its best.

    Source: Manski (1989), worst-case bounds.
    """
    sum_a, sum_b = (sum(row.score for row in side.values()) for side in (a, b))
    low = sum_b - (sum_a + planned - len(a))
    high = sum_b + planned - len(b) - sum_a
    return Bounds(low / planned, high / planned)
