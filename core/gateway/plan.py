"""What happens after a model failed: a pure function of what failed and what is left."""

import random
from typing import Literal

from core.errors import AppError, FailureKind, GenerationError, InputError, RateLimitError

Step = Literal["again", "next", "fail"]
PASSING: tuple[FailureKind, ...] = ("overloaded", "timeout", "connection", "malformed")
"""Failures that another try of the same model may not have."""
MAX_TRIES = 2
"""Calls of one model for one request."""
MAX_CALLS = 8
"""Calls of all models for one request."""
FIRST_PAUSE_S = 0.25
"""Mean pause before the second try; it doubles with each further one."""


def failure_of(error: AppError) -> FailureKind:
    """Return the kind of a failed call; what says none itself is classed by its type."""
    if error.failure is not None:
        return error.failure
    if isinstance(error, RateLimitError):
        return "rate_limit_minute"
    if isinstance(error, InputError):
        return "context_too_long" if "context" in str(error) else "refused"
    return "malformed" if isinstance(error, GenerationError) else "overloaded"


def next_step(kind: FailureKind, tries: int, calls: int, *, has_next: bool) -> Step:
    """Say whether to call the same model again, the next one, or none.

    Args:
        kind: why the call failed.
        tries: calls of this model so far, at least 1.
        calls: calls of all models so far, at least 1.
        has_next: whether the chain has another model.
    """
    if kind == "refused" or calls >= MAX_CALLS:
        return "fail"
    if has_next:
        return "next"
    return "again" if kind in PASSING and tries < MAX_TRIES else "fail"


def pause_s(tries: int, rng: random.Random) -> float:
    """Return the seconds to wait before the next try: doubling, 50 to 150 % of the mean."""
    return FIRST_PAUSE_S * 2.0 ** (tries - 1) * rng.uniform(0.5, 1.5)
