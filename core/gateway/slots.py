"""Places for calls that run at the same time, by quota; they end with this process."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence


class Slots:
    """Counts running calls; safe to share between threads."""

    def __init__(self, allowed: Mapping[str, int]) -> None:
        self._allowed = allowed
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def full(self, names: Sequence[str]) -> str | None:
        """Return the first of the quotas whose places are all taken; None when all have one."""
        with self._lock:
            return self._full(names)

    def take(self, names: Sequence[str]) -> str | None:
        """Take a place of each quota, or none at all and return the one that is full."""
        with self._lock:
            full = self._full(names)
            if full is None:
                self._taken.update(name for name in names if name in self._allowed)
            return full

    def give_back(self, names: Sequence[str]) -> None:
        """Give back the places taken with the same names."""
        with self._lock:
            self._taken.subtract(name for name in names if name in self._allowed)

    def _full(self, names: Sequence[str]) -> str | None:
        taken, allowed = self._taken, self._allowed
        return next((n for n in names if n in allowed and taken[n] >= allowed[n]), None)
