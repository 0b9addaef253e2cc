"""Curating: for each row with a finding, drop, rewrite or keep it, with the reason.

Rules propose; what they can't decide waits in the review queue for a person. The decisions make a
new version, whose parent is the old one; nothing is overwritten.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from core.errors import InputError
from core.gateway.guard.meta_language import filter_text, has_meta_language
from core.json_text import JsonRead, parse_json
from core.messages import JsonValue, Message
from training.datasets.example import Example
from training.datasets.findings import Defect, Finding
from training.datasets.pii import hidden

Action = Literal["drop", "rewrite", "keep"]
ACTIONS: tuple[Action, ...] = get_args(Action)
Rule = Literal["drop", "rewrite", "keep", "review"]
RULES: Mapping[Defect, Rule] = {
    "unrenderable": "drop",
    "zero_supervision": "drop",
    "leaked": "drop",
    "duplicate": "drop",
    "near_duplicate": "drop",
    "unfit_call": "drop",
    "meta_language": "rewrite",
    "pii": "rewrite",
    "contradiction": "review",
    "truncated": "review",
    "no_end": "keep",
}
"""What is done about a row by itself; `no_end` is the template's matter and not the row's."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one row, and why."""

    id: str
    action: Action
    reason: str
    answer: str | None = None
    """Of a rewrite by a person: the text of the last answer; None: announcements and personal data
    are taken out."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the decision as JSON."""
        row: dict[str, JsonValue] = {"id": self.id, "action": self.action, "reason": self.reason}
        return row if self.answer is None else {**row, "answer": self.answer}


@dataclass(frozen=True, slots=True)
class Review:
    """A row that waits for a person."""

    id: str
    findings: tuple[Finding, ...]


def decision_of(row: JsonValue) -> Decision:
    """Read a decision.

    Raises:
        InputError: a key is missing or unknown, or a value is not what it must be.
    """
    given = row if isinstance(row, Mapping) else {}
    if not {"id", "action", "reason"} <= set(given) <= {"id", "action", "reason", "answer"}:
        raise InputError("a decision must have id, action and reason, and may have answer")
    action, answer = given["action"], given.get("answer")
    if action not in ACTIONS:
        raise InputError(f"action must be one of {', '.join(ACTIONS)}, got {str(action)[:40]!r}")
    if answer is not None and (action != "rewrite" or not str(answer).strip()):
        raise InputError("answer must be a text that is not empty, and goes with action 'rewrite'")
    return Decision(
        str(given["id"]),
        next(known for known in ACTIONS if known == action),
        str(given["reason"]),
        None if answer is None else str(answer),
    )


def propose(
    examples: Iterable[Example],
    findings: Sequence[Finding],
    rules: Mapping[Defect, Rule] = RULES,
) -> Iterator[Decision]:
    """Yield what the rules decide; the strictest rule counts: drop, review, rewrite, keep.

    With a leaked row go all rows of its group.
    """
    by_row = _by_row(findings)
    families: dict[str, str] = {}
    for example in examples:
        families[example.id] = example.family
    leaked = {families[f.id] for f in findings if f.defect == "leaked" and f.id in families}
    for name, family in families.items():
        own = by_row.get(name, ())
        if rules["leaked"] == "drop" and family in leaked:
            reasons = [f.detail for f in own if f.defect == "leaked"]
            reason = reasons[0] if reasons else f"its group {family!r} has a leaked row"
            yield Decision(name, "drop", f"leaked: {reason}")
        elif own and (decision := _proposal(name, own, rules)):
            yield decision


def review_queue(
    findings: Sequence[Finding],
    decisions: Sequence[Decision],
) -> tuple[Review, ...]:
    """Return the rows with findings that nobody has decided on, in the order of the findings."""
    decided = {decision.id for decision in decisions}
    return tuple(
        Review(name, tuple(own)) for name, own in _by_row(findings).items() if name not in decided
    )


