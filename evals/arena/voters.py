"""Who votes: a pseudonym of the visitor that nobody can lead back, and that changes each month.

It is an HMAC of the visitor's random id with a salt of the store. A salt serves one period of 30
days and is known for one more, in which battles that were begun before the change can still be
ended; then it is deleted, and with it the last way to tell whose votes those were, or that votes
of two periods are one visitor's. No address is part of it.
"""

import hmac
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from core.errors import InputError
from core.store import Store
from core.store.secret import rotating_secret

PERIOD_S = 30 * 24 * 3600
SALT = "voters"
"""Name of the salt among the store's secrets."""
CHARACTERS = 32
"""Of a pseudonym: 128 bits as hexadecimal digits."""


class Pseudonyms(NamedTuple):
    """What a visitor is called now, and was in the period before."""

    now: str
    before: str | None = None
    """None: nobody voted then."""

    def all(self) -> tuple[str, ...]:
        """Return the pseudonyms that the visitor's battles may stand under."""
        return (self.now,) if self.before is None else (self.now, self.before)


class Voters:
    """The pseudonyms of one store; safe to share between threads, the same in each process."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns seconds since 1970."""
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._salts: tuple[int, bytes, bytes | None] | None = None

    def of(self, visitor: str) -> Pseudonyms:
        """Return the visitor's pseudonyms.

        Raises:
            InputError: there is no visitor: the browser keeps no cookies.
        """
        if not visitor:
            raise InputError("battles need to know whose they are; allow cookies of this page")
        now, before = self._periods_salts()
        return Pseudonyms(
            _pseudonym(now, visitor), None if before is None else _pseudonym(before, visitor)
        )

    def _periods_salts(self) -> tuple[bytes, bytes | None]:
        period = int(self._clock() // PERIOD_S)
        with self._lock:
            if self._salts is None or self._salts[0] != period:
                self._salts = (period, *rotating_secret(self._store, SALT, period))
            return self._salts[1:]


def _pseudonym(salt: bytes, visitor: str) -> str:
    name = visitor.encode("utf-8", "surrogatepass")
    return hmac.digest(salt, name, "sha256").hex()[:CHARACTERS]
