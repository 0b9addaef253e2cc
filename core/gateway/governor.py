"""Keeps within what servers allow: reserves before a call, settles after it, learns from answers.

The ledger is in the store: a restart forgets nothing that was sent, and all processes on one
database share it. Places for calls at the same time are counted for each process alone.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from core.catalog import Quota
from core.errors import InputError, UnavailableError
from core.gateway.accounts import Accounts
from core.gateway.buckets import Need, Wait, longest_wait
from core.gateway.budget_state import BudgetState, budget_state
from core.gateway.limit_notice import LimitNotice
from core.gateway.reservations import OpenReservations, Reservation, excess
from core.gateway.slots import Slots
from core.gateway.turns import Pause, Place, Turns, Waiting
from core.store.budgets import Budgets
from core.store.database import Store

__all__ = ["BudgetState", "Governor", "Reservation", "Wait", "Waiting"]

PLACE_WAIT_S = 0.5
"""What a call is told to wait that finds all places taken: nobody knows when one is free."""


def wait_on(condition: threading.Condition, seconds: float) -> None:
    """Wait in real time on a held condition."""
    condition.wait(seconds)


class Governor:
    """The budgets of all models; safe to share between threads."""

    def __init__(
        self,
        store: Store,
        quotas: Mapping[str, Quota],
        *,
        clock: Callable[[], float] = time.time,
        pause: Pause = wait_on,
    ) -> None:
        """`clock` gives seconds since 1970; `pause` waits as long as that clock says."""
        self._accounts = Accounts(Budgets(store), quotas, clock)
        allowed = {name: quota.concurrent for name, quota in quotas.items()}
        self._slots = Slots({name: most for name, most in allowed.items() if most is not None})
        self._clock = clock
        self._turns = Turns(clock, pause)
        self._open = OpenReservations()

    def reserve(self, key: str, quotas: Sequence[str], tokens: int) -> Reservation | Wait:
        """Count one call of so many tokens, in all its buckets or in none.

        It is in the store before this returns. `key` names the model as its server knows it:
        what is learned of its limits is kept under it.

        Raises:
            InputError: the call is larger than a whole limit, or a quota is unknown.
            UnavailableError: no credit is left, until a person acts.
            StorageError: the ledger cannot be written; nothing was reserved.
        """
        names, need = self._accounts.checked(quotas), _need(tokens)
        full = self._slots.take(names)
        if full is not None:
            return self._no_place(full)
        try:
            booked = self._accounts.book(key, names, need)
        except BaseException:
            self._slots.give_back(names)
            raise
        if isinstance(booked, Wait):
            self._slots.give_back(names)
            return booked
        id_ = self._open.new_id()
        reservation = Reservation(id_, key, names, tokens, booked.at, booked.charges)
        self._open.add(reservation)
        return reservation

    def settle(self, reservation: Reservation, tokens: int | None) -> None:
        """End a call that was answered, with the tokens it really used; None: keep the estimate.

        Raises:
            StorageError: the ledger cannot be written; the estimate stays counted.
        """
        used = reservation.tokens if tokens is None else max(0, tokens)
        self._end(reservation, Need(used))
        self._accounts.forgive(reservation.key)

    def release(self, reservation: Reservation, *, was_sent: bool) -> None:
        """End a call that failed: its tokens are given back, and the request if it wasn't sent.

        Raises:
            StorageError: the ledger cannot be written; the reservation stays counted.
        """
        self._end(reservation, Need(0, 1 if was_sent else 0))

    def learn(self, key: str, notice: LimitNotice, reservation: Reservation | None = None) -> None:
        """Take over what a server said of its limits, in an answer or a refusal.

        `reservation` is of the call that it answers, and not yet settled or released: then the
        ledger can be lowered too, and what the server counted is not taken back.

        Raises:
            StorageError: the ledger cannot be written.
        """
        if not (notice.buckets or notice.is_refused or notice.retry_after_s is not None):
            return
        synced = self._accounts.learn(key, notice, self._open.serials(key, reservation))
        if reservation is not None:
            self._open.sync(reservation, synced)
        self._turns.notify()

    def revive(self, key: str) -> None:
        """Open a model again after a person acted, and forget what its server told of limits.

        Raises:
            StorageError: the ledger cannot be written.
        """
        self._accounts.revive(key)
        self._turns.notify()

    def state(self, key: str, quotas: Sequence[str]) -> BudgetState:
        """Return what is used and left, and whether the model is closed; changes nothing.

        Raises:
            InputError: a quota is unknown.
            StorageError: the ledger cannot be read.
        """
        view = self._accounts.view(key, self._accounts.checked(quotas))
        return budget_state(view.buckets.values(), view.closure, view.now)

    def expected_wait(self, key: str, quotas: Sequence[str], tokens: int) -> float:
        """Return the seconds until such a call may be sent; infinity when waiting won't help.

        Raises:
            InputError: a quota is unknown.
            StorageError: the ledger cannot be read.
        """
        names, need = self._accounts.checked(quotas), _need(tokens)
        try:
            return self._forecast(key, names, need, need).seconds
        except (InputError, UnavailableError):
            return math.inf

    def turn(
        self, key: str, quotas: Sequence[str], tokens: int, waiting: Waiting
    ) -> Reservation | Wait:
        """Reserve as `reserve` does, waiting in the model's queue as long as patience allows.

        A wait that is longer than that is returned at once; when cancelled, the wait that was left.

        Raises:
            InputError, UnavailableError, StorageError: as `reserve`.
        """
        names, need = self._accounts.checked(quotas), _need(tokens)

        def attempt(place: Place) -> Reservation | Wait:
            if place.position == 0:
                return self.reserve(key, names, tokens)
            return self._forecast(key, names, need, place.need)

        return self._turns.take(key, tokens, attempt, waiting)

    def _forecast(self, key: str, names: tuple[str, ...], own: Need, together: Need) -> Wait:
        """Return the wait until a call and those before it fit, without reserving; 0.0 if now."""
        if (full := self._slots.full(names)) is not None:
            return self._no_place(full)
        view = self._accounts.view(key, names)
        view.check(own)
        queued = Wait(0.0, view.now, False, f"{key}: other calls come first; try again in 1 s")
        return longest_wait(view.buckets, view.closure, together, view.now) or queued

    def _no_place(self, name: str) -> Wait:
        now = self._clock()
        reason = f"{name}: all places for calls at the same time are taken; try again in 1 s"
        return Wait(PLACE_WAIT_S, now + PLACE_WAIT_S, False, reason)

    def _end(self, reservation: Reservation, real: Need) -> None:
        """Correct what the reservation took; one that was ended before is left alone."""
        synced = self._open.close(reservation)
        if synced is None:
            return
        self._slots.give_back(reservation.quotas)
        try:
            if excesses := excess(reservation, real, synced):
                self._accounts.correct(reservation, excesses)
        finally:
            self._turns.notify()


def _need(tokens: int) -> Need:
    if tokens < 0:
        raise InputError(f"tokens must be 0 or more, got {tokens!r}")
    return Need(tokens)
