"""Opening and migrating a database, and what survives."""

import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert, inspect, make_url, select, text
from sqlalchemy.exc import IntegrityError

from core.errors import StorageError
from core.messages import Message
from core.settings import PROJECT
from core.store import Conversations, Store, open_store, store_secret, tables
from core.store.migrations import MIGRATIONS, NEWEST

OPENER = """
import sys
from core.store import open_store, store_secret
store = open_store(sys.argv[1])
print(store_secret(store, "cookies").hex())
store.close()
"""

WRITER = """
import sys
from core.messages import Message
from core.store import Conversations, open_store
talk = Conversations(open_store(sys.argv[1]))
new = talk.create("ada", "lead", "t")
print(new.id, flush=True)
for number in range(100000):
    for role in ("user", "assistant"):
        print(talk.add("ada", new.id, Message(role, "x" * 3000)).id, flush=True)
"""


def start(script: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, url], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )


def versions(store: Store) -> list[int]:
    with store.read() as connection:
        return list(connection.scalars(select(tables.schema_version.c.version)))


def columns(url: str) -> dict[str, object]:
    """Describe what a database has: names, nullability, keys and indexes."""
    engine = create_engine(url)
    found = inspect(engine)
    described = {
        name: (
            [(each["name"], each["nullable"]) for each in found.get_columns(name)],
            found.get_pk_constraint(name)["constrained_columns"],
            sorted(
                (each["name"], tuple(each["column_names"]))
                for each in found.get_indexes(name)
                if "duplicates_constraint" not in each
            ),
            sorted(tuple(each["column_names"]) for each in found.get_unique_constraints(name)),
            sorted(each["referred_table"] for each in found.get_foreign_keys(name)),
        )
        for name in found.get_table_names()
    }
    engine.dispose()
    return described


def test_the_migrations_build_the_tables_that_the_code_sees(
    store: Store, database_url: str
) -> None:
    migrated = columns(database_url)
    with store.write() as connection:
        for name in migrated:
            connection.execute(text(f"ALTER TABLE {name} RENAME TO old_{name}"))
        for index in [each for table in tables.metadata.tables.values() for each in table.indexes]:
            connection.execute(text(f"DROP INDEX {index.name}"))
        tables.metadata.create_all(connection)
    expected = columns(database_url)
    assert migrated == {name: expected[name] for name in tables.metadata.tables}


def test_jobs_of_an_older_database_are_kept_and_their_names_become_each_homes_own(
    database_url: str,
) -> None:
    now = datetime(2026, 11, 20, 10, tzinfo=UTC)
    job = {
        **dict.fromkeys(("processes", "attempt", "events_from", "failures"), 1),
        **{"id": "night", "home": "here", "status": "completed", "executor": "local"},
        **{"created_at": now, "queued_at": now, "error": "the disk was full"},
    }
    if database := make_url(database_url).database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(database_url)
    with engine.begin() as connection:
        tables.schema_version.create(connection)
        for number in range(1, 5):
            MIGRATIONS[number](connection)
            connection.execute(insert(tables.schema_version).values(version=number, applied_at=now))
        connection.execute(insert(tables.jobs).values(job))
    engine.dispose()
    with closing(open_store(database_url)) as store, store.write() as connection:
        connection.execute(insert(tables.jobs).values(job | {"home": "there"}))
        rows = connection.execute(select(tables.jobs).order_by(tables.jobs.c.home)).mappings()
        here, there = map(dict, rows)
    assert here == dict.fromkeys(here) | job
    assert there == here | {"home": "there"}


def test_opening_again_changes_nothing(store: Store, database_url: str) -> None:
    secret = store_secret(store, "cookies")
    assert len(secret) == 32
    assert store_secret(store, "other") != secret
    with closing(open_store(database_url)) as again:
        assert store_secret(again, "cookies") == secret
        assert versions(again) == list(range(1, NEWEST + 1))


