"""Queues for a budget: first come, first served for each model, each with its own patience."""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from core.gateway.buckets import Need, Wait

MAX_WAITING = 100
"""Calls that may queue for one model; the next ones are told to come back."""
RECHECK_S = 1.0
"""How often a waiting call looks again: other processes use the same budget."""
CANCEL_S = 0.1
"""How often a wait looks whether the caller has cancelled."""

Pause = Callable[[threading.Condition, float], object]
"""Waits on a held condition for at most so many seconds."""
Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class Waiting:
    """How a call waits for its turn."""

    patience_s: float
    """Longest time in the queue, in seconds."""
    cancel: threading.Event
    """Set when the caller wants no more."""
    on_wait: Callable[[int, float], None]
    """Told the position, from 1, and the expected seconds, at least once a second."""


@dataclass(eq=False, slots=True)
class Ticket:
    """One call in a queue."""

    key: str
    tokens: int
    version: int = field(default=-1)
    """Of the queue, when this call last looked."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call stands."""

    position: int
    """From 0, the next one."""
    need: Need
    """What those before it and itself ask for together."""


class Turns:
    """The queues; safe to share between threads."""

    def __init__(self, clock: Callable[[], float], pause: Pause) -> None:
        self._clock = clock
        self._pause = pause
        self._changed = threading.Condition()
        self._version = 0
        self._queues: dict[str, list[Ticket]] = {}

    def take(
        self, key: str, tokens: int, attempt: Callable[[Place], Got | Wait], waiting: Waiting
    ) -> Got | Wait:
        """Queue until the attempt gives something else than a wait, or patience ends.

        The attempt is made again when something changed, and at least once a second. A wait that
        is longer than the patience left is returned at once, and so is the last one when
        cancelled.
        """
        ticket = Ticket(key, tokens)
        with self._changed:
            queue = self._queues.setdefault(key, [])
            if len(queue) < MAX_WAITING:
                queue.append(ticket)
        try:
            return self._queued(ticket, attempt, waiting)
        finally:
            self._leave(ticket)

    def notify(self) -> None:
        """Let the waiting calls look again: a budget, a place or a limit changed."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def _queued(
        self, ticket: Ticket, attempt: Callable[[Place], Got | Wait], waiting: Waiting
    ) -> Got | Wait:
        left = waiting.patience_s
        while True:
            place = self._place(ticket)
            outcome = attempt(place)
            if not isinstance(outcome, Wait):
                return outcome
            is_over = outcome.seconds > left or left <= 0 or place.position >= MAX_WAITING
            if is_over or waiting.cancel.is_set():
                return outcome
            waiting.on_wait(place.position + 1, outcome.seconds)
            seconds = min(outcome.seconds, RECHECK_S, left)
            left -= self._sleep(ticket, place, seconds, waiting.cancel)

    def _place(self, ticket: Ticket) -> Place:
        with self._changed:
            queue = self._queues.get(ticket.key, [])
            position = queue.index(ticket) if ticket in queue else len(queue)
            ticket.version = self._version
            tokens = sum(each.tokens for each in queue[:position]) + ticket.tokens
        return Place(position, Need(tokens, position + 1))

    def _moved(self, ticket: Ticket, place: Place) -> bool:
        """Say whether the call should look again; the condition is held."""
        if place.position == 0:
            return ticket.version != self._version
        return self._queues[ticket.key].index(ticket) != place.position

    def _sleep(
        self, ticket: Ticket, place: Place, seconds: float, cancel: threading.Event
    ) -> float:
        """Wait; return the seconds that passed. A clock that goes back can't prolong it."""
        began = self._clock()
        with self._changed:
            for _ in range(max(1, math.ceil(seconds / CANCEL_S))):
                rest = began + seconds - self._clock()
                if rest <= 0 or cancel.is_set() or self._moved(ticket, place):
                    break
                self._pause(self._changed, min(rest, CANCEL_S))
        return max(0.0, self._clock() - began)

    def _leave(self, ticket: Ticket) -> None:
        with self._changed:
            queue = self._queues[ticket.key]
            if ticket in queue:
                queue.remove(ticket)
            if not queue:
                del self._queues[ticket.key]
            self._version += 1
            self._changed.notify_all()
