"""Registered adapter versions: rows that are added and never changed or removed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import RowMapping, insert, select

from core.errors import NotFoundError
from core.messages import JsonValue
from core.store.database import Store
from core.store.tables import adapters


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAdapter:
    """One version of an adapter."""

    name: str
    """Its version in the catalog, and its folder's name."""
    model: str
    """Catalog id of its base."""
    purpose: str
    number: int
    """Counts the versions of one base and purpose, from 1; what stood in the way is passed over."""
    digest: str
    """`core.digests.folder_digest` of its folder."""
    base_digest: str
    """The same of the base that it was trained on."""
    size_bytes: int
    """Of its weights."""
    run: str
    dataset: str
    dataset_digest: str
    figures: Mapping[str, JsonValue]
    """What was measured while it was trained."""
    created_at: datetime


class AdapterSource(NamedTuple):
    """What a version is told apart by before it has a number."""

    stem: str
    """Its name without `-vNUMBER`; bases whose ids differ in little may share it."""
    run: str
    digest: str


class StoredAdapters:
    """The rows; safe to share between threads and processes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> tuple[StoredAdapter, ...]:
        """Return all versions, oldest first.

        Raises:
            StorageError: the database can't be used now.
        """
        query = select(adapters).order_by(adapters.c.created_at, adapters.c.name)
        with self._store.read() as connection:
            return tuple(_adapter(row) for row in connection.execute(query).mappings())

    def get(self, name: str) -> StoredAdapter:
        """Return one version.

        Raises:
            NotFoundError: there is none of this name.
        """
        with self._store.read() as connection:
            row = connection.execute(select(adapters).filter_by(name=name)).mappings().first()
        if row is None:
            raise NotFoundError(f"no adapter named {name[:80]!r}; `adapters list` names them all")
        return _adapter(row)

    def of_run(self, run: str) -> StoredAdapter | None:
        """Return the newest version that a run has made."""
        query = select(adapters).filter_by(run=run).order_by(adapters.c.created_at.desc())
        with self._store.read() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _adapter(row)

    def add(self, source: AdapterSource, make: Callable[[int], StoredAdapter]) -> StoredAdapter:
        """Add the next version of a name, or return the one that its run has made.

        `make` gets the least number that no version of the name has reached, may take a higher one,
        and sees to it that the folder is in its place before the row is.
        """
        known = select(adapters).filter_by(run=source.run, digest=source.digest)
        names = select(adapters.c.name).where(
            adapters.c.name.startswith(f"{source.stem}-v", autoescape=True)
        )
        with self._store.write() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("LOCK TABLE adapters IN SHARE ROW EXCLUSIVE MODE")
            if (row := connection.execute(known).mappings().first()) is not None:
                return _adapter(row)
            new = make(1 + _last_number(source.stem, connection.scalars(names)))
            connection.execute(insert(adapters).values(asdict(new)))
        return new


def _last_number(stem: str, names: Iterable[str]) -> int:
    """Return the highest number among versions of a name; 0: there is none."""
    ends = (name.removeprefix(f"{stem}-v") for name in names)
    return max((int(end) for end in ends if end.isdecimal()), default=0)


def _adapter(row: RowMapping) -> StoredAdapter:
    return StoredAdapter(**{field.name: row[field.name] for field in fields(StoredAdapter)})
