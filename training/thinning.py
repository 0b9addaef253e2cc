"""Long curves with few points: lowest and highest of each stretch, so that no spike is lost.

Stretches are a power of two long: while a curve grows, those that are full stay as they are, and
what is drawn does not tremble.
"""

from array import array

import numpy as np


def bucket_size(count: int, points: int) -> int:
    """Return how many values share a stretch, so that at most `points` of `count` are left."""
    size = 1
    while size < count and 2 * -(-count // size) > points:
        size *= 2
    return size if count > points else 1


def thinned(values: "array[float]", points: int) -> list[int]:
    """Return the places of at most `points` values, ascending: each stretch's extremes.

    Values that are no numbers are left out; the first and the last number stay. `points` is at
    least 4.
    """
    found = np.asarray(values, dtype=float)  # (values,)
    places = np.flatnonzero(np.isfinite(found))  # (numbers,)
    if len(places) <= points:
        return [int(place) for place in places]
    size = bucket_size(len(places), points - 2)
    wide = np.pad(found[places], (0, -len(places) % size), mode="edge").reshape(-1, size)
    begin = np.arange(len(wide)) * size  # (stretches,)
    ends = np.array([0, len(places) - 1])
    kept = np.concatenate([ends, begin + wide.argmin(axis=1), begin + wide.argmax(axis=1)])
    return [int(place) for place in places[np.unique(kept.clip(max=len(places) - 1))]]
