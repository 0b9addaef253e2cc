"""Marks for JSON records: which fields of the target the answer has, and which it invents.

A field is a path to a value: `a.b`, `list[0].c`. A field is hit when both have the path with equal
values (1 is 1.0 and is not true). Counted as the evaluation of the xlam tracks published its
rates: micro-averaged over all samples, an empty object or list holds no field, an unreadable
answer misses all fields of its target and invents none. Under that rule an answer that leaves out
an empty object is not marked down; `field_f1_strict` counts the empty ones as fields too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from core.errors import ScoringError
from core.json_text import JsonFailure, JsonRead, canonical, parse_json
from core.messages import JsonValue
from evals.sample import Answer, Sample, Score, Scorer
from evals.scorers.json_answers import format_failure, reading_notes, validity
from evals.strict_json import Kind, Reading, is_same, read_json

MAX_LISTED = 20
MAX_PATH_CHARACTERS = 200
Path = tuple[str | int, ...]
Fields = Mapping[Path, str]
"""Path to the canonical text of the value."""


@dataclass(frozen=True, slots=True)
class FieldCounts:
    """How the fields of answers and targets relate."""

    hits: int
    """In both, with equal values."""
    extra: int
    """In the answer only, or there with another value."""
    missing: int
    """In the target only, or there with another value."""

    def precision(self) -> float:
        """Return the share of the answer's fields that are right, 0.0 to 1.0; 0.0 of none."""
        return self._share(self.hits + self.extra)

    def recall(self) -> float:
        """Return the share of the target's fields that were found, 0.0 to 1.0; 0.0 of none."""
        return self._share(self.hits + self.missing)

    def f1(self) -> float:
        """Return the harmonic mean of precision and recall; 1.0 where neither has a field."""
        total = 2 * self.hits + self.extra + self.missing
        return 2 * self.hits / total if total else 1.0

    def _share(self, total: int) -> float:
        if total == 0:
            return float(self.extra + self.missing == 0)
        return self.hits / total


def fields() -> Scorer:
    """Return the scorer of records.

    Marks: `json_valid`, `exact_match` (of the whole record), `field_f1`, `field_precision`,
    `field_recall`, `field_f1_strict`. Counts: `hits`, `extra`, `missing`, and the same with
    `repaired_` after lenient reading and after taking a record out of a list of one.
    """
    return score_fields


def score_fields(sample: Sample, answer: Answer) -> Score:
    """Return the marks of one record.

    Raises:
        ScoringError: the target is a text that is not JSON.
    """
    target = read_target(sample)
    read = read_json(answer.text)
    is_raw = isinstance(read, Reading) and read.level == "raw"
    strict = read.value if isinstance(read, Reading) and is_raw else None
    mended, is_unwrapped = _mended(read, target)
    raw = compare_fields(strict, target) if is_raw else _all_missing(target)
    repaired = _all_missing(target) if mended is None else compare_fields(mended.value, target)
    return Score(
        values={
            "json_valid": validity(read, "any")["json_valid"],
            "exact_match": float(is_raw and is_same(strict, target)),
            **_marks(raw),
            "field_f1_strict": _strict_f1(strict, target) if is_raw else 0.0,
        },
        repaired={
            "json_valid": float(mended is not None),
            "exact_match": float(mended is not None and is_same(mended.value, target)),
            **_marks(repaired),
            "field_f1_strict": _strict_f1(mended.value, target) if mended else 0.0,
        },
        failure=_failure(read, target, is_unwrapped),
        counts={**_counts(raw), **_counts(repaired, "repaired_")},
        notes={**reading_notes(read), **_differences(mended, target)},
    )


def read_target(sample: Sample) -> JsonValue:
    """Return the record that is right; a target that is a text is read as JSON.

    Raises:
        ScoringError: the text is no strict JSON.
    """
    if not isinstance(sample.target, str):
        return sample.target
    read = parse_json(sample.target)
    if isinstance(read, JsonRead) and not read.repaired:
        return read.value
    raise ScoringError(f"the target of sample {sample.id!r} is no JSON: {sample.target[:60]!r}")


