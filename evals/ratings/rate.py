"""Ratings of models from their battles: Bradley-Terry on the Elo scale, resampled by prompts."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.messages import JsonValue
from evals.ratings.battles import Battle, read_battles
from evals.ratings.board import WON, Board, columns_of
from evals.sample import Estimate
from evals.stats.arrays import ALPHA, Floats
from evals.stats.bias import OUTCOMES, Outcome
from evals.stats.ranks import ranks, tie_groups

CENTRE = 1000.0
"""Mean rating of the models that are connected."""
SCALE = 400 / math.log(10)
"""Rating points of one logit: 400 points are odds of ten to one."""
REFITS = 500
FLAT = 1e-6
"""Points by which resamples differ at most where nothing varies: all battles were ties, say."""
FEW_BATTLES = 30
"""Below as many, a rating is provisional."""


@dataclass(frozen=True, slots=True)
class Rating:
    """One model's strength."""

    id: str
    rating: float | None
    """Elo points around 1000; None: it has no battle but `both_bad` ones."""
    low: float | None
    """95% interval; None: no rating, or nothing to resample: all battles are on one prompt."""
    high: float | None
    n: int
    """Battles that the rating is of: wins, losses and ties."""
    rank: int | None
    """1 + how many connected models are surely stronger: 1 for all where there are no intervals.
    None: no rating."""
    component: int | None
    """Models of one number are connected by battles; ratings of different ones can't be compared.
    1 has the most models."""
    is_provisional: bool
    """Fewer than 30 battles."""
    tie_group: int | None = None
    """From 1 within its component: the strongest left over, and all it can't be told from. None:
    no rating."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the rating as JSON."""
        return {
            "id": self.id,
            "rating": self.rating,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "rank": self.rank,
            "tie_group": self.tie_group,
            "component": self.component,
            "provisional": self.is_provisional,
        }


@dataclass(frozen=True, slots=True)
class Ratings:
    """All models of some battles, strongest first within each connected part."""

    models: tuple[Rating, ...]
    outcomes: Mapping[Outcome, int] = field(hash=False)
    """How many battles ended how; `both_bad` ones count nowhere else."""
    note: str | None
    """What a reader must know: that some models are not connected, or why none has an interval."""
    first_shown: Estimate | None
    """Points that being shown first is worth; None: not asked for."""
    length: Estimate | None
    """Points for one standard deviation of the difference in length; None: not asked for."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return what `evals ratings --json` prints."""
        return {
            "models": [model.to_dict() for model in self.models],
            "outcomes": dict(self.outcomes.items()),
            "note": self.note,
            "first_shown": self.first_shown.to_dict() if self.first_shown else None,
            "length": self.length.to_dict() if self.length else None,
        }


def ratings_from_file(path: Path, *, length: bool = False, position: bool = False) -> Ratings:
    """Return the ratings of a JSONL file of battles; see `read_battles` and `rate`.

    Raises:
        NotFoundError: there is no such file.
        StorageError: the file can't be read.
        InputError: a line is no battle, or as `rate` does.
    """
    return rate(read_battles(path), length=length, position=position)


def rate(battles: Sequence[Battle], *, length: bool = False, position: bool = False) -> Ratings:
    """Return each model's rating with an interval from 500 resamples of the prompts.

    `position` takes out what being shown first is worth, `length` what a longer answer is:
    (a - b) / (a + b + 1) over its standard deviation, as in Arena's style control.

    Raises:
        InputError: no battle, or length is to be taken out and a battle lacks it.

    Source: Bradley & Terry (1952); Chiang et al. (2024), arXiv:2403.04132.
    """
    if not battles:
        raise InputError("there are no battles to rate")
    counts = Counter(battle.outcome for battle in battles)
    outcomes = {outcome: counts[outcome] for outcome in OUTCOMES}
    fought = [battle for battle in battles if battle.outcome in WON]
    extras = columns_of(fought, position=position, length=length)
    if not fought:
        return Ratings(_unrated(battles, set()), outcomes, None, None, None)
    board = Board(fought)
    points = _points(board, extras)
    effects = [_estimate(column, board.n) for column in points[:, len(board.names) :].T]
    return Ratings(
        models=_rated(board, points) + _unrated(battles, set(board.names)),
        outcomes=outcomes,
        note=_note(board),
        first_shown=effects[0] if position else None,
        length=effects[-1] if length else None,
    )


def _points(board: Board, extras: Floats) -> Floats:
    """Return rating points of all battles and of each resample; these differ wherever they can."""
    points = SCALE * board.strengths(extras, REFITS)
    if board.has_one_prompt:
        return points
    spreads = [np.ptp(_centred(board, points, part)[1:], axis=0).min() for part in _parts(board)]
    flat = [part for part, spread in zip(_parts(board), spreads, strict=True) if spread < FLAT]
    return SCALE * board.strengths(extras, REFITS, flat) if flat else points


def _parts(board: Board) -> range:
    return range(1, int(board.parts.max()) + 1)


def _centred(board: Board, points: Floats, part: int) -> Floats:
    """Return the ratings of a connected part's models: (resamples, models)."""
    inside = points[:, np.flatnonzero(board.parts == part)]
    return np.asarray(inside - inside.mean(axis=1, keepdims=True) + CENTRE)


def _rated(board: Board, points: Floats) -> tuple[Rating, ...]:
    """Return the ratings of models with battles, from their points in each resample."""
    ratings: list[Rating] = []
    for part in _parts(board):
        members = np.flatnonzero(board.parts == part)
        found = [
            _estimate(column, int(board.battles[member]))
            for column, member in zip(_centred(board, points, part).T, members, strict=True)
        ]
        spans = [
            (-math.inf if e.low is None else e.low, math.inf if e.high is None else e.high)
            for e in found
        ]
        groups = tie_groups([e.value for e in found], spans)
        some = [
            Rating(
                *(board.names[m], e.value, e.low, e.high, e.n, rank or 1),
                *(part, e.n < FEW_BATTLES, group),
            )
            for m, e, rank, group in zip(members, found, ranks(found), groups, strict=True)
        ]
        ratings += sorted(some, key=lambda one: (-(one.rating or 0.0), one.id))
    return tuple(ratings)


def _unrated(battles: Sequence[Battle], rated: set[str]) -> tuple[Rating, ...]:
    names = {name for battle in battles for name in (battle.model_a, battle.model_b)} - rated
    return tuple(Rating(name, None, None, None, 0, None, None, True) for name in sorted(names))


def _estimate(column: Floats, n: int) -> Estimate:
    """Return the first value with the interval of those after it; none where they don't vary."""
    value = float(column[0])
    if len(column) < 2 or np.ptp(column[1:]) < FLAT:
        return Estimate(value, None, None, n)
    low, high = np.quantile(column[1:], [ALPHA / 2, 1 - ALPHA / 2])
    return Estimate(value, min(float(low), value), max(float(high), value), n)


def _note(board: Board) -> str | None:
    many, found = int(board.parts.max()), []
    if many > 1:
        found.append(
            f"the models form {many} groups with no battle between them; compare ratings and ranks "
            "only within a group (`component`)"
        )
    if board.has_one_prompt:
        found.append(
            "all battles are on one prompt, so nothing says how much ratings depend on it: there "
            "are no intervals, and no model is surely stronger than another"
        )
    return "; ".join(found) or None
