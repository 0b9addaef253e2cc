"""Near-duplicates: texts that differ in little, and in no number or name."""

import hashlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from training.datasets.minhash import MinHash
from training.datasets.words import folded, values_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALIKE = 0.9
"""Least share of characters in common (Indel similarity) of two texts that are near-duplicates."""
MAX_COMPARED = 50
"""Texts that a text is compared with: those that share the most keys with it."""
MAX_CHARACTERS = 20_000
"""What is compared of a text; comparing takes time in proportion to its square."""


def is_near(one: str, other: str) -> bool:
    """Say whether two texts are near-duplicates: alike, with the same numbers and names."""
    from rapidfuzz.distance import Indel

    first, second = folded(one), folded(other)
    if first == second:
        return True
    # Of lengths this far apart less than the share is in common, whatever the characters.
    if min(len(first), len(second)) < (ALIKE / (2 - ALIKE)) * max(len(first), len(second)):
        return False
    if values_of(one) != values_of(other):
        return False
    first, second = first[:MAX_CHARACTERS], second[:MAX_CHARACTERS]
    return bool(Indel.normalized_similarity(first, second, score_cutoff=ALIKE))


def near_keys(minhash: MinHash, text: str) -> "NDArray[np.uint64]":
    """Return keys of a text; near-duplicates nearly always have one in common."""
    plain = folded(text)
    values = np.uint64(short(canonical_values(text)))
    return np.append(minhash.keys(plain) ^ values, np.uint64(short(plain)))


def canonical_values(text: str) -> str:
    """Return the numbers and names of a text as one text."""
    return "\x1f".join(values_of(text))


def short(text: str) -> int:
    """Return a digest of a text in 64 bits."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())


class NearIndex:
    """A few thousand texts that can be asked for those like another one."""

    def __init__(self) -> None:
        self._minhash = MinHash()
        self._places: defaultdict[int, list[int]] = defaultdict(list)
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        """Keep a text; its number is how many were kept before."""
        for key in near_keys(self._minhash, text).tolist():
            self._places[key].append(len(self._texts))
        self._texts.append(text)

    def like(self, text: str) -> int | None:
        """Return the number of a near-duplicate of a text, the likeliest; None: there is none."""
        if not self._texts:
            return None
        shared: Counter[int] = Counter()
        for key in near_keys(self._minhash, text).tolist():
            shared.update(self._places.get(key, ())[:MAX_COMPARED])
        likeliest = (number for number, _ in shared.most_common(MAX_COMPARED))
        return next((n for n in likeliest if is_near(text, self._texts[n])), None)
