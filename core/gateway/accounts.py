"""The stored side of the governor: one short transaction for each step of a call."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from core.catalog import Quota
from core.errors import InputError, UnavailableError
from core.gateway.buckets import (
    Need,
    Wait,
    check_fits,
    current,
    empty,
    limits_of,
    longest_wait,
    model_owner,
    owners_of,
)
from core.gateway.learning import is_noteworthy, learned, noted
from core.gateway.limit_notice import LimitNotice
from core.gateway.reservations import (
    Charge,
    Reservation,
    charged,
    charges_of,
    corrected,
)
from core.store.budgets import BucketId, BudgetRows, Budgets, Closure, StoredBucket

FREE_FOR_S = 1.0
"""How long a model is known to have no limits before the store is asked again: another process
may have learned one."""


@dataclass(frozen=True, slots=True)
class Booked:
    """What a call took, and when."""

    at: float
    charges: tuple[Charge, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """A model's limits at a moment."""

    buckets: Mapping[BucketId, StoredBucket]
    closure: Closure | None
    now: float

    def is_empty(self) -> bool:
        """Say whether nothing limits the model."""
        return not self.buckets and not (self.closure and is_noteworthy(self.closure, self.now))

    def check(self, need: Need) -> None:
        """Refuse what no wait will allow.

        Raises:
            InputError: it is larger than a whole limit.
            UnavailableError: no credit is left.
        """
        check_fits(self.buckets, need)
        if self.closure is not None and self.closure.is_dead:
            error = UnavailableError(f"{self.closure.reason}; mend that, then revive the model")
            error.failure = "quota"
            raise error


class Accounts:
    """All budgets on one database; safe to share between threads."""

    def __init__(
        self, budgets: Budgets, quotas: Mapping[str, Quota], clock: Callable[[], float]
    ) -> None:
        self._budgets = budgets
        self._quotas = {name: limits_of(name, quota) for name, quota in quotas.items()}
        self._clock = clock
        self._lock = threading.Lock()
        self._free: dict[str, float] = {}
        self._lessons = 0
        self._limited: set[str] = set()
        self._struck: set[str] = set()

    def checked(self, quotas: Sequence[str]) -> tuple[str, ...]:
        """Return the names of quotas, each once.

        Raises:
            InputError: one is unknown.
        """
        names = tuple(dict.fromkeys(quotas))
        for name in names:
            if name not in self._quotas:
                known = ", ".join(self._quotas) or "none"
                raise InputError(f"no quota named {name[:80]!r}; choose one of: {known}")
        return names

    def book(self, key: str, names: tuple[str, ...], need: Need) -> Booked | Wait:
        """Take what is needed from all buckets, or from none.

        Raises:
            InputError, UnavailableError: as `View.check`.
        """
        if self._is_free(key, names):
            return Booked(self._clock())
        with self._budgets.change() as rows:
            view = self._view(rows, key, names)
            view.check(need)
            wait = longest_wait(view.buckets, view.closure, need, view.now)
            if wait is not None:
                return wait
            after = charged(view.buckets.values(), need)
            rows.put(after)
        if view.is_empty():
            self._limited.discard(key)
        return Booked(view.now, charges_of(after, need))

    def view(self, key: str, names: tuple[str, ...]) -> View:
        """Return what limits the model now; changes nothing."""
        if self._is_free(key, names):
            return View({}, None, self._clock())
        with self._budgets.read() as rows:
            return self._view(rows, key, names)

    def correct(self, reservation: Reservation, excesses: Mapping[Charge, int]) -> None:
        """Take back what was too much, and add what was too little."""
        limits = self._limits(reservation.quotas)
        with self._budgets.change() as rows:
            stored = rows.buckets(owners_of(reservation.key, reservation.quotas))
            now = self._clock()
            buckets = current(stored, limits, now)
            rows.put(corrected(buckets, excesses, now - reservation.at))

    def learn(
        self, key: str, notice: LimitNotice, serials: Mapping[BucketId, int]
    ) -> list[BucketId]:
        """Store what a server said; return the buckets that hold its count now."""
        with self._budgets.change() as rows:
            before, stored = rows.closure(key), rows.buckets([model_owner(key)])
            now = self._clock()
            changes = learned(stored, notice, serials, model_owner(key), now)
            rows.put(change.bucket for change in changes)
            closure = noted(before, notice, key, now)
            if closure is not None:
                rows.put_closure(closure)
        self._forget_freedom(key)
        if closure is not None and closure.strikes:
            self._struck.add(key)
        return [change.bucket.id for change in changes if change.is_server_count]

    def revive(self, key: str) -> None:
        """Remove what a server said."""
        with self._budgets.change() as rows:
            rows.forget(model_owner(key), key)
        self._forget_freedom(key)

    def forgive(self, key: str) -> None:
        """Forget the refusals in a row: a call was answered."""
        if key not in self._struck:
            return
        with self._budgets.change() as rows:
            closure = rows.closure(key)
            if closure is not None and closure.strikes:
                rows.put_closure(replace(closure, strikes=0))
        self._struck.discard(key)

    def _is_free(self, key: str, names: tuple[str, ...]) -> bool:
        """Say whether nothing limits the model, asking the store at most once in a while."""
        if key in self._limited or any(self._quotas[name] for name in names):
            return False
        with self._lock:
            read_at, lessons = self._free.get(key), self._lessons
        if read_at is not None and 0 <= self._clock() - read_at < FREE_FOR_S:
            return True
        with self._budgets.read() as rows:
            view = self._view(rows, key, names)
        if not view.is_empty():
            self._limited.add(key)
            return False
        with self._lock:
            if lessons == self._lessons:
                self._free[key] = view.now
        return True

    def _view(self, rows: BudgetRows, key: str, names: tuple[str, ...]) -> View:
        """Return what limits the model now; the configured buckets exist afterwards."""
        closure = rows.closure(key)
        owners, limits, now = owners_of(key, names), self._limits(names), self._clock()
        stored = rows.buckets(owners)
        missing = [empty(id_, limits[id_], now) for id_ in limits if id_ not in stored]
        if missing and rows.is_write:
            rows.create(missing)
            stored = rows.buckets(owners)
        now = self._clock()
        if closure is not None and closure.strikes:
            self._struck.add(key)
        return View(current(stored, limits, now), closure, now)

    def _limits(self, names: tuple[str, ...]) -> dict[BucketId, float]:
        return {id_: limit for name in names for id_, limit in self._quotas[name].items()}

    def _forget_freedom(self, key: str) -> None:
        with self._lock:
            self._lessons += 1
            self._free.pop(key, None)
