"""Who took how many points from whom."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.messages import JsonValue
from evals.ratings.battles import Battle
from evals.ratings.board import WON
from evals.stats.arrays import numbered


@dataclass(frozen=True, slots=True)
class WinMatrix:
    """Points between each two models; row and column are places in `names`."""

    names: tuple[str, ...]
    wins: tuple[tuple[float, ...], ...]
    """`wins[i][j]`: points that i took from j; a tie is half a point for each."""
    battles: tuple[tuple[int, ...], ...]
    """`battles[i][j]`: battles of i and j; `both_bad` ones are left out."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the matrix as JSON."""
        return {"names": list(self.names), "wins": self.wins, "battles": self.battles}


def win_matrix(battles: Sequence[Battle], names: Sequence[str]) -> WinMatrix:
    """Return the points between the models of these names, in their order.

    Battles with another model are left out.
    """
    known = set(names)
    fought = [
        battle
        for battle in battles
        if battle.outcome in WON and battle.model_a in known and battle.model_b in known
    ]
    size = len(names)
    sides = [*names, *(side for battle in fought for side in (battle.model_a, battle.model_b))]
    codes = numbered(sides)[size:].reshape(-1, 2)
    won = np.array([WON[battle.outcome] for battle in fought])
    wins, met = np.zeros((size, size)), np.zeros((size, size), dtype=np.int64)
    for one, other, points in ((0, 1, won), (1, 0, 1 - won)):
        np.add.at(wins, (codes[:, one], codes[:, other]), points)
        np.add.at(met, (codes[:, one], codes[:, other]), 1)
    return WinMatrix(
        names=tuple(names),
        wins=tuple(map(tuple, wins.tolist())),
        battles=tuple(map(tuple, met.tolist())),
    )
