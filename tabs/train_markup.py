"""What the pages of the Train tab are filled with: rows, audits and errands as plain values."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.messages import Message
from training.audits import KeptAudit
from training.datasets.audit_page import MEANINGS, Piece, pieces
from training.datasets.audit_report import COUNTS, Shown
from training.datasets.example import Example
from training.datasets.findings import DEFECTS
from training.errand_folder import Errand

FINDINGS_SHOWN = 20
"""Findings listed of each defect."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of an example."""

    role: str
    text: str
    is_learnt: bool


@dataclass(frozen=True, slots=True)
class Defect:
    """What an audit looked for, and found."""

    key: str
    name: str
    rows: int
    meaning: str
    findings: Sequence[Mapping[str, str]]


def turns_of(example: Example) -> list[Turn]:
    """Return the turns as people read them; calls stand after the text."""
    learnt = frozenset(example.learnt)
    turns = [Turn(m.role, _said(m), i in learnt) for i, m in enumerate(example.conversation)]
    return [*turns, *(Turn("rejected", _said(m), False) for m in example.rejected)]


def last_answer(example: Example) -> str:
    """Return the text of the answer that a rewrite replaces."""
    return example.answer[-1].text if example.answer else ""


def defects_of(audit: KeptAudit) -> list[Defect]:
    """Return what the audit counted, what stops a run first."""
    findings: Any = audit.report.get("findings") or []
    return [
        Defect(
            key=defect,
            name=COUNTS[defect].replace("_", " "),
            rows=int(str(audit.report.get(COUNTS[defect], 0))),
            meaning=MEANINGS[defect],
            findings=[f for f in findings if f["defect"] == defect][:FINDINGS_SHOWN],
        )
        for defect in DEFECTS
    ]


def examples_of(audit: KeptAudit) -> list[tuple[Shown, list[Piece]]]:
    """Return the audit's examples as the model reads them."""
    raw: Any = audit.report.get("shown") or []
    return [(shown, list(pieces(shown))) for shown in map(Shown.from_dict, raw)]


def bars_of(audit: KeptAudit) -> list[tuple[str, int, float]]:
    """Return the histogram of lengths: from and to, rows, and the bar's width in percent."""
    tokens: Any = audit.report.get("tokens") or {}
    bins = tokens.get("histogram") or []
    most = max((each["rows"] for each in bins), default=0)
    return [
        (f"{b['from']:,} to {b['to']:,}", b["rows"], 100 * b["rows"] / max(most, 1)) for b in bins
    ]


def elapsed(errand: Errand) -> str:
    """Return for how long an errand has been at work."""
    return duration(max(0.0, time.time() - errand.started_at))


def duration(seconds: float | None) -> str:
    """Return a time for people; "unknown" where it is not."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.0f} min" if minutes < 90 else f"{hours:.1f} h"


def _said(message: Message) -> str:
    calls = [f"{call.name}({call.arguments})" for call in message.tool_calls]
    return "\n".join([*([message.text] if message.text else []), *calls])
