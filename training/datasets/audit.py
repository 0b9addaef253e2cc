"""The audit: everything that can be known of a dataset before a model learns from it.

Rows are read once, as a stream; some 800 bytes a row stay in memory, and the findings.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from core.errors import InputError
from core.messages import JsonObject
from training.datasets.audit_report import (
    COUNTS,
    AuditReport,
    Shown,
    count_tokens,
)
from training.datasets.example import Example
from training.datasets.findings import Finding, text_findings
from training.datasets.leakage import Leak, Leakage
from training.datasets.makeup import MakeupCounts
from training.datasets.supervision import Encoded, encode
from training.datasets.twins import Twins

SHOWN = {"first": 3, "zero_supervision": 3, "truncated": 2}
"""Examples that are shown, by why."""
MAX_SHOWN_CHARACTERS = 20_000


def audit(
    examples: Iterable[Example],
    tokenizer: Any,
    max_length: int,
    against: Iterable[JsonObject] = (),
    refused: int = 0,
) -> AuditReport:
    """Audit examples for a model with this tokenizer and a window of `max_length` tokens.

    `against` are rows `{"id", "input", "target"}` of evaluations that the model must not know.
    `refused` is how many rows of the file were no examples; it is only passed on.

    Raises:
        InputError: there are no examples, or the window has less than one token.
    """
    if max_length < 1:
        raise InputError(f"max_length must be at least 1 token, got {max_length!r}")
    leakage = Leakage(against)
    with Twins() as twins:
        course = _Course(_Window(tokenizer, max_length), leakage, twins)
        for example in examples:
            course.add(example)
        if not course.ids:
            raise InputError("there is no row to audit")
        course.end()
    return AuditReport(
        rows=len(course.ids),
        refused=refused,
        max_length=max_length,
        counts={name: course.counts[defect] for defect, name in COUNTS.items()},
        leaks={kind: course.leaks[kind] for kind in ("exact", "ngram", "near")},
        leaked_groups=tuple(course.leaked_groups),
        items=leakage.items,
        personal=dict(course.personal.most_common()),
        tokens=count_tokens(course.window.lengths, course.window.supervised),
        makeup=course.makeup.result(),
        shown=tuple(course.window.shown),
        findings=tuple(course.findings),
    )


class _Window:
    """Reads rows as the model does."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self.lengths = array("q")
        self.supervised = 0
        self.shown: list[Shown] = []
        self._tokenizer, self._most = tokenizer, max_length
        self._ends = set(tokenizer.all_special_ids)
        self._left = dict(SHOWN)

    def findings(self, example: Example) -> Iterator[Finding]:
        """Yield what is wrong with the example in tokens; its length is taken down."""
        try:
            whole = encode(example, self._tokenizer)
            sides = [whole]
            if example.kind == "preference":
                sides.append(encode(example.worse, self._tokenizer))
        except InputError as error:
            yield Finding(example.id, "unrenderable", str(error))
            return
        inside = [sum(side.is_supervised[: self._most]) for side in sides]
        longest = max(len(side.tokens) for side in sides)
        self.lengths.append(longest)
        self.supervised += sum(inside)
        is_empty, is_truncated = not all(inside), longest > self._most
        if is_empty:
            detail = f"{longest} tokens, none of the first {self._most} is learnt"
            yield Finding(example.id, "zero_supervision", detail)
        if is_truncated:
            yield Finding(example.id, "truncated", f"{longest} tokens")
        if not all(self._has_end(side) for side in sides):
            yield Finding(example.id, "no_end", "the last token that is learnt ends no turn")
        why = "zero_supervision" if is_empty else "truncated" if is_truncated else "first"
        self._show(example.id, whole, why)

    def _has_end(self, side: Encoded) -> bool:
        last = max((i for i, learnt in enumerate(side.is_supervised) if learnt), default=None)
        return last is None or side.tokens[last] in self._ends

    def _show(self, name: str, whole: Encoded, why: str) -> None:
        if not self._left[why]:
            return
        self._left[why] -= 1
        is_cut = len(whole.tokens) > self._most
        self.shown.append(
            Shown(
                id=name,
                why=why,
                text=whole.rendered.text[:MAX_SHOWN_CHARACTERS],
                spans=whole.rendered.spans,
                cut=whole.starts[self._most] if is_cut else None,
                tokens=len(whole.tokens),
                supervised=sum(whole.is_supervised[: self._most]),
            )
        )


class _Course:
    """One way through the rows."""

    def __init__(self, window: _Window, leakage: Leakage, twins: Twins) -> None:
        self.window, self.makeup = window, MakeupCounts()
        self.ids: list[str] = []
        self.counts: Counter[str] = Counter()
        self.leaks: Counter[str] = Counter()
        self.leaked_groups: dict[str, None] = {}
        self.personal: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self._leakage, self._twins = leakage, twins

    def add(self, example: Example) -> None:
        """Take the next row."""
        self.ids.append(example.id)
        self._twins.add(example)
        before = self.window.supervised
        for finding in (*self.window.findings(example), *text_findings(example)):
            self._take(finding)
        self.makeup.add(example, self.window.supervised - before)
        if leak := self._leakage.of(example):
            self._leak(example, leak)

    def end(self) -> None:
        """Compare the rows with each other, once all of them were taken."""
        for row, twin in sorted(self._twins.found().items()):
            detail = f"of row {self.ids[twin.row]!r}"
            self._take(Finding(self.ids[row], twin.kind, detail))

    def _take(self, finding: Finding) -> None:
        self.counts[finding.defect] += 1
        self.findings.append(finding)
        if finding.defect == "pii":
            self.personal.update(finding.detail.split(", "))

    def _leak(self, example: Example, leak: Leak) -> None:
        self.leaks[leak.kind] += 1
        self.leaked_groups[example.family] = None
        self._take(Finding(example.id, "leaked", f"{leak.kind}: item {leak.item!r}"))
