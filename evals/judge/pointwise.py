"""Marks for single answers: several calls each, and a rule for where they disagree.

The rule: a mark stands when more than half of the rubric's calls gave it. Where one does not, one
more call asks for those dimensions alone, if it can settle them. A dimension that still has no such
mark is missing, and so is the whole mark. A missing mark is never a score.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evals.judge.asking import Ask, Judge
from evals.judge.rubric import Condition, Rubric
from evals.judge.verdicts import Verdict, VerdictFile
from evals.judge.zeros import zeroed


@dataclass(frozen=True, slots=True)
class Item:
    """An answer to be judged."""

    id: str
    conversation: str
    """The turns before the answer, as the judge reads them; see `prompts.conversation_text`."""
    answer: str
    repeat: int = 0
    group: str = ""
    """The source that items share; empty: none."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What came of one answer."""

    item: Item
    marks: Mapping[str, int] = field(hash=False)
    """Dimension to mark, 0 to 2; missing ones are left out."""
    mark: float | None
    """Of the whole answer, 0.0 to 1.0; None: missing."""
    zeroed: Mapping[str, Condition] = field(hash=False)
    """Dimensions that the rubric marked without the judge."""
    verdicts: tuple[Verdict, ...]
    """All calls, also those without a verdict."""


def mark_items(judge: Judge, items: Sequence[Item], verdicts: VerdictFile) -> list[Marked]:
    """Return the marks of each item, in order; asks only what the file does not hold.

    Raises:
        StorageError: a verdict can't be written.
    """
    rubric = judge.rubric
    zeros = [zeroed(rubric, item.answer) for item in items]
    asked = [tuple(name for name in rubric.names if name not in zero) for zero in zeros]
    found: list[list[Verdict]] = [[] for _ in items]
    for calls in (range(rubric.calls), range(rubric.calls, rubric.calls + 1)):
        left = [
            _open(rubric, names, given, len(calls))
            for names, given in zip(asked, found, strict=True)
        ]
        asks = [
            (place, _ask(items[place], names, call))
            for place, names in enumerate(left)
            for call in calls
            if names
        ]
        replies = judge.ask([ask for _, ask in asks], verdicts)
        for (place, _), verdict in zip(asks, replies, strict=True):
            found[place].append(verdict)
    return [
        _marked(rubric, item, zero, tuple(given))
        for item, zero, given in zip(items, zeros, found, strict=True)
    ]


def agreed(rubric: Rubric, names: Sequence[str], verdicts: Sequence[Verdict]) -> Mapping[str, int]:
    """Return the marks that stand, by dimension: those that enough of the calls gave."""
    commonest = {name: _commonest(name, verdicts) for name in names}
    return {name: mark for name, (mark, count) in commonest.items() if count > rubric.calls // 2}


def _open(
    rubric: Rubric, names: Sequence[str], verdicts: Sequence[Verdict], calls: int
) -> tuple[str, ...]:
    """Return the dimensions without a mark that so many more calls can still give one."""
    counts = {name: _commonest(name, verdicts)[1] for name in names}
    needed = rubric.calls // 2 + 1
    return tuple(name for name in names if needed - calls <= counts[name] < needed)


def _commonest(name: str, verdicts: Sequence[Verdict]) -> tuple[int, int]:
    """Return the mark that most calls gave a dimension, and how many."""
    given = Counter(verdict.marks[name] for verdict in verdicts if name in verdict.marks)
    return given.most_common(1)[0] if given else (0, 0)


def _ask(item: Item, names: tuple[str, ...], call: int) -> Ask:
    """Return one call: the dimensions turned by one place, and every other call backwards."""
    turn = (call // 2) % len(names)
    order = names[turn:] + names[:turn]
    return Ask(
        id=item.id,
        call=call,
        order=order[::-1] if call % 2 else order,
        conversation=item.conversation,
        answers=(item.answer,),
        repeat=item.repeat,
    )


def _marked(
    rubric: Rubric, item: Item, zero: Mapping[str, Condition], verdicts: tuple[Verdict, ...]
) -> Marked:
    asked = [name for name in rubric.names if name not in zero]
    marks = {**dict.fromkeys(zero, 0), **agreed(rubric, asked, verdicts)}
    is_whole = len(marks) == len(rubric.names)
    return Marked(item, marks, rubric.mark(marks) if is_whole else None, zero, verdicts)
