"""The better of two answers, always asked in both orders.

An outcome stands when both orders give it. Where they don't, the battle is a tie, and is counted as
a position flip. Without a verdict in both orders the battle is missing, and has no outcome.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.errors import InputError
from core.messages import JsonValue
from evals.judge.asking import Ask, Judge
from evals.judge.verdicts import Verdict, VerdictFile
from evals.sample import Estimate
from evals.stats.bias import (
    OUTCOMES,
    Lengths,
    Outcome,
    first_position_wins,
    longer_wins,
    position_flips,
)

MOST_MISSING = 0.01
"""Share of battles without an outcome above which a comparison is invalid."""
ORDERS = (("model_a", "model_b"), ("model_b", "model_a"))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt."""

    id: str
    conversation: str
    answer_a: str
    answer_b: str
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Battle:
    """What came of one pair."""

    pair: Pair
    outcome: Outcome | None
    """None: missing."""
    is_flip: bool
    """Whether the verdict changed with the order."""
    verdicts: tuple[Verdict, Verdict]
    """In the order a, b and in the order b, a."""

    def to_row(self, model_a: str, model_b: str, judge: str, rubric: str) -> dict[str, JsonValue]:
        """Return the battle as `evals ratings` reads it, marked as a judge's."""
        return {
            "prompt_id": self.pair.id,
            "model_a": model_a,
            "model_b": model_b,
            "outcome": self.outcome,
            "length_a": len(self.pair.answer_a),
            "length_b": len(self.pair.answer_b),
            "judge": judge,
            "rubric": rubric,
            "flipped": self.is_flip,
        }


@dataclass(frozen=True, slots=True)
class PairReport:
    """Battles in figures, and what they owe to position and length."""

    n: int
    """Pairs, also those without an outcome."""
    missing: int
    outcomes: Mapping[str, int] = field(hash=False)
    flips: Estimate | None
    """Share of battles whose verdict changed with the order, 0.0 to 1.0."""
    first: Estimate | None
    """Share of decisive verdicts for the answer shown first; 0.5 is no bias."""
    longer: Estimate | None
    """Share of decided battles that the longer answer won."""

    @property
    def is_valid(self) -> bool:
        """Whether few enough battles are missing."""
        return self.missing <= MOST_MISSING * self.n

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the report as JSON; what is undefined is null."""
        return {
            "n": self.n,
            "missing": self.missing,
            "status": "completed" if self.is_valid else "invalid",
            "outcomes": dict(self.outcomes),
            "position_flips": _json(self.flips),
            "first_position_wins": _json(self.first),
            "longer_wins": _json(self.longer),
        }


def compare_pairs(judge: Judge, pairs: Sequence[Pair], verdicts: VerdictFile) -> list[Battle]:
    """Return the battle of each pair, in order; asks only what the file does not hold.

    Equal answers are asked too: they show what position alone does.

    Raises:
        StorageError: a verdict can't be written.
    """
    asks = [_ask(pair, call) for pair in pairs for call in range(len(ORDERS))]
    replies = judge.ask(asks, verdicts)
    return [
        _battle(pair, ab, ba)
        for pair, ab, ba in zip(pairs, replies[::2], replies[1::2], strict=True)
    ]


def pair_report(battles: Sequence[Battle], unanswered: int = 0) -> PairReport:
    """Count outcomes, and what position and length did.

    `unanswered`: planned pairs without both answers, which count as missing.
    """
    told = [battle for battle in battles if battle.outcome is not None]
    counts = Counter(battle.outcome for battle in told)
    return PairReport(
        n=len(battles) + unanswered,
        missing=len(battles) - len(told) + unanswered,
        outcomes={outcome: counts[outcome] for outcome in OUTCOMES},
        flips=_flips(told),
        first=_first(told),
        longer=_longer(told),
    )


def _ask(pair: Pair, call: int) -> Ask:
    order = ORDERS[call]
    answers = {"model_a": pair.answer_a, "model_b": pair.answer_b}
    return Ask(
        id=pair.id,
        call=call,
        order=order,
        conversation=pair.conversation,
        answers=tuple(answers[name] for name in order),
        repeat=pair.repeat,
    )


def _battle(pair: Pair, ab: Verdict, ba: Verdict) -> Battle:
    if ab.status != "ok" or ba.status != "ok":
        return Battle(pair, None, is_flip=False, verdicts=(ab, ba))
    is_flip = ab.winner != ba.winner
    return Battle(pair, "tie" if is_flip else _outcome(ab), is_flip, (ab, ba))


def _outcome(verdict: Verdict) -> Outcome:
    return next(each for each in OUTCOMES if each == verdict.winner)


def _flips(battles: Sequence[Battle]) -> Estimate | None:
    return position_flips(*_both_orders(battles)) if battles else None


def _first(battles: Sequence[Battle]) -> Estimate | None:
    try:
        return first_position_wins(*_both_orders(battles))
    except InputError:  # No verdict named a winner.
        return None


def _longer(battles: Sequence[Battle]) -> Estimate | None:
    outcomes = [battle.outcome for battle in battles if battle.outcome is not None]
    lengths = [Lengths(len(b.pair.answer_a), len(b.pair.answer_b)) for b in battles]
    try:
        return longer_wins(outcomes, lengths)
    except InputError:  # No battle of unlike lengths was won.
        return None


def _both_orders(battles: Sequence[Battle]) -> tuple[list[Outcome], list[Outcome]]:
    first = [_outcome(battle.verdicts[0]) for battle in battles]
    return first, [_outcome(battle.verdicts[1]) for battle in battles]


def _json(estimate: Estimate | None) -> JsonValue:
    return None if estimate is None else estimate.to_dict()