def flatten(value: JsonValue, with_empty: bool = False) -> Fields:
    """Return the value's fields; with `with_empty`, empty objects and lists are fields as well."""
    found: dict[Path, str] = {}
    pending: list[tuple[Path, JsonValue]] = [((), value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, dict):
            parts: Iterable[tuple[str | int, JsonValue]] = item.items()
        elif isinstance(item, list | tuple):
            parts = enumerate(item)
        else:
            found[path] = canonical(item)
            continue
        if with_empty and not item:
            found[path] = canonical(item)
        pending.extend(((*path, key), part) for key, part in parts)
    return found


def compare_fields(answer: JsonValue, target: JsonValue, with_empty: bool = False) -> FieldCounts:
    """Count the fields that answer and target share."""
    said, wanted = flatten(answer, with_empty), flatten(target, with_empty)
    hits = len(said.items() & wanted.items())
    return FieldCounts(hits, len(said) - hits, len(wanted) - hits)


def total_counts(scores: Iterable[Score], repaired: bool = False) -> FieldCounts:
    """Add up the counts of many scores, for the micro-averaged metrics."""
    prefix = "repaired_" if repaired else ""
    counts = [score.counts for score in scores]
    names = ("hits", "extra", "missing")
    return FieldCounts(*(int(sum(c[f"{prefix}{name}"] for c in counts)) for name in names))


def path_text(path: Path) -> str:
    """Return a path as people write it: `a.b[0]`, its first 200 characters."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return (text.removeprefix(".") or "$")[:MAX_PATH_CHARACTERS]


def _all_missing(target: JsonValue) -> FieldCounts:
    return FieldCounts(0, 0, len(flatten(target)))


def _mended(read: Reading | JsonFailure, target: JsonValue) -> tuple[Reading | None, bool]:
    """Return the lenient reading, and whether a list of one record was taken for the record."""
    if isinstance(read, JsonFailure):
        return None, False
    value = read.value
    if isinstance(target, dict) and isinstance(value, list) and len(value) == 1:
        return Reading(value[0], "repaired", (*read.repairs, "unwrapped")), True
    return read, False


def _strict_f1(answer: JsonValue, target: JsonValue) -> float:
    return compare_fields(answer, target, with_empty=True).f1()


def _marks(counts: FieldCounts) -> dict[str, float]:
    return {
        "field_precision": counts.precision(),
        "field_recall": counts.recall(),
        "field_f1": counts.f1(),
    }


def _counts(counts: FieldCounts, prefix: str = "") -> dict[str, float]:
    return {
        f"{prefix}hits": counts.hits,
        f"{prefix}extra": counts.extra,
        f"{prefix}missing": counts.missing,
    }


def _failure(read: Reading | JsonFailure, target: JsonValue, is_unwrapped: bool) -> str | None:
    """Return the first thing that is wrong: the format, then the shape, then the fields."""
    if is_unwrapped and isinstance(read, Reading) and read.level == "raw":
        return "wrapped_in_list"
    label = format_failure(read, _kind(target))
    if label is not None or isinstance(read, JsonFailure):
        return label
    return None if is_same(read.value, target) else _field_failure(read.value, target)


def _kind(target: JsonValue) -> Kind:
    if isinstance(target, dict):
        return "object"
    return "array" if isinstance(target, list) else "any"


def _field_failure(answer: JsonValue, target: JsonValue) -> str:
    missing, extra, _ = _compared_paths(answer, target)
    if missing and extra:
        return "missing_and_extra_fields"
    if missing:
        return "missing_fields"
    return "extra_fields" if extra else "value_mismatch"


def _compared_paths(answer: JsonValue, target: JsonValue) -> tuple[set[Path], set[Path], set[Path]]:
    """Return the paths that are missing, extra, and there with another value."""
    said, wanted = flatten(answer, True), flatten(target, True)
    # An empty document is no field that another one lacks.
    missing, extra = wanted.keys() - said.keys() - {()}, said.keys() - wanted.keys() - {()}
    other = {path for path in said.keys() & wanted.keys() if said[path] != wanted[path]}
    return missing, extra, other


def _differences(mended: Reading | None, target: JsonValue) -> dict[str, JsonValue]:
    """Return the paths that differ, at most 20 of each sort."""
    if mended is None:
        return {}
    compared = zip(
        ("missing", "extra", "mismatched"), _compared_paths(mended.value, target), strict=True
    )
    return {name: sorted(map(path_text, paths))[:MAX_LISTED] for name, paths in compared}
