"""What a model may still be asked, for display."""

from collections.abc import Iterable
from dataclasses import dataclass

from core.gateway.buckets import PERIODS, closed_for_s, shown_name
from core.store.budgets import Closure, StoredBucket, Unit


@dataclass(frozen=True, slots=True)
class BucketState:
    """One limit, for display."""

    name: str
    """Of the quota, or of the model for a limit that its server told of."""
    unit: Unit
    period: str
    """`minute` or `day`."""
    limit: float
    used: float
    left: float
    refill_s: float
    """Seconds until nothing of it is used, if no call is made."""


@dataclass(frozen=True, slots=True)
class BudgetState:
    """What a model may still be asked, for display."""

    buckets: tuple[BucketState, ...]
    closed_until: float | None
    """Seconds since 1970; None when its server does not ask to wait."""
    is_dead: bool
    """No call until a person acts."""
    reason: str
    """Why it is closed or dead; empty when it is neither."""


def budget_state(
    buckets: Iterable[StoredBucket], closure: Closure | None, now: float
) -> BudgetState:
    """Return the state of buckets as they are now."""
    closed_s = closed_for_s(closure, now) if closure else 0.0
    is_dead = closure is not None and closure.is_dead
    return BudgetState(
        buckets=tuple(map(_bucket_state, buckets)),
        closed_until=now + closed_s if closed_s else None,
        is_dead=is_dead,
        reason=closure.reason if closure and (is_dead or closed_s) else "",
    )


def _bucket_state(bucket: StoredBucket) -> BucketState:
    return BucketState(
        name=shown_name(bucket.id),
        unit=bucket.id.unit,
        period=PERIODS[bucket.id.window_s],
        limit=bucket.limit,
        used=bucket.used,
        left=max(0.0, bucket.limit - bucket.used),
        refill_s=bucket.used / (bucket.limit / bucket.id.window_s),
    )
