"""Opening the store: one SQLite file by default, PostgreSQL by URL.

SQLite runs in WAL mode: what was committed survives `kill -9`; a power cut may cost the last
commits but never the file.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from core.errors import InputError, StorageError
from core.store.failures import BUSY, place_of, storage_error
from core.store.migrations import migrate

LOCK_WAIT_S = 10
"""How long a statement waits for another one's lock."""
CONNECT_WAIT_S = 5
POOLED = 64
"""Connections to SQLite that are kept open: as many as threads answer requests at once."""
WRITES = "understudy_writes"
"""Execution option of a transaction that will write."""


class Store:
    """An open database; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(**{WRITES: True})
        self._turn = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads.

        Raises:
            StorageError: the database cannot be used now.
        """
        with self._translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that is committed at the end, or rolled back by an exception.

        Raises:
            StorageError: the database cannot be used now; nothing was written.
        """
        with self._translated(), self._own_turn(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _own_turn(self) -> Iterator[None]:
        """Let the threads queue for SQLite's one writer: it sleeps between its own attempts."""
        if self.engine.dialect.name != "sqlite":
            yield
            return
        if not self._turn.acquire(timeout=LOCK_WAIT_S):
            raise StorageError(BUSY.format(place=place_of(self.engine.url)))
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            meaning = storage_error(error, self.engine.url)
            if meaning is None:
                raise
            raise meaning from error


def open_store(url: str) -> Store:
    """Open the database at the URL, creating and migrating it as needed.

    Raises:
        InputError: the URL is not one of SQLite's or PostgreSQL's.
        StorageError: the database cannot be used, or a newer Understudy has written it.
    """
    parsed = _parsed(url)
    store = Store(_sqlite(parsed) if parsed.drivername == "sqlite" else _postgres(parsed))
    with ExitStack() as on_failure:
        on_failure.callback(store.close)
        with store.write() as connection:
            migrate(connection)
        on_failure.pop_all()
    return store


def _parsed(url: str) -> URL:
    # The parser's own errors can repeat parts of the URL, hence `from None`.
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise InputError(
            "the database URL cannot be read; write sqlite:///PATH or "
            "postgresql://USER:PASSWORD@HOST/NAME, with special characters percent-encoded"
        ) from None
    if parsed.get_backend_name() in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        raise InputError(
            f"no database of kind {parsed.drivername!r}; choose one of: sqlite, postgresql"
        )
    if not parsed.database or parsed.database == ":memory:":
        raise InputError("the database needs a file; write sqlite:///PATH")
    return parsed.set(
        drivername="sqlite", database=str(Path(parsed.database).expanduser().absolute())
    )


def _sqlite(url: URL) -> Engine:
    _create_privately(url)
    arguments = {"timeout": LOCK_WAIT_S, "isolation_level": None}
    # No bound: who waited for a connection while it holds the writer's turn would hold up all.
    engine = create_engine(
        url, connect_args=arguments, hide_parameters=True, pool_size=POOLED, max_overflow=-1
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _create_privately(url: URL) -> None:
    """Create the folder and the file for this user only; SQLite's side files copy the mode."""
    path = Path(str(url.database))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
    except OSError as error:
        raise StorageError(
            f"{place_of(url)} cannot be created: {error.strerror}; "
            "choose another place with UNDERSTUDY_HOME"
        ) from error


def _set_pragmas(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    _enter_wal(cursor)
    for pragma in ("foreign_keys = ON", "synchronous = NORMAL", "secure_delete = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _enter_wal(cursor: DBAPICursor) -> None:
    """Switch to WAL once; SQLite does not wait for the lock of this switch by itself."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin(connection: Connection) -> None:
    """Take the write lock at the start: a read that turns into a write could not wait for it."""
    is_write = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


def _postgres(url: URL) -> Engine:
    wait = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_WAIT_S}
    engine = create_engine(url, connect_args=wait, pool_pre_ping=True, hide_parameters=True)
    event.listen(engine, "connect", _set_lock_wait)
    return engine


def _set_lock_wait(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = '{LOCK_WAIT_S}s'")
    cursor.close()
    connection.commit()
