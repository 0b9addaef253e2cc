"""Whether it is worth asking a model on: what a failed call means for the rest of a run.

A row is never spent on a call that was not sent, and a server that is gone ends a run in seconds
to minutes instead of failing every row of it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from core.catalog import Target
from core.errors import AppError, InputError, RateLimitError
from core.gateway.attempt import SkippedError
from core.gateway.breaker import Breaker
from core.gateway.plan import failure_of

MAX_FAILURES = 20
"""Answers in a row that may fail before a run gives up."""
PATIENCE_S = 30.0
"""Longest wait for a model that has answered before and fails now."""
LIMIT_PATIENCE_S = 900.0
"""Longest wait for a provider's limit."""
FIRST_WAIT_S = 5.0
"""Wait for a limit where nobody says how long."""
FATAL = ("auth", "quota", "rate_limit_day")
"""Failures that a person has to mend, or the next day."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do after a failed call."""

    wait_s: float | None = None
    """Ask the same again after so long; None: the answer is missing."""
    gives_up: str | None = None
    """Why nothing more is to be asked; None: go on."""


class Health:
    """What is known of the model of a run; safe to share between threads."""

    def __init__(
        self, breaker: Breaker, target: Target, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._breaker = breaker
        self._target = target
        self._clock = clock
        self._lock = threading.Lock()
        self._has_answered = False
        self._alive_at = clock()
        self._failures = 0
        self._last_error = ""

    def answered(self) -> None:
        """Note that the model answered."""
        with self._lock:
            self._has_answered, self._failures = True, 0
            self._alive_at = self._clock()

    def failed(self, error: Exception) -> Advice:
        """Say what follows a call that failed."""
        with self._lock:
            if isinstance(error, SkippedError):
                return self._skipped(error)
            kind = failure_of(error) if isinstance(error, AppError) else "internal"
            self._last_error = str(error)
            if kind in FATAL:
                return Advice(gives_up=str(error))
            if isinstance(error, RateLimitError):
                return self._limited(error)
            if isinstance(error, InputError) and error.failure is None:
                return Advice()  # We refused the prompt itself; it says nothing of the model.
            return self._counted(kind)

    def _skipped(self, error: SkippedError) -> Advice:
        """Wait for a model that the breaker keeps calls from."""
        state = self._breaker.states().get(self._target.id)
        reason = f"{error}; {self._last_error}" if self._last_error else str(error)
        if state is None:
            return Advice(wait_s=0.0)
        if state.until is None and state.status != "half_open":
            return Advice(gives_up=reason)
        now = self._clock()
        wait_s = max(0.1, (state.until or now) - now)
        patience_s = LIMIT_PATIENCE_S if state.status == "closed_until" else PATIENCE_S
        is_hopeless = not self._has_answered and state.status in ("open", "half_open")
        if is_hopeless or now + wait_s > self._alive_at + patience_s:
            return Advice(gives_up=reason)
        return Advice(wait_s=wait_s)

    def _limited(self, error: RateLimitError) -> Advice:
        wait_s = FIRST_WAIT_S if error.retry_after_s is None else max(0.1, error.retry_after_s)
        if self._clock() + wait_s > self._alive_at + LIMIT_PATIENCE_S:
            return Advice(gives_up=str(error))
        return Advice(wait_s=wait_s)

    def _counted(self, kind: str) -> Advice:
        """Count a failure; a prompt that is too long says nothing about the model."""
        if kind == "context_too_long":
            return Advice()
        self._failures += 1
        is_unreached = kind == "connection" and not self._has_answered
        if is_unreached or self._failures >= MAX_FAILURES:
            return Advice(gives_up=self._last_error)
        return Advice()
