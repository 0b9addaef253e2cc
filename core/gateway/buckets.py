"""Buckets that refill continuously, and the words for what they allow.

The law, which Groq's and OpenAI's own messages follow to the last digit they print:
`wait = (used + requested - limit) / (limit / window)`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from core.catalog import Quota
from core.errors import InputError
from core.store.budgets import BucketId, Closure, StoredBucket, Unit

MINUTE_S = 60.0
DAY_S = 86_400.0
PERIODS: Mapping[float, str] = {MINUTE_S: "minute", DAY_S: "day"}
MAX_WAIT_S = 32 * DAY_S
"""Longest time to wait that is believed; a longer one is a mistake or a wrong clock."""
LEARNED_FOR_S = 7 * DAY_S
"""How long a limit that the server told of is kept without hearing of it again; a paid plan may
have raised it since."""
GRAIN_S = 1e-6
"""Added to each wait: a clock of seconds since 1970 is not exact enough to end one on the dot."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What stands in for a reservation when the budget does not allow one now."""

    seconds: float
    until: float
    """The same on the governor's clock, seconds since 1970."""
    is_day: bool
    """Whether a day's limit is the cause, not a minute's."""
    reason: str
    """For people; says when to try again."""


@dataclass(frozen=True, slots=True)
class Need:
    """What is asked of the budget."""

    tokens: int
    requests: int = 1

    def of(self, unit: Unit) -> int:
        """Return the amount in one unit."""
        return self.requests if unit == "requests" else self.tokens


def law_wait_s(limit: float, used: float, requested: float, window_s: float) -> float:
    """Return the seconds until `requested` fits a bucket of `limit` per `window_s`; 0.0 if now."""
    return max(0.0, (used + requested - limit) / (limit / window_s))


def limits_of(name: str, quota: Quota) -> dict[BucketId, float]:
    """Return the buckets of a configured quota with their limits."""
    owner = quota_owner(name)
    found: tuple[tuple[Unit, float, int | None], ...] = (
        ("requests", MINUTE_S, quota.requests_per_minute),
        ("requests", DAY_S, quota.requests_per_day),
        ("tokens", MINUTE_S, quota.tokens_per_minute),
        ("tokens", DAY_S, quota.tokens_per_day),
    )
    return {
        BucketId(owner, unit, window_s): limit
        for unit, window_s, limit in found
        if limit is not None
    }


def quota_owner(name: str) -> str:
    """Return under which name a configured quota's buckets are stored."""
    return f"quota:{name}"


def model_owner(key: str) -> str:
    """Return under which name the limits learned from a model's server are stored."""
    return f"model:{key}"


def shown_name(bucket: BucketId) -> str:
    """Return the quota's or the model's name, for people."""
    return bucket.owner.partition(":")[2]


def drained(bucket: StoredBucket, now: float) -> StoredBucket:
    """Return the bucket as it is now; a clock that went back refills nothing."""
    rate = bucket.limit / bucket.id.window_s
    used = max(0.0, bucket.used - rate * max(0.0, now - bucket.at))
    return replace(bucket, used=used, at=now)


def current(
    stored: Mapping[BucketId, StoredBucket], limits: Mapping[BucketId, float], now: float
) -> dict[BucketId, StoredBucket]:
    """Return the buckets that count now: configured ones, and learned ones that are not too old."""
    found = {
        id_: drained(replace(stored.get(id_) or empty(id_, limit, now), limit=limit), now)
        for id_, limit in limits.items()
    }
    for id_, bucket in stored.items():
        if bucket.synced_at is not None and now - bucket.synced_at < LEARNED_FOR_S:
            found[id_] = drained(bucket, now)
    return found


def empty(id_: BucketId, limit: float, now: float) -> StoredBucket:
    """Return a bucket of which nothing is used."""
    return StoredBucket(id=id_, limit=limit, used=0.0, at=now, serial=0, synced_at=None)


