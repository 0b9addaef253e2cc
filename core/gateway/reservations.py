"""What a reservation took, and which ones of this process are not ended yet."""

import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from core.gateway.buckets import Need, refund
from core.store.budgets import BucketId, StoredBucket


@dataclass(frozen=True, slots=True)
class Charge:
    """What a reservation took from one bucket."""

    bucket: BucketId
    amount: int
    level: float
    """The bucket's content right after."""
    serial: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """The right to send one call; ends with `settle` or `release`."""

    id: int
    """Unique in this process."""
    key: str
    quotas: tuple[str, ...]
    tokens: int
    at: float
    """Seconds since 1970 on the governor's clock."""
    charges: tuple[Charge, ...] = ()


def charged(buckets: Iterable[StoredBucket], need: Need) -> list[StoredBucket]:
    """Return the buckets after taking what is needed from each."""
    return [
        replace(each, used=each.used + need.of(each.id.unit), serial=each.serial + 1)
        for each in buckets
    ]


def charges_of(buckets: Iterable[StoredBucket], need: Need) -> tuple[Charge, ...]:
    """Return what was taken from buckets that `charged` returned."""
    return tuple(Charge(each.id, need.of(each.id.unit), each.used, each.serial) for each in buckets)


def excess(reservation: Reservation, real: Need, synced: frozenset[BucketId]) -> dict[Charge, int]:
    """Return by how much each charge was too high; below 0: too low.

    Where the server's own count has replaced ours, nothing is taken back from it.
    """
    differences = {each: each.amount - real.of(each.bucket.unit) for each in reservation.charges}
    return {
        charge: amount
        for charge, amount in differences.items()
        if amount < 0 or (amount > 0 and charge.bucket not in synced)
    }


def corrected(
    buckets: Mapping[BucketId, StoredBucket], excesses: Mapping[Charge, int], elapsed_s: float
) -> Iterator[StoredBucket]:
    """Yield the buckets, as they are now, after charges turned out too high or too low."""
    for charge, amount in excesses.items():
        if bucket := buckets.get(charge.bucket):
            back = refund(amount, charge.level, elapsed_s, bucket) if amount > 0 else amount
            yield replace(bucket, used=max(0.0, bucket.used - back))


class OpenReservations:
    """Those of this process that are not ended; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._open: dict[int, tuple[Reservation, set[BucketId]]] = {}

    def new_id(self) -> int:
        """Return an id that no other reservation of this process has."""
        return next(self._ids)

    def add(self, reservation: Reservation) -> None:
        """Remember a reservation until it is closed."""
        with self._lock:
            self._open[reservation.id] = (reservation, set())

    def close(self, reservation: Reservation) -> frozenset[BucketId] | None:
        """End a reservation; return which of its buckets hold the server's count by now.

        None when it was ended before.
        """
        with self._lock:
            found = self._open.pop(reservation.id, None)
        return None if found is None else frozenset(found[1])

    def serials(self, key: str, reservation: Reservation | None) -> dict[BucketId, int]:
        """Return the serials of the reservation's charges if it is the only open one of the key."""
        if reservation is None:
            return {}
        with self._lock:
            ids = [each.id for each, _ in self._open.values() if each.key == key]
        if ids != [reservation.id]:
            return {}
        return {charge.bucket: charge.serial for charge in reservation.charges}

    def sync(self, reservation: Reservation, buckets: Iterable[BucketId]) -> None:
        """Note that buckets hold the server's count, this reservation's call included."""
        with self._lock:
            if found := self._open.get(reservation.id):
                found[1].update(buckets)