def merged(proposed: Iterable[Decision], own: Sequence[Decision]) -> tuple[Decision, ...]:
    """Return the decisions, a person's before a rule's.

    Raises:
        InputError: a person decided twice on one row.
    """
    twice = [name for name, count in Counter(d.id for d in own).items() if count > 1]
    if twice:
        raise InputError(f"there are several decisions on row {twice[0]!r}; leave one")
    mine = {decision.id for decision in own}
    return (*(d for d in proposed if d.id not in mine), *own)


class Curation:
    """Rows on their way through decisions; counts what became of them."""

    def __init__(self, examples: Iterable[Example], decisions: Sequence[Decision]) -> None:
        self.counts: Counter[str] = Counter(dropped=0, rewritten=0, kept=0)
        self.done: list[Decision] = []
        """What was done, rewrites that left nothing as drops."""
        self._examples = examples
        self._by_id = {decision.id: decision for decision in decisions}

    def __iter__(self) -> Iterator[Example]:
        """Yield what is left.

        Raises:
            InputError: a decision is on a row that is not there; raised after the last row.
        """
        for example in self._examples:
            decision = self._by_id.pop(example.id, None)
            new = example if decision is None else self._applied(example, decision)
            if new is not None:
                self.counts["kept" if new == example else "rewritten"] += 1
                yield new
        if self._by_id:
            raise InputError(f"a decision is on row {next(iter(self._by_id))!r}, which isn't there")

    def _applied(self, example: Example, decision: Decision) -> Example | None:
        new: Example | None = example
        if decision.action == "rewrite":
            new = rewritten(example, decision.answer)
            if new is None:
                reason = f"{decision.reason}; nothing is left after rewriting"
                decision = Decision(example.id, "drop", reason)
        if decision.action == "drop":
            new = None
            self.counts["dropped"] += 1
        self.done.append(decision)
        return new


def rewritten(example: Example, answer: str | None = None) -> Example | None:
    """Return the example with another last answer, or without announcements and personal data.

    None: nothing would be left of a turn that is learnt.
    """
    try:
        if answer is not None:
            return _with_answer(example, answer)
        turns = [
            _cleaned(turn, index in example.learnt)
            for index, turn in enumerate(example.conversation)
        ]
        return replace(
            example,
            messages=tuple(turns[: len(example.messages)]),
            chosen=tuple(turns[len(example.messages) :]),
            rejected=tuple(_cleaned(turn, False) for turn in example.rejected),
        )
    except InputError:
        return None


def _with_answer(example: Example, answer: str) -> Example:
    said = Message("assistant", answer)
    if example.kind == "preference":
        return replace(example, chosen=(*example.chosen[:-1], said))
    if not example.answer:
        return replace(example, messages=(*example.messages, said))
    return replace(example, messages=(*example.messages[:-1], said))


def _cleaned(turn: Message, is_learnt: bool) -> Message:
    text = hidden(turn.text)
    if is_learnt:
        text = filter_text(text).text
        if has_meta_language(text):
            raise InputError("the turn is nothing but announcements")
    calls = tuple(
        replace(call, arguments=_whole(hidden(call.arguments))) for call in turn.tool_calls
    )
    return replace(turn, text=text, tool_calls=calls)


def _whole(arguments: str) -> str:
    """Return arguments that are still JSON."""
    read = parse_json(arguments)
    if not isinstance(read, JsonRead) or read.repaired:
        raise InputError("the arguments of a call are no JSON without the personal data")
    return arguments


def _by_row(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    by_row: dict[str, list[Finding]] = {}
    for finding in findings:
        by_row.setdefault(finding.id, []).append(finding)
    return by_row


def _proposal(name: str, own: Sequence[Finding], rules: Mapping[Defect, Rule]) -> Decision | None:
    chosen = {rules[finding.defect] for finding in own}
    for rule in ("drop", "review", "rewrite", "keep"):
        if rule in chosen:
            reasons = [f"{f.defect}: {f.detail}" for f in own if rules[f.defect] == rule]
            return None if rule == "review" else Decision(name, rule, "; ".join(reasons)[:500])
    return None
