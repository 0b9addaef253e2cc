"""The answer cache on disk: rows that outlive a restart, bounded by number and by age.

Every write begins with the one row of `cache_totals`, so writers of several processes go one
after another and none waits for another in a circle.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Executable, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.store.database import Store
from core.store.tables import cache_totals, cached_answers

UNKNOWN = -1
"""For the count of clears: the row next to it could not be read."""
columns = cached_answers.c
totals = cache_totals.c


# Built once: building one takes as long as running it.
READ = select(totals.clears, columns.value, columns.checksum, columns.created_at).select_from(
    cache_totals.outerjoin(cached_answers, columns.key == bindparam("of"))
)
ADD = (
    update(cache_totals)
    .values(
        hits=totals.hits + bindparam("more_hits"),
        misses=totals.misses + bindparam("more_misses"),
        saved_tokens=totals.saved_tokens + bindparam("more_tokens"),
        saved_usd=func.coalesce(
            totals.saved_usd + bindparam("more_usd"), totals.saved_usd, bindparam("more_usd")
        ),
    )
    .returning(totals.clears)
)
TOUCH = (
    update(cached_answers)
    .where(columns.key == bindparam("of"), columns.used_at < bindparam("at"))
    .values(used_at=bindparam("at"))
)
"""A later use that another process has noted stays."""
DROP_STALE = delete(cached_answers).where(
    or_(columns.created_at <= bindparam("oldest"), columns.created_at >= bindparam("newest"))
)
"""A row from the future was written by a clock that was wrong."""
COUNT = select(func.count()).select_from(cached_answers)
UNUSED = select(columns.key).order_by(columns.used_at).limit(bindparam("excess"))
DROP_UNUSED = delete(cached_answers).where(columns.key.in_(UNUSED))


def _put(new: sqlite.Insert | postgresql.Insert) -> Executable:
    put = {name: new.excluded[name] for name in ("value", "checksum", "created_at", "used_at")}
    return new.on_conflict_do_update(index_elements=["key"], set_=put)


PUT = {
    "sqlite": _put(sqlite.insert(cached_answers)),
    "postgresql": _put(postgresql.insert(cached_answers)),
}


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """One row; times in seconds since 1970."""

    key: str
    value: bytes
    created_at: float


@dataclass(slots=True)
class Counts:
    """What happened since the last write; its owner locks it."""

    hits: int = 0
    misses: int = 0
    saved_tokens: int = 0
    saved_usd: float | None = None
    """None: nothing with a known price."""

    def add(self, more: "Counts") -> None:
        """Add other counts to these."""
        self.hits += more.hits
        self.misses += more.misses
        self.saved_tokens += more.saved_tokens
        if more.saved_usd is not None:
            self.saved_usd = (self.saved_usd or 0.0) + more.saved_usd


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up finds."""

    answer: CachedAnswer | None
    """None: no such row, or one that is damaged."""
    clears: int
    """How often any process has cleared the cache."""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The rows kept now, and what all processes counted since the database was made."""

    entries: int
    bytes: int
    """Bytes of the answers alone."""
    hits: int
    misses: int
    saved_tokens: int
    """Input and output tokens that hits did not need."""
    saved_usd: float | None
    """Of the hits whose price is known; None when there was none."""


class CachedAnswers:
    """The rows of a store; every method raises StorageError when it can't be used."""

    def __init__(self, store: Store, *, entries: int, ttl_s: float) -> None:
        self._store = store
        self._entries = entries
        self._ttl_s = ttl_s

    def get(self, key: str) -> Found:
        """Return the row of a key, whatever its age."""
        with self._store.read() as connection:
            try:
                row = connection.execute(READ, {"of": key}).one()
                is_whole = row.value is not None and row.checksum == _checksum(key, row.value)
            except (TypeError, ValueError):
                return Found(None, UNKNOWN)  # SQLite keeps any type in any column
        if not is_whole:
            return Found(None, row.clears)
        return Found(CachedAnswer(key, row.value, row.created_at.timestamp()), row.clears)

    def write(
        self,
        now: float,
        counts: Counts,
        used: Mapping[str, float],
        new: Sequence[CachedAnswer] = (),
    ) -> int:
        """Add counts, times of use and rows; drop what is too old, then what was unused longest.

        Return how often any process has cleared the cache.
        """
        with self._store.write() as connection:
            clears = _add(connection, counts)
            if used:
                uses = [{"of": key, "at": _moment(at)} for key, at in used.items()]
                connection.execute(TOUCH, uses)
            if new:
                connection.execute(PUT[connection.dialect.name], [_row(each) for each in new])
            self._drop(connection, now)
        return clears

    def clear(self) -> tuple[int, int]:
        """Remove all rows; return how many, and how often any process has now cleared the cache."""
        with self._store.write() as connection:
            more = update(cache_totals).values(clears=totals.clears + 1).returning(totals.clears)
            clears = connection.scalars(more).one()
            return connection.execute(delete(cached_answers)).rowcount, clears

    def stats(self) -> CacheStats:
        """Return what is kept and what was counted."""
        kept = select(func.count(), func.coalesce(func.sum(func.length(columns.value)), 0))
        with self._store.read() as connection:
            entries, size_bytes = connection.execute(kept.select_from(cached_answers)).one()
            row = connection.execute(select(cache_totals)).one()
        return CacheStats(
            entries=entries,
            bytes=int(size_bytes),
            hits=row.hits,
            misses=row.misses,
            saved_tokens=row.saved_tokens,
            saved_usd=row.saved_usd,
        )

    def _drop(self, connection: Connection, now: float) -> None:
        """Remove what is too old, then what was unused longest until the bound holds."""
        window = {"oldest": _moment(now - self._ttl_s), "newest": _moment(now + self._ttl_s)}
        connection.execute(DROP_STALE, window)
        excess = connection.scalars(COUNT).one() - self._entries
        if excess > 0:
            connection.execute(DROP_UNUSED, {"excess": excess})


def _add(connection: Connection, counts: Counts) -> int:
    """Add to the totals, which also makes other writers wait; return their clears."""
    more = {
        "more_hits": counts.hits,
        "more_misses": counts.misses,
        "more_tokens": counts.saved_tokens,
        "more_usd": counts.saved_usd,
    }
    return int(connection.scalars(ADD, more).one())


def _row(new: CachedAnswer) -> dict[str, Any]:
    moment = _moment(new.created_at)
    return {
        "key": new.key,
        "value": new.value,
        "checksum": _checksum(new.key, new.value),
        "created_at": moment,
        "used_at": moment,
    }


def _checksum(key: str, value: bytes) -> str:
    """Return a digest by which a row that was damaged, or moved to another key, is told."""
    return hashlib.blake2b(value, digest_size=16, key=key.encode()[:64]).hexdigest()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
