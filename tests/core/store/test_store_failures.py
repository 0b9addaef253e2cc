"""What is said when a database cannot be used; never a password."""

import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event, make_url, text

from core.errors import InputError, StorageError
from core.messages import Message
from core.store import Conversations, Store, database, open_store


def on_each_connection(store: Store, statement: str) -> None:
    """Run a statement on every connection that the store opens from now on."""

    def run(connection: sqlite3.Connection, _entry: object) -> None:
        connection.execute(statement)
        connection.commit()

    store.engine.dispose()
    event.listen(store.engine, "connect", run)


def test_a_full_disk_is_said_and_loses_nothing(sqlite_url: str) -> None:
    with closing(open_store(sqlite_url)) as store:
        talk = Conversations(store)
        new = talk.create("ada", "lead", "t")
        on_each_connection(store, "PRAGMA max_page_count = 60")
        finished: list[str] = []

        def fill() -> None:
            for _ in range(1000):
                finished.append(talk.add("ada", new.id, Message("user", "x" * 3000)).id)

        with pytest.raises(StorageError, match="the disk of the database .* is full; free some"):
            fill()
        assert finished
        assert [each.id for each in talk.get("ada", new.id).messages] == finished


def test_a_locked_database_is_said(sqlite_url: str) -> None:
    path = str(make_url(sqlite_url).database)
    with closing(open_store(sqlite_url)) as store:
        on_each_connection(store, "PRAGMA busy_timeout = 50")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageError, match="stayed locked by another request"):
                Conversations(store).create("ada", "lead", "t")
            assert Conversations(store).list("ada") == ()
        Conversations(store).create("ada", "lead", "t")


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_read_only_database_is_said(request: pytest.FixtureRequest, kind: str) -> None:
    statements = {
        "sqlite": "PRAGMA query_only = ON",
        "postgres": "SET default_transaction_read_only = on",
    }
    with closing(open_store(request.getfixturevalue(f"{kind}_url"))) as store:
        on_each_connection(store, statements[kind])
        with pytest.raises(StorageError, match="cannot be written; allow this user"):
            Conversations(store).create("ada", "lead", "t")


@pytest.mark.parametrize("offset", [0, 100])
def test_a_damaged_file_is_said(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "understudy.db"
    open_store(f"sqlite:///{path}").close()
    whole = path.read_bytes()
    path.write_bytes(whole[:offset] + os.urandom(8192) + whole[offset + 8192 :])
    with pytest.raises(StorageError, match="is damaged or not a database; restore it"):
        open_store(f"sqlite:///{path}")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be created: .* choose another place"):
        open_store(f"sqlite:///{tmp_path}/file/home/understudy.db")
    with pytest.raises(StorageError, match="cannot be opened; check its folder"):
        open_store(f"sqlite:///{tmp_path}")


def test_a_server_that_does_not_answer_is_said_without_the_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(StorageError) as caught:
        open_store(f"postgres://ada:hunter2@127.0.0.1:{port}/gala?application_name=hunter2")
    assert str(caught.value) == (
        f"the database 'gala' at 127.0.0.1:{port} cannot be reached; "
        "check that it runs and that the address is right"
    )


@pytest.mark.postgres
def test_a_server_that_hangs_up_is_said_and_reconnected(postgres_url: str) -> None:
    with closing(open_store(postgres_url)) as store:
        with pytest.raises(StorageError, match="cannot be reached"), store.read() as connection:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert Conversations(store).list("ada") == ()


@pytest.mark.postgres
def test_a_missing_database_is_said(postgres_url: str) -> None:
    url = make_url(postgres_url).set(database="nowhere", password="hunter2")
    with pytest.raises(StorageError, match="'nowhere' .* does not exist; create it") as caught:
        open_store(url.render_as_string(hide_password=False))
    assert "hunter2" not in str(caught.value)


@pytest.mark.postgres
@pytest.mark.parametrize("option", ["schema=public", "connect_timeout=abc"])
def test_an_option_that_the_server_lacks_is_said(postgres_url: str, option: str) -> None:
    with pytest.raises(StorageError, match="was given an option it lacks; check the end of"):
        open_store(f"{postgres_url}?{option}")


def test_a_thread_does_not_wait_for_ever_for_its_turn(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_store(sqlite_url)) as store:
        monkeypatch.setattr(database, "LOCK_WAIT_S", 0.05)
        talk = Conversations(store)
        with store.write(), pytest.raises(StorageError, match="stayed locked"):
            talk.create("ada", "lead", "t")
        talk.create("ada", "lead", "t")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("hunter2", "cannot be read; write sqlite:///PATH"),
        ("postgresql://db:hunter2/gala", "cannot be read"),
        ("mysql://ada:hunter2@db/gala", "no database of kind 'mysql'; choose one of: sqlite"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_repeating_it(url: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
