"""What was used of each allowance and which models their servers closed; survives a restart.

Times are seconds since 1970 on the governor's clock.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, select, text

from core.store.database import Store
from core.store.tables import budget_buckets, budget_closures

Unit = Literal["requests", "tokens"]


class BucketId(NamedTuple):
    """One allowance of a quota or model."""

    owner: str
    unit: Unit
    window_s: float


@dataclass(frozen=True, slots=True)
class StoredBucket:
    """How full a bucket was at a moment."""

    id: BucketId
    limit: float
    """Requests or tokens per window, above 0."""
    used: float
    at: float
    """When `used` was true."""
    serial: int
    """Reservations made so far; tells whether another one came since."""
    synced_at: float | None
    """When the server last told of this limit; None for a configured one."""


@dataclass(frozen=True, slots=True)
class Closure:
    """What a model's server said last about coming back."""

    key: str
    closed_until: float
    is_day: bool
    is_dead: bool
    """No call until a person acts."""
    strikes: int
    """Refusals in a row that did not say for how long."""
    reason: str


READ_BUCKETS = (
    select(budget_buckets)
    .where(budget_buckets.c.owner.in_(bindparam("owners", expanding=True)))
    .order_by(budget_buckets.c.owner, budget_buckets.c.unit, budget_buckets.c.window_s)
)
READ_CLOSURE = select(budget_closures).where(budget_closures.c.key == bindparam("name"))
# SQLite has one writer anyway and knows no FOR UPDATE; SQLAlchemy leaves it out there.
LOCK_BUCKETS = READ_BUCKETS.with_for_update()
LOCK_CLOSURE = READ_CLOSURE.with_for_update()
CREATE_BUCKET = text(
    "INSERT INTO budget_buckets (owner, unit, window_s, capacity, used, at, serial, synced_at) "
    "VALUES (:owner, :unit, :window_s, :capacity, :used, :at, :serial, :synced_at) "
    "ON CONFLICT DO NOTHING"
)
PUT_BUCKET = text(
    "INSERT INTO budget_buckets (owner, unit, window_s, capacity, used, at, serial, synced_at) "
    "VALUES (:owner, :unit, :window_s, :capacity, :used, :at, :serial, :synced_at) "
    "ON CONFLICT (owner, unit, window_s) DO UPDATE SET capacity = excluded.capacity, "
    "used = excluded.used, at = excluded.at, serial = excluded.serial, "
    "synced_at = excluded.synced_at"
)
PUT_CLOSURE = text(
    "INSERT INTO budget_closures (key, closed_until, is_day, is_dead, strikes, reason) "
    "VALUES (:key, :closed_until, :is_day, :is_dead, :strikes, :reason) "
    "ON CONFLICT (key) DO UPDATE SET closed_until = excluded.closed_until, "
    "is_day = excluded.is_day, is_dead = excluded.is_dead, strikes = excluded.strikes, "
    "reason = excluded.reason"
)


class BudgetRows:
    """The rows, inside one transaction.

    All lock in one order, closures before buckets and those by their ids: PostgreSQL would see a
    deadlock else.
    """

    def __init__(self, connection: Connection, is_write: bool) -> None:
        self._connection = connection
        self.is_write = is_write

    def buckets(self, owners: Sequence[str]) -> dict[BucketId, StoredBucket]:
        """Return the owners' buckets; in a writing transaction nobody else changes them."""
        query = LOCK_BUCKETS if self.is_write else READ_BUCKETS
        rows = self._connection.execute(query, {"owners": list(owners)})
        return {bucket.id: bucket for bucket in map(_bucket, rows)}

    def create(self, buckets: Iterable[StoredBucket]) -> None:
        """Add buckets, leaving those that are there as they are."""
        self._connection.execute(CREATE_BUCKET, _sorted_values(buckets))

    def put(self, buckets: Iterable[StoredBucket]) -> None:
        """Add or replace buckets."""
        if values := _sorted_values(buckets):
            self._connection.execute(PUT_BUCKET, values)

    def closure(self, key: str) -> Closure | None:
        """Return what a model's server said last, if anything."""
        query = LOCK_CLOSURE if self.is_write else READ_CLOSURE
        row = self._connection.execute(query, {"name": key}).first()
        return None if row is None else Closure(**row._mapping)

    def put_closure(self, closure: Closure) -> None:
        """Add or replace what a model's server said."""
        self._connection.execute(PUT_CLOSURE, asdict(closure))

    def forget(self, owner: str, key: str) -> None:
        """Remove an owner's buckets and what a model's server said."""
        self._connection.execute(delete(budget_closures).where(budget_closures.c.key == key))
        self._connection.execute(delete(budget_buckets).where(budget_buckets.c.owner == owner))


class Budgets:
    """The stored budgets; shared by all processes on one database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @contextmanager
    def read(self) -> Iterator[BudgetRows]:
        """Open a transaction that only reads.

        Raises:
            StorageError: the database cannot be used now.
        """
        with self._store.read() as connection:
            yield BudgetRows(connection, is_write=False)

    @contextmanager
    def change(self) -> Iterator[BudgetRows]:
        """Open a transaction that is committed at the end, or rolled back by an exception.

        Raises:
            StorageError: the database cannot be used now; nothing was written.
        """
        with self._store.write() as connection:
            yield BudgetRows(connection, is_write=True)


def _sorted_values(buckets: Iterable[StoredBucket]) -> list[Mapping[str, Any]]:
    return [_values(bucket) for bucket in sorted(buckets, key=lambda bucket: bucket.id)]


def _values(bucket: StoredBucket) -> Mapping[str, Any]:
    owner, unit, window_s = bucket.id
    return {
        "owner": owner,
        "unit": unit,
        "window_s": int(window_s),
        "capacity": bucket.limit,
        "used": bucket.used,
        "at": bucket.at,
        "serial": bucket.serial,
        "synced_at": bucket.synced_at,
    }


def _bucket(row: Row[Any]) -> StoredBucket:
    return StoredBucket(
        id=BucketId(row.owner, row.unit, float(row.window_s)),
        limit=row.capacity,
        used=row.used,
        at=row.at,
        serial=row.serial,
        synced_at=row.synced_at,
    )
