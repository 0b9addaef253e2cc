"""What the ledger makes of a server's own words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from core.gateway.buckets import closed_for_s, drained, empty, law_wait_s, unhinted_wait_s
from core.gateway.limit_notice import BucketReading, LimitNotice
from core.store.budgets import BucketId, Closure, StoredBucket

NO_CREDIT = "{key}: its provider says that no quota or credit is left on the account"
MINUTE_USED_UP = "{key}: its provider asks to wait"
DAY_USED_UP = "{key}: its provider says that the day's limit is used up"


@dataclass(frozen=True, slots=True)
class Change:
    """A bucket after learning."""

    bucket: StoredBucket
    is_server_count: bool
    """Whether its content is now what the server counts, and no longer our sum."""


def learned(
    stored: Mapping[BucketId, StoredBucket],
    notice: LimitNotice,
    serials: Mapping[BucketId, int],
    owner: str,
    now: float,
) -> list[Change]:
    """Return the buckets that a notice changes.

    `serials` has the serials of the answered call's charges if no other call of this process is
    under way: when nobody reserved since, the server has counted all that we have.
    """
    changes = []
    for reading in _readings(notice):
        id_ = BucketId(owner, reading.unit, reading.window_s)
        old = stored.get(id_)
        is_quiet = old is not None and serials.get(id_) == old.serial
        changes.append(_changed(old or empty(id_, reading.limit, now), reading, is_quiet, now))
    return changes


def _readings(notice: LimitNotice) -> Iterator[BucketReading]:
    """Yield one reading of each limit; the refusal's own is the newest and most exact."""
    said = notice.exhausted
    for reading in notice.buckets:
        if said is None or (reading.unit, reading.window_s) != (said.unit, said.window_s):
            yield reading
    if said is not None:
        is_full = said.used is None and not notice.is_too_large
        yield replace(said, used=said.limit) if is_full else said


def _changed(old: StoredBucket, reading: BucketReading, is_quiet: bool, now: float) -> Change:
    """Raise the bucket to the server's count; lower it only when no call can be missing there.

    Answers overtake each other, and a call that is on its way is in our count but not in theirs.
    """
    ours = drained(old, now)
    if reading.used is None or (reading.used < ours.used and not is_quiet):
        return Change(replace(ours, limit=reading.limit, synced_at=now), False)
    return Change(replace(ours, limit=reading.limit, used=reading.used, synced_at=now), True)


def noted(old: Closure | None, notice: LimitNotice, key: str, now: float) -> Closure | None:
    """Return what is to be stored of a refusal; None when it closes nothing."""
    if notice.is_too_large or not (notice.is_refused or notice.retry_after_s):
        return None
    before = old or Closure(key, 0.0, False, False, 0, "")
    if notice.is_permanent:
        return replace(before, is_dead=True, reason=NO_CREDIT.format(key=key))
    wait_s, strikes = stated_wait_s(notice), before.strikes
    if not wait_s:
        # Calls that were under way together are refused together: that is one refusal.
        strikes += 0 if closed_for_s(before, now) else 1
        wait_s = unhinted_wait_s(strikes, notice.is_day)
    until = now + max(closed_for_s(before, now), wait_s)
    reason = DAY_USED_UP if notice.is_day else MINUTE_USED_UP
    return Closure(key, until, notice.is_day, before.is_dead, strikes, reason.format(key=key))


def stated_wait_s(notice: LimitNotice) -> float | None:
    """Return the wait that a refusal names, or that the law gives for its numbers; None if none."""
    said = notice.exhausted
    if notice.retry_after_s or said is None or said.used is None or said.requested is None:
        return notice.retry_after_s
    return law_wait_s(said.limit, said.used, said.requested, said.window_s)


def is_noteworthy(closure: Closure, now: float) -> bool:
    """Say whether a closure still matters: it holds, or counts refusals."""
    return closure.is_dead or closure.strikes > 0 or closed_for_s(closure, now) > 0
