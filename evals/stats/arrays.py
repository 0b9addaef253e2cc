"""Scores as arrays, checked once on their way in."""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

ALPHA = 0.05
"""One minus the confidence of every interval."""
Z = 1.959963984540054
"""97.5% point of the normal distribution."""
SEED = 20240901
"""Of every resampling, so that the same scores give the same interval."""
RESAMPLES = 2_000


def marks(values: Sequence[float], low: float = 0.0, high: float = 1.0) -> Floats:
    """Return marks as an array.

    Raises:
        InputError: there are none, or one is not a number between `low` and `high`.
    """
    if not len(values):
        raise InputError("there are no scores; grade at least one answer")
    array = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        wrong = ~((array >= low) & (array <= high))
    if wrong.any():
        found = values[int(np.argmax(wrong))]
        raise InputError(f"scores must be numbers from {low:g} to {high:g}, got {found!r}")
    return array


def numbered(labels: Sequence[Hashable]) -> Codes:
    """Return each label's number, counted from 0 in order of appearance."""
    numbers: dict[Hashable, int] = {}
    codes = (numbers.setdefault(label, len(numbers)) for label in labels)
    return np.fromiter(codes, dtype=np.int64, count=len(labels))


def sums(values: Floats, codes: Codes) -> Floats:
    """Return the sum of the values of each number from 0 to the largest."""
    return np.asarray(np.bincount(codes, weights=values), dtype=np.float64)


def check_lengths(what: str, *lists: Sequence[object]) -> None:
    """Refuse lists that belong together but differ in length.

    Raises:
        InputError: they differ.
    """
    lengths = [len(items) for items in lists]
    if len(set(lengths)) > 1:
        raise InputError(f"{what} must be of one length, got {', '.join(map(str, lengths))}")


def clip(value: float, low: float, high: float) -> float:
    """Return the value moved into the range."""
    return float(min(max(value, low), high))


def is_binary(values: Floats) -> bool:
    """Say whether every mark is 0 or 1."""
    return bool(np.isin(values, (0.0, 1.0)).all())


def is_finite(*values: float) -> bool:
    """Say whether every number is finite."""
    return all(math.isfinite(value) for value in values)
