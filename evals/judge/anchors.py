"""The gate before every report: a judge must agree with the anchors, or nothing it says is shown.

A mark that is missing, and a winner that changes with the order, count as not agreeing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from core.errors import InputError, ScoringError
from core.messages import JsonValue
from evals.judge.asking import Judge
from evals.judge.pairwise import Battle, Pair, compare_pairs
from evals.judge.pointwise import Item, mark_items
from evals.judge.rubric import Rubric
from evals.judge.verdicts import Verdict, VerdictFile
from evals.stats.bias import Outcome

CLEAR_DIFFERENCE = 0.3
"""Least difference of two anchors' marks from which one is the better answer beyond doubt."""
FEWEST_PAIRS = 3


@dataclass(frozen=True, slots=True)
class AnchorCheck:
    """How a judge did on the anchors."""

    agreed: int
    asked: int
    """Marks, or pairs."""
    missing: int
    """Of those asked."""
    needed: float
    """Share that must agree."""

    @property
    def share(self) -> float:
        """Return the share that agrees, 0.0 to 1.0."""
        return self.agreed / self.asked

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the figures as JSON."""
        return {
            "agreed": self.agreed,
            "asked": self.asked,
            "missing": self.missing,
            "share": self.share,
            "needed": self.needed,
        }


@dataclass(frozen=True, slots=True)
class AnchorPair:
    """Two anchors to one question, and which is the better one."""

    pair: Pair
    better: Outcome


def check_marks(judge: Judge, verdicts: VerdictFile) -> AnchorCheck:
    """Ask for the anchors' marks, and return how many agree.

    Raises:
        ScoringError: too few agree; the text has the figures.
        StorageError: a verdict can't be written.
    """
    rubric = judge.rubric
    items = [
        Item(id=f"anchor:{number}", conversation=_asked(anchor.question), answer=anchor.answer)
        for number, anchor in enumerate(rubric.anchors, 1)
    ]
    marked = mark_items(judge, items, verdicts)
    wanted = [
        (found.marks.get(name), anchor.marks[name])
        for found, anchor in zip(marked, rubric.anchors, strict=True)
        for name in rubric.names
    ]
    check = AnchorCheck(
        agreed=sum(given == mark for given, mark in wanted),
        asked=len(wanted),
        missing=sum(given is None for given, _ in wanted),
        needed=rubric.agreement,
    )
    return _passed(judge, check, "marks", [v for found in marked for v in found.verdicts])


def check_pairs(judge: Judge, verdicts: VerdictFile) -> AnchorCheck:
    """Ask which anchor of each pair is better, and return how many agree.

    Raises:
        InputError: the rubric has too few anchors to one question with clearly different marks.
        ScoringError: too few agree; the text has the figures.
        StorageError: a verdict can't be written.
    """
    pairs = anchor_pairs(judge.rubric)
    if len(pairs) < FEWEST_PAIRS:
        raise InputError(
            f"rubric {judge.rubric.name!r} has {len(pairs)} pairs of anchors to one question with "
            f"marks at least {CLEAR_DIFFERENCE} apart; {FEWEST_PAIRS} are needed to compare answers"
        )
    battles = compare_pairs(judge, [each.pair for each in pairs], verdicts)
    check = AnchorCheck(
        agreed=right_battles(pairs, battles),
        asked=len(pairs),
        missing=sum(battle.outcome is None for battle in battles),
        needed=judge.rubric.agreement,
    )
    return _passed(judge, check, "pairs", [v for battle in battles for v in battle.verdicts])


def right_battles(pairs: Sequence[AnchorPair], battles: Sequence[Battle]) -> int:
    """Return how many battles went to the better anchor."""
    return sum(each.better == battle.outcome for each, battle in zip(pairs, battles, strict=True))


def anchor_pairs(rubric: Rubric) -> list[AnchorPair]:
    """Return the anchors to one question, two by two, whose marks are clearly apart.

    The better one comes first and second in turn.
    """
    found: list[AnchorPair] = []
    for (i, one), (j, other) in combinations(enumerate(rubric.anchors, 1), 2):
        apart = rubric.mark(one.marks) - rubric.mark(other.marks)
        if one.question != other.question or abs(apart) < CLEAR_DIFFERENCE:
            continue
        is_first = len(found) % 2 == 0
        a, b = (one, other) if (apart > 0) == is_first else (other, one)
        name = f"anchors:{i},{j}"
        pair = Pair(name, _asked(one.question), a.answer, b.answer)
        found.append(AnchorPair(pair, "model_a" if is_first else "model_b"))
    return found


def _asked(question: str) -> str:
    return f"user: {question}"


def _passed(
    judge: Judge, check: AnchorCheck, what: str, verdicts: Sequence[Verdict]
) -> AnchorCheck:
    if check.share >= check.needed:
        return check
    reason = next((v.reason for v in verdicts if v.status != "ok"), "")
    because = f" ({check.missing} have no verdict; the first: {reason})" if check.missing else ""
    raise ScoringError(
        f"the judge {judge.model!r} agrees with {check.agreed} of the {check.asked} anchor {what} "
        f"of rubric {judge.rubric.name!r}, {check.share:.2f}; {check.needed:.2f} is needed"
        f"{because}. Nothing is reported: choose a stronger judge, or mend the rubric"
    )
