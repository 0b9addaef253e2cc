"""What an audit found: one JSON object, the same counts as its page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.messages import JsonValue
from training.datasets.findings import Finding
from training.datasets.makeup import Makeup
from training.datasets.supervision import Span

SHOWN = 200
"""Findings that the JSON lists; `findings.jsonl` has them all."""
COUNTS: Mapping[str, str] = {
    "zero_supervision": "zero_supervision",
    "truncated": "truncated",
    "unrenderable": "unrenderable",
    "no_end": "no_end",
    "duplicate": "duplicates",
    "near_duplicate": "near_duplicates",
    "contradiction": "contradictions",
    "leaked": "leaked",
    "pii": "pii",
    "meta_language": "meta_language",
    "unfit_call": "unfit_calls",
}
"""Name of each defect's count in the report."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An example as the model reads it."""

    id: str
    why: str
    """Why it is shown: `first`, or a defect."""
    text: str
    spans: tuple[Span, ...]
    """What is learnt, in characters."""
    cut: int | None
    """Character at which the window ends; None: everything is inside."""
    tokens: int
    supervised: int
    """Tokens that are learnt inside the window."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the example as JSON."""
        return {
            "id": self.id,
            "why": self.why,
            "text": self.text,
            "spans": [list(span) for span in self.spans],
            "cut": self.cut,
            "tokens": self.tokens,
            "supervised": self.supervised,
        }

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> "Shown":
        """Read what `to_dict` wrote."""
        return Shown(**{**raw, "spans": tuple((a, b) for a, b in raw["spans"])})


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Lengths of the rows, before anything is cut off."""

    p50: int
    p95: int
    max: int
    total: int
    supervised: int
    """Tokens that are learnt inside the window, over all rows."""
    histogram: tuple[tuple[int, int, int], ...]
    """From, to (both included), rows; each bin twice as wide as the one before."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the counts as JSON."""
        return {
            "p50": self.p50,
            "p95": self.p95,
            "max": self.max,
            "total": self.total,
            "supervised": self.supervised,
            "histogram": [{"from": a, "to": b, "rows": n} for a, b, n in self.histogram],
        }


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found."""

    rows: int
    refused: int
    """Rows of the file that are no examples."""
    max_length: int
    """The window, in tokens."""
    counts: Mapping[str, int] = field(hash=False)
    """Rows by defect; a row with several counts in each."""
    leaks: Mapping[str, int] = field(hash=False)
    """Leaked rows by sign: `exact`, `ngram`, `near`."""
    leaked_groups: tuple[str, ...]
    """Groups that have a leaked row; all their rows go together."""
    items: int
    """Items of evaluations that were checked against."""
    personal: Mapping[str, int] = field(hash=False)
    """Rows by kind of personal data."""
    tokens: TokenCounts
    makeup: Makeup
    shown: tuple[Shown, ...]
    findings: tuple[Finding, ...]

    @property
    def stops(self) -> tuple[str, ...]:
        """Return why no run may start on these rows; empty: it may."""
        reasons = (
            ("zero_supervision", f"no supervised token within {self.max_length} tokens"),
            ("unrenderable", "the model's template can't render them"),
        )
        return tuple(
            f"{self.counts[name]} of {self.rows} rows: {reason}"
            for name, reason in reasons
            if self.counts[name]
        )

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the report as `data audit --json` prints it."""
        return {
            "rows": self.rows,
            "refused": self.refused,
            **self.counts,
            "max_length": self.max_length,
            "tokens": self.tokens.to_dict(),
            "leaks": dict(self.leaks),
            "leaked_groups": list(self.leaked_groups),
            "items": self.items,
            "personal": dict(self.personal),
            **self.makeup.to_dict(),
            "stops": list(self.stops),
            "shown": [shown.to_dict() for shown in self.shown],
            "findings": [finding.to_dict() for finding in self.findings[:SHOWN]],
        }


def count_tokens(lengths: Sequence[int], supervised: int) -> TokenCounts:
    """Return the percentiles (nearest rank) and the histogram of the rows' lengths."""
    ordered = sorted(lengths)
    return TokenCounts(
        p50=_percentile(ordered, 0.50),
        p95=_percentile(ordered, 0.95),
        max=ordered[-1] if ordered else 0,
        total=sum(ordered),
        supervised=supervised,
        histogram=_histogram(ordered),
    )


def _percentile(ordered: Sequence[int], share: float) -> int:
    if not ordered:
        return 0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _histogram(ordered: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    bins, low, high = [], 0, 31
    while ordered and low <= ordered[-1]:
        bins.append((low, high, sum(low <= length <= high for length in ordered)))
        low, high = high + 1, 2 * high + 1
    return tuple(bins)
