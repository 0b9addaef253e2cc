"""The ratings of all models by the votes in the store; people's and judges' are never mixed.

An id is rated by the votes on its newest weights, those of its newest vote; votes on others of its
weights are left out, and counted.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from core.messages import JsonValue
from core.outcomes import OUTCOMES
from core.store import Store
from core.store.battle_records import BattleCounts, RatedBattle, Source
from core.store.battles import Battles
from evals.ratings import Battle, Ratings, rate
from evals.ratings.matrix import WinMatrix, win_matrix
from evals.stats.bias import Lengths

Version = tuple[int, datetime | None]
"""Number of votes and time of the newest: what the store says cheaply of whether it has changed."""
OLD_WEIGHTS = "old_weights"
"""Why a vote is left out, in a standing's `excluded`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The models as the votes rank them."""

    source: Source
    ratings: Ratings
    matrix: WinMatrix
    excluded: dict[str, int] = field(hash=False)
    """Votes that don't count, by reason."""
    votes: int
    """Votes that count."""
    newest_at: datetime | None
    """When the newest of them was given."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return what `evals ratings --json` prints."""
        return {
            **self.ratings.to_dict(),
            "source": self.source,
            "votes": self.votes,
            "excluded": dict(self.excluded),
            "newest_at": self.newest_at.isoformat() if self.newest_at else None,
            "matrix": self.matrix.to_dict(),
        }


class Standings:
    """Standings computed once for each state of the votes; safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._battles = Battles(store)
        self._lock = threading.Lock()
        self._kept: dict[tuple[Source, bool], tuple[Version, Standing]] = {}

    def of(self, source: Source = "person", *, length: bool = False) -> Standing:
        """Return the standing by all counted votes of people, or of judges.

        `length` takes out what a longer answer is worth.

        Raises:
            StorageError: the store can't be used.
        """
        key = source, length
        with self._lock:
            version = self._battles.newest_vote()
            kept = self._kept.get(key)
            if kept is None or kept[0] != version:
                kept = version, self._computed(source, length=length)
                self._kept[key] = kept
            return kept[1]

    def _computed(self, source: Source, *, length: bool) -> Standing:
        rated = self._battles.rated(source)
        return standing(source, rated, self._battles.counts(source), length=length)


def standing(
    source: Source,
    rated: Sequence[RatedBattle],
    counts: BattleCounts,
    *,
    length: bool = False,
    position: bool = False,
) -> Standing:
    """Return the standing by these votes; see `evals.ratings.rate` for what can be taken out."""
    kept = _newest_weights(rated)
    battles = [_battle(each) for each in kept]
    ratings = _ratings(battles, length=length, position=position)
    return Standing(
        source=source,
        ratings=ratings,
        matrix=win_matrix(battles, [model.id for model in ratings.models]),
        excluded=_excluded(counts, len(rated) - len(kept)),
        votes=len(kept),
        newest_at=max((each.voted_at for each in kept), default=None),
    )


def _newest_weights(rated: Sequence[RatedBattle]) -> list[RatedBattle]:
    """Return the votes whose sides were both the newest weights of their ids."""
    newest: dict[str, str] = {}
    for each in rated:  # Oldest first.
        newest |= {each.model_a: each.digest_a, each.model_b: each.digest_b}
    return [
        each
        for each in rated
        if (newest[each.model_a], newest[each.model_b]) == (each.digest_a, each.digest_b)
    ]


def _excluded(counts: BattleCounts, old: int) -> dict[str, int]:
    found = {str(reason): count for reason, count in counts.excluded.items()}
    return {**found, OLD_WEIGHTS: old} if old else found


def _ratings(battles: Sequence[Battle], *, length: bool, position: bool) -> Ratings:
    if not battles:
        return Ratings((), dict.fromkeys(OUTCOMES, 0), None, None, None)
    return rate(battles, length=length, position=position)


def _battle(each: RatedBattle) -> Battle:
    lengths = Lengths(each.length_a, each.length_b)
    return Battle(each.prompt, each.model_a, each.model_b, each.outcome, lengths)
