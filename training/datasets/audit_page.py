"""The audit as one HTML page with nothing else to load; every text of a row is escaped."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import NamedTuple

from training.datasets.audit_report import COUNTS, AuditReport, Shown
from training.datasets.findings import DEFECTS

MEANINGS: Mapping[str, str] = {
    "unrenderable": "the model's template can't render it",
    "zero_supervision": "no token that is learnt lies in the window",
    "truncated": "longer than the window; its end is cut off",
    "no_end": "the answer does not end with an end token, so the model never learns to stop",
    "duplicate": "the same row stands before",
    "near_duplicate": "a row that differs in little stands before",
    "contradiction": "the same prompt stands before with another answer",
    "leaked": "shows an item of the evaluation",
    "pii": "holds personal data",
    "meta_language": "the answer announces itself instead of answering",
    "unfit_call": "a call does not fit its tool",
}
ROWS_SHOWN = 20
"""Findings listed of each defect."""
STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884;
vertical-align:top;overflow-wrap:anywhere}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid #8884;padding:.75rem;
max-height:32rem;overflow:auto}
mark{background:#2e7d3233;color:inherit;border-bottom:2px solid #2e7d32}
.cut{opacity:.45}
.bar{background:#8a1c2b;height:.8rem;min-width:1px}
.stop{border-left:4px solid #8a1c2b;padding-left:1rem}
"""


class Piece(NamedTuple):
    """Part of an example's text."""

    text: str
    is_learnt: bool
    is_beyond: bool
    """Whether it lies outside the window."""


def audit_page(report: AuditReport, title: str) -> str:
    """Return the page."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>Audit of {escape(title)}</title><style>{STYLE}</style>",
        f"<h1>Audit of {escape(title)}</h1>",
        *_summary(report),
        *_lengths(report),
        *_makeup(report),
        *_examples(report),
        *_findings(report),
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _summary(report: AuditReport) -> Iterator[str]:
    yield f"<p>{report.rows} rows, {report.refused} refused; window {report.max_length} tokens.</p>"
    if report.stops:
        yield "<div class=stop><p>No run starts on these rows:</p><ul>"
        yield from (f"<li>{escape(reason)}</li>" for reason in report.stops)
        yield "</ul></div>"
    yield "<table><tr><th>Rows<th>What<th>Meaning"
    for defect in DEFECTS:
        name = COUNTS[defect]
        yield _row(report.counts[name], name.replace("_", " "), MEANINGS[defect])
    yield "</table>"
    if report.items:
        signs = ", ".join(f"{kind} {count}" for kind, count in report.leaks.items())
        groups = len(report.leaked_groups)
        yield f"<p>Checked against {report.items} items: {signs}; {groups} groups are touched.</p>"
    if report.personal:
        yield _list("Personal data, rows", report.personal)


def _lengths(report: AuditReport) -> Iterator[str]:
    tokens = report.tokens
    yield "<h2>Lengths</h2>"
    yield (
        f"<p>Tokens of a row: half up to {tokens.p50}, 95 % up to {tokens.p95}, longest "
        f"{tokens.max}. {tokens.supervised} of {tokens.total} tokens are learnt.</p>"
    )
    most = max((rows for _, _, rows in tokens.histogram), default=0)
    yield "<table><tr><th>Tokens<th>Rows<th>"
    for low, high, rows in tokens.histogram:
        bar = f"<div class=bar style='width:{100 * rows / max(most, 1):.1f}%'></div>"
        yield f"<tr><td>{low} to {high}<td class=n>{rows}<td style='width:60%'>{bar}"
    yield "</table>"
    yield _list("Tokens that are learnt, rows", report.makeup.bands)


def _makeup(report: AuditReport) -> Iterator[str]:
    makeup = report.makeup
    yield "<h2>Answers</h2>"
    yield _list("Kinds", makeup.kinds)
    yield _list("Forms", makeup.forms)
    yield _list("Languages, of some rows", makeup.languages)
    if makeup.largest_class is not None:
        yield _list(f"Classes; the largest has {makeup.largest_class:.0%}", makeup.classes)
    yield (
        f"<p>{makeup.markup} rows have HTML in their answer, {makeup.formulas} a text that a "
        "spreadsheet would run as a formula; both stay what they are, text.</p>"
    )


def _examples(report: AuditReport) -> Iterator[str]:
    yield "<h2>As the model reads them</h2><p>Marked: what is learnt. Pale: beyond the window.</p>"
    for shown in report.shown:
        why = "" if shown.why == "first" else f", {shown.why.replace('_', ' ')}"
        yield (
            f"<h3>{escape(shown.id)}{why}</h3><p>{shown.tokens} tokens, {shown.supervised} learnt"
            f"</p><pre>{marked(shown)}</pre>"
        )


def _findings(report: AuditReport) -> Iterator[str]:
    yield "<h2>Findings</h2>"
    for defect in DEFECTS:
        found = [finding for finding in report.findings if finding.defect == defect]
        if not found:
            continue
        yield f"<h3>{COUNTS[defect].replace('_', ' ')}</h3><table><tr><th>Row<th>Why"
        for finding in found[:ROWS_SHOWN]:
            yield f"<tr><td>{escape(finding.id)}<td>{escape(finding.detail)}"
        yield "</table>"
        if len(found) > ROWS_SHOWN:
            yield f"<p>And {len(found) - ROWS_SHOWN} more.</p>"


def marked(shown: Shown) -> str:
    """Return the text as HTML: what is learnt marked, what is beyond the window pale."""
    parts = []
    for piece in pieces(shown):
        text = escape(piece.text)
        if piece.is_learnt:
            text = f"<mark>{text}</mark>"
        parts.append(f"<span class=cut>{text}</span>" if piece.is_beyond else text)
    return "".join(parts)


def pieces(shown: Shown) -> Iterator[Piece]:
    """Yield the text from edge to edge of what is learnt and of the window."""
    cut = len(shown.text) if shown.cut is None else min(shown.cut, len(shown.text))
    edges = {0, cut, len(shown.text)}
    for span in shown.spans:
        edges.update(min(edge, len(shown.text)) for edge in span)
    ordered = sorted(edges)
    for start, end in zip(ordered, ordered[1:], strict=False):
        is_learnt = any(a <= start < b for a, b in shown.spans)
        yield Piece(shown.text[start:end], is_learnt, is_beyond=start >= cut)


def _row(count: int, name: str, meaning: str) -> str:
    return f"<tr><td class=n>{count}<td>{escape(name)}<td>{escape(meaning)}"


def _list(title: str, counts: Mapping[str, int]) -> str:
    listed = ", ".join(f"{escape(name)} {count}" for name, count in counts.items())
    return f"<p>{escape(title)}: {listed or 'none'}.</p>"
