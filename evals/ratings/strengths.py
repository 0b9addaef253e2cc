"""The Bradley-Terry model fitted to many weightings of the same battles at once.

P(first wins) = 1 / (1 + exp(-x·θ)): a row x has 1 for the model shown first and -1 for the other,
and then what is controlled for. A tie is half a win. A small ridge keeps strengths finite where a
model has won or lost everything.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evals.stats.arrays import Codes, Floats

if TYPE_CHECKING:
    from scipy.sparse import csr_array

RIDGE = 0.01
"""Penalty RIDGE / 2 · |θ|²: about as much as a twenty-fifth of a battle for each model."""
MOST_STEPS = 50
SETTLED = 1e-9
"""Size of a Newton step, in logits, at which a fit is done."""
LONGEST_STEP = 2.0
"""In logits; longer ones are cut, so that a lopsided resample does not overshoot."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Kinds of battles: who met whom, in which order, and what is controlled for."""

    models: int
    first: Codes
    second: Codes
    extras: Floats
    """(cells, things controlled for)"""

    @property
    def columns(self) -> int:
        """Return how many strengths there are."""
        return self.models + int(self.extras.shape[1])

    def entries(self) -> tuple[Codes, Floats]:
        """Return the places and values of each row's entries, both (cells, 2 + extras)."""
        extra = np.arange(self.models, self.columns)
        places = [self.first[:, None], self.second[:, None], np.tile(extra, (len(self.first), 1))]
        ones = np.ones((len(self.first), 1))
        return np.concatenate(places, axis=1), np.concatenate([ones, -ones, self.extras], axis=1)

    def matrix(self) -> "csr_array[np.float64]":
        """Return the rows x: (cells, columns)."""
        return _sparse(*self.entries(), self.columns)

    def squares(self) -> "csr_array[np.float64]":
        """Return the rows' products x xᵀ, laid out flat: (cells, columns²)."""
        places, values = self.entries()
        pairs = places[:, :, None] * self.columns + places[:, None, :]
        products = values[:, :, None] * values[:, None, :]
        many = len(places)
        return _sparse(pairs.reshape(many, -1), products.reshape(many, -1), self.columns**2)

    def joined(self, other: "Cells") -> "Cells":
        """Return both cells' rows."""
        return Cells(
            self.models,
            np.concatenate([self.first, other.first]),
            np.concatenate([self.second, other.second]),
            np.concatenate([self.extras, other.extras]),
        )


def _sparse(places: Codes, values: Floats, columns: int) -> "csr_array[np.float64]":
    from scipy.sparse import csr_array

    many, each = places.shape
    starts = np.arange(0, many * each + 1, each)
    return csr_array((values.ravel(), places.ravel(), starts), shape=(many, columns))


def fit(cells: Cells, times: Floats, wins: Floats) -> Floats:
    """Return strengths in logits, (weightings, columns), for each weighting of the cells.

    `times` and `wins` are (cells, weightings): how often each kind came, and was won by the first.

    Source: Bradley & Terry (1952); penalised maximum likelihood by Newton's method.
    """
    matrix, squares, columns = cells.matrix(), cells.squares(), cells.columns
    strengths = np.zeros((columns, times.shape[1]))
    ridge = RIDGE * np.eye(columns)
    for _ in range(MOST_STEPS):
        chance = 1 / (1 + np.exp(-np.asarray(matrix @ strengths)))  # (cells, weightings)
        slope = np.asarray(matrix.T @ (wins - times * chance)) - RIDGE * strengths
        curve = np.asarray(squares.T @ (times * chance * (1 - chance))).T
        step = _solve(curve.reshape(-1, columns, columns) + ridge, slope)
        longest = np.abs(step).max(axis=0)
        strengths += step * np.minimum(1.0, LONGEST_STEP / np.maximum(longest, SETTLED))
        if longest.max() < SETTLED:
            break
    return np.ascontiguousarray(strengths.T)


def _solve(curves: Floats, slopes: Floats) -> Floats:
    """Return each weighting's Newton step: (columns, weightings)."""
    return np.asarray(np.linalg.solve(curves, slopes.T[:, :, None])[:, :, 0].T)
