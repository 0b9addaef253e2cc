"""Keeps calls away from models that fail, and lets one through to see whether they are back."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from core.errors import FailureKind
from core.gateway.buckets import MAX_WAIT_S, spoken, unhinted_wait_s

FAILURES = 3
"""Failures in a row that open a breaker."""
FIRST_OPEN_S = 5.0
LONGEST_OPEN_S = 60.0
PROBE_S = 300.0
"""After so long a probe that nobody reported on counts as lost, and another one may go."""

Status = Literal["closed", "open", "half_open", "closed_until", "dead"]
COUNTED: frozenset[FailureKind] = frozenset(
    {"overloaded", "timeout", "connection", "malformed", "not_found"}
)
FATAL: Mapping[FailureKind, str] = {
    "auth": "its key is refused; mend the key, then revive the model",
    "quota": "no quota or credit is left on its account; mend that, then revive the model",
}
LIMITS: frozenset[FailureKind] = frozenset({"rate_limit_minute", "rate_limit_day"})


@dataclass(frozen=True, slots=True)
class BreakerState:
    """Whether a model may be called, and if not, why."""

    status: Status
    """Closed: calls pass. Open: it failed. Half open: one call tries it. Closed until: its server
    named a time. Dead: a person must act."""
    is_allowed: bool
    """Whether this caller may call it now."""
    is_probe: bool = False
    """Whether this caller's call is the one that tries it."""
    until: float | None = None
    """When it may be tried again, on the breaker's clock; None when that is now or never."""
    reason: str = ""
    """For people; empty when calls pass."""


@dataclass(slots=True)
class _Record:
    """What is known of one model."""

    failures: int = 0
    openings: int = 0
    open_until: float | None = None
    held_until: float | None = None
    strikes: int = 0
    probe_at: float | None = None
    kind: FailureKind = "overloaded"
    """Of the last failure."""
    is_dead: bool = False


class Breaker:
    """One breaker for each model; safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._records: dict[str, _Record] = {}

    def allow(self, model: str) -> BreakerState:
        """Say whether the model may be called now; a call that tries it is the caller's to report.

        Every allowed call ends with `success`, `failure` or `cancel`.
        """
        with self._lock:
            record = self._records.get(model)
            if record is None:
                return BreakerState("closed", is_allowed=True)
            now = self._clock()
            state = _state(model, record, now)
            if state.status == "half_open" and state.is_allowed:
                record.probe_at = now
                return BreakerState("half_open", is_allowed=True, is_probe=True)
            return state

    def success(self, model: str) -> None:
        """Note that the model answered. A time that its server named still holds."""
        with self._lock:
            record = self._records.get(model)
            if record is None or record.is_dead:
                return
            if record.held_until is None or record.held_until <= self._clock():
                del self._records[model]
                return
            self._records[model] = _Record(held_until=record.held_until, kind=record.kind)

    def failure(self, model: str, kind: FailureKind, retry_after_s: float | None = None) -> None:
        """Note that a call failed.

        A request that is itself wrong does not count against the model, and shows that it is
        there. `retry_after_s` is what the server asked to wait.
        """
        with self._lock:
            now = self._clock()
            record = self._records.get(model)
            if kind in COUNTED or kind in LIMITS or kind in FATAL:
                record = record or self._records.setdefault(model, _Record())
                if not record.is_dead:
                    record.kind = kind
                    _note(record, kind, retry_after_s, now)
            elif record is not None and record.probe_at is not None and not record.is_dead:
                del self._records[model]

    def cancel(self, model: str, allowed: BreakerState) -> None:
        """Note that an allowed call was given up: after a probe another one may try the model."""
        with self._lock:
            record = self._records.get(model)
            if record is not None and allowed.is_probe:
                record.probe_at = None

    def revive(self, model: str) -> None:
        """Let calls pass again after a person acted."""
        with self._lock:
            self._records.pop(model, None)

    def states(self) -> dict[str, BreakerState]:
        """Return the state of each model that is not simply closed; takes no probe."""
        with self._lock:
            now = self._clock()
            found = {model: _state(model, record, now) for model, record in self._records.items()}
        return {model: state for model, state in found.items() if state.status != "closed"}


def _note(record: _Record, kind: FailureKind, retry_after_s: float | None, now: float) -> None:
    was_probe, record.probe_at = record.probe_at is not None, None
    if kind in FATAL:
        record.is_dead = True
        return
    if kind in LIMITS:
        _hold(record, kind == "rate_limit_day", retry_after_s, now)
        # A server that counts requests is there.
        record.failures, record.openings, record.open_until = 0, 0, None
        return
    if retry_after_s:
        record.held_until = max(record.held_until or now, now + min(retry_after_s, MAX_WAIT_S))
    record.failures += 1
    is_open = record.open_until is not None
    if was_probe or (record.failures >= FAILURES and not is_open):
        seconds = min(LONGEST_OPEN_S, FIRST_OPEN_S * 2.0 ** min(record.openings, 16))
        record.open_until = now + seconds
        record.openings += 1


def _hold(record: _Record, is_day: bool, retry_after_s: float | None, now: float) -> None:
    is_held = record.held_until is not None and record.held_until > now
    seconds = retry_after_s
    if not seconds:
        # Calls that were under way together are refused together: that is one refusal.
        record.strikes += 0 if is_held else 1
        seconds = unhinted_wait_s(record.strikes, is_day)
    record.held_until = max(record.held_until or now, now + min(seconds, MAX_WAIT_S))


def _state(model: str, record: _Record, now: float) -> BreakerState:
    if record.is_dead:
        reason = f"{model}: {FATAL[record.kind]}"
        return BreakerState("dead", is_allowed=False, reason=reason)
    if record.held_until is not None and record.held_until > now:
        when = spoken(record.held_until - now)
        reason = f"{model}: its server asks to wait; try again in {when}"
        return BreakerState("closed_until", False, until=record.held_until, reason=reason)
    if record.open_until is None:
        return BreakerState("closed", is_allowed=True)
    reason = f"{model}: it failed {record.failures} times in a row"
    if record.open_until > now:
        reason = f"{reason}; it is tried again in {spoken(record.open_until - now)}"
        return BreakerState("open", False, until=record.open_until, reason=reason)
    is_free = record.probe_at is None or now - record.probe_at >= PROBE_S
    return BreakerState("half_open", is_free, reason=f"{reason}; one call tries it now")