def check_fits(buckets: Mapping[BucketId, StoredBucket], need: Need) -> None:
    """Refuse what is larger than a whole bucket: no wait would ever be long enough.

    Raises:
        InputError: it is.
    """
    for bucket in buckets.values():
        unit, wanted = bucket.id.unit, need.of(bucket.id.unit)
        if wanted > bucket.limit:
            raise InputError(
                f"the request may use {wanted:,} {unit}, but {shown_name(bucket.id)} allows at "
                f"most {bucket.limit:,.0f} a {PERIODS[bucket.id.window_s]}; shorten it or ask for "
                "fewer tokens"
            )


def longest_wait(
    buckets: Mapping[BucketId, StoredBucket], closure: Closure | None, need: Need, now: float
) -> Wait | None:
    """Return what must be waited for until all buckets have room; None when nothing."""
    waits = [*_waits(buckets, need, now), *_closed(closure, now)]
    return max(waits, key=lambda wait: wait.seconds, default=None)


def _waits(buckets: Mapping[BucketId, StoredBucket], need: Need, now: float) -> Iterator[Wait]:
    for bucket in buckets.values():
        wanted = need.of(bucket.id.unit)
        seconds = law_wait_s(bucket.limit, bucket.used, wanted, bucket.id.window_s)
        if seconds > 0:
            reason = f"{_used_up(bucket, wanted)}; try again in {spoken(seconds)}"
            seconds += GRAIN_S
            yield Wait(seconds, now + seconds, bucket.id.window_s == DAY_S, reason)


def _used_up(bucket: StoredBucket, wanted: int) -> str:
    allowed = f"{bucket.limit:,.0f} {bucket.id.unit} a {PERIODS[bucket.id.window_s]}"
    name = shown_name(bucket.id)
    if bucket.id.unit == "requests" or bucket.used >= bucket.limit:
        return f"{name}: {allowed} are used up"
    return f"{name}: {bucket.used:,.0f} of {allowed} are used and {wanted:,} are needed"


def _closed(closure: Closure | None, now: float) -> Iterator[Wait]:
    if closure and (seconds := closed_for_s(closure, now)) > 0:
        reason = f"{closure.reason}; try again in {spoken(seconds)}"
        yield Wait(seconds, now + seconds, closure.is_day, reason)


def closed_for_s(closure: Closure, now: float) -> float:
    """Return how long the server asked to be left alone, from now; 0.0 when no longer."""
    seconds = closure.closed_until - now
    return seconds if 0.0 < seconds <= MAX_WAIT_S else 0.0


def refund(wanted_back: float, level: float, elapsed_s: float, bucket: StoredBucket) -> float:
    """Return how much of a charge may be taken back from its bucket.

    `level` is the bucket's content right after the charge. What has drained since can't be given
    back: it would be taken from later charges.
    """
    rate = bucket.limit / bucket.id.window_s
    return min(wanted_back, max(0.0, level - rate * max(0.0, elapsed_s)))


def unhinted_wait_s(strikes: int, is_day: bool) -> float:
    """Return how long to leave a server alone that said no and not for how long.

    1 s doubling to 60 s; a day's limit 1 min doubling to 1 h. `strikes` counts from 1.
    """
    first, most = (MINUTE_S, 3600.0) if is_day else (1.0, 60.0)
    return float(min(most, first * 2.0 ** min(max(strikes, 1) - 1, 16)))


def spoken(seconds: float) -> str:
    """Return a time to wait for people, rounded up: `12 s`, `14 min`, `3 h 20 min`."""
    if not math.isfinite(seconds):
        return "an unknown time"
    if seconds <= 90:
        return f"{max(1, math.ceil(seconds))} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def owners_of(key: str, quotas: Sequence[str]) -> list[str]:
    """Return whose buckets a call counts against."""
    return [model_owner(key), *map(quota_owner, quotas)]