def test_processes_that_start_at_once_migrate_once_and_share_the_secret(database_url: str) -> None:
    started = [start(OPENER, database_url) for _ in range(4)]
    printed = {process.communicate(timeout=60)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0, 0]
    assert len(printed) == 1
    with closing(open_store(database_url)) as store:
        assert versions(store) == list(range(1, NEWEST + 1))


def test_a_newer_database_is_refused_and_left_alone(store: Store, database_url: str) -> None:
    with store.write() as connection:
        now = connection.scalar(select(tables.schema_version.c.applied_at))
        connection.execute(insert(tables.schema_version).values(version=99, applied_at=now))
    with pytest.raises(StorageError, match=f"version 99 .* up to version {NEWEST}; update"):
        open_store(database_url)
    assert versions(store) == [*range(1, NEWEST + 1), 99]


def test_kill_9_loses_nothing_that_was_finished(database_url: str) -> None:
    for wanted in (1, 2, 7, 60):
        process = start(WRITER, database_url)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(wanted)]
        process.kill()
        rest = process.stdout.read()
        process.wait()
        process.stdout.close()
        # The last line may be cut in the pipe; a message whose id came through is finished.
        conversation_id, *ids = [
            line for line in ("".join(lines) + rest).split() if len(line) == 32
        ]
        with closing(open_store(database_url)) as store:
            found = Conversations(store).get("ada", conversation_id)
        kept = [each.id for each in found.messages]
        assert kept[: len(ids)] == ids
        assert len(kept) - len(ids) in (0, 1)
        assert found.unanswered == (len(kept) % 2 == 1)
        assert [each.position for each in found.messages] == list(range(len(kept)))


def test_threads_add_to_one_conversation_without_losing_any(store: Store) -> None:
    talk = Conversations(store)
    new = talk.create("ada", "lead", "t")

    def say(number: int) -> None:
        talk.add("ada", new.id, Message("user", str(number)))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(say, range(40)))
    found = talk.get("ada", new.id).messages
    assert sorted(int(each.message.text) for each in found) == list(range(40))
    assert [each.position for each in found] == list(range(40))


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    row = insert(tables.secrets).values(name="twice", value=b"x")

    def insert_twice() -> None:
        with store.write() as connection:
            connection.execute(row)
            connection.execute(row)

    with pytest.raises(IntegrityError):
        insert_twice()
    with store.read() as connection:
        assert connection.execute(select(tables.secrets)).all() == []


def test_sqlite_files_are_private_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "new" / "home" / "understudy.db"
    with closing(open_store(f"sqlite:///{path}")) as store, store.write() as connection:
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        }
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert pragmas == {
        "journal_mode": "wal",
        "foreign_keys": 1,
        "busy_timeout": 10_000,
        "synchronous": 1,
    }
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes == {0o600}


def test_deleted_text_is_not_left_in_the_file(sqlite_url: str) -> None:
    with closing(open_store(sqlite_url)) as store:
        talk = Conversations(store)
        new = talk.create("ada", "lead", "t")
        talk.add("ada", new.id, Message("user", "xyzzy " * 2000))
        talk.delete("ada", new.id)
    assert b"xyzzy" not in Path(str(make_url(sqlite_url).database)).read_bytes()


@pytest.mark.postgres
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_spelling_of_postgres_is_taken(postgres_url: str, scheme: str) -> None:
    rest = postgres_url.partition("://")[2]
    with closing(open_store(f"{scheme}://{rest}")) as store:
        assert store.engine.url.drivername == "postgresql+psycopg"


def test_writers_wait_for_each_other(sqlite_url: str) -> None:
    """Two stores on one file, as two processes have, never see a lock within the wait."""
    with closing(open_store(sqlite_url)) as one, closing(open_store(sqlite_url)) as two:
        with ThreadPoolExecutor(2) as threads:

            def write(store: Store) -> float:
                began = time.monotonic()
                for _ in range(20):
                    Conversations(store).create("ada", "lead", "t")
                return time.monotonic() - began

            list(threads.map(write, (one, two)))
        assert len(Conversations(one).list("ada")) == 40
