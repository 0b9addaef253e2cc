"""How much one caller may ask: requests a minute, requests at once, and sizes."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from core.errors import InputError, RateLimitError
from core.messages import MAX_NEW_TOKENS, Message

MAX_CALLERS = 10_000
"""Callers remembered at once; beyond it the one that was idle longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one caller may ask of the gateway."""

    requests_per_minute: int = 60
    """Sustained rate; a caller who was idle for a minute may send as many at once."""
    concurrent_requests: int = 4
    """Requests of one caller that may run at the same time."""
    input_characters: int = 32_000
    """Characters of all messages of one request, the arguments of tool calls included."""
    body_bytes: int = 1_000_000
    """Size of one HTTP body in bytes."""
    new_tokens: int = 1024
    """Highest `max_tokens` that a request may ask for."""

    def __post_init__(self) -> None:
        """Refuse limits that would let nothing through."""
        for name, value in asdict(self).items():
            if value < 1:
                raise InputError(f"{name} must be at least 1, got {value!r}")
        if self.new_tokens > MAX_NEW_TOKENS:
            raise InputError(
                f"new_tokens must be at most {MAX_NEW_TOKENS}, got {self.new_tokens!r}"
            )


def check_size(messages: Sequence[Message], limits: Limits) -> None:
    """Refuse a conversation that is longer than the limits allow.

    Raises:
        InputError: the messages together have too many characters.
    """
    size = sum(map(_characters, messages))
    if size > limits.input_characters:
        raise InputError(
            f"the messages have {size} characters, at most {limits.input_characters} are allowed; "
            "leave out old messages or shorten them"
        )


def recent_messages(messages: Sequence[Message], limits: Limits) -> tuple[Message, ...]:
    """Return the system prompt and as many of the newest turns as the limits allow.

    A turn begins with a person's message; the last one stays even when it is too long.
    """
    start = 1 if messages and messages[0].role == "system" else 0
    room = limits.input_characters - sum(map(_characters, messages[:start]))
    turns = [i for i in range(start, len(messages)) if messages[i].role == "user"]
    first = len(messages)
    for begin in reversed(turns):
        room -= sum(map(_characters, messages[begin:first]))
        if room < 0 and first < len(messages):
            break
        first = begin
    return (*messages[:start], *messages[min(first, len(messages) - 1) :])


def _characters(message: Message) -> int:
    return len(message.text) + sum(len(call.arguments) for call in message.tool_calls)


@dataclass(slots=True)
class _Bucket:
    """One caller's allowance."""

    tokens: float
    at_s: float
    active: int = 0


class RateLimiter:
    """Token buckets and concurrency caps by caller; safe to share between threads."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def admit(self, caller: str) -> None:
        """Count one request of the caller.

        Raises:
            RateLimitError: the caller's allowance is used up.
        """
        capacity = self._limits.requests_per_minute
        per_second = capacity / 60
        with self._lock:
            bucket, now = self._bucket(caller), self._clock()
            bucket.tokens = min(capacity, bucket.tokens + (now - bucket.at_s) * per_second)
            bucket.at_s = now
            if bucket.tokens >= 1:
                bucket.tokens -= 1
                return
            wait_s = (1 - bucket.tokens) / per_second
        raise RateLimitError(
            f"too many requests: at most {capacity} a minute; try again in {math.ceil(wait_s)} s",
            wait_s,
        )

    @contextmanager
    def slot(self, caller: str) -> Iterator[None]:
        """Hold one of the caller's places for requests that run at the same time.

        Raises:
            RateLimitError: all places are taken.
        """
        allowed = self._limits.concurrent_requests
        with self._lock:
            bucket = self._bucket(caller)
            if bucket.active >= allowed:
                raise RateLimitError(
                    f"too many requests at once: at most {allowed}; wait for one to end "
                    "and try again in 1 s",
                    1.0,
                )
            bucket.active += 1
        try:
            yield
        finally:
            with self._lock:
                bucket.active -= 1

    def _bucket(self, caller: str) -> _Bucket:
        """Return the caller's bucket, a full one for a newcomer; the lock must be held."""
        bucket = self._buckets.get(caller)
        if bucket is None:
            self._forget_one()
            bucket = _Bucket(self._limits.requests_per_minute, self._clock())
            self._buckets[caller] = bucket
        self._buckets.move_to_end(caller)
        return bucket

    def _forget_one(self) -> None:
        """Make room for a newcomer; a caller with running requests is kept."""
        if len(self._buckets) < MAX_CALLERS:
            return
        idle = (name for name, bucket in self._buckets.items() if bucket.active == 0)
        name = next(idle, None)
        if name is not None:
            del self._buckets[name]
