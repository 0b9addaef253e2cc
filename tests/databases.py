"""Fixtures: an empty store on each database that we promise."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from core.messages import new_id
from core.store import Store, open_store

POSTGRES_URL = os.environ.get("UNDERSTUDY_TEST_POSTGRES")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/home/understudy.db"


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """Create a database for one test and drop it afterwards."""
    if POSTGRES_URL is None:
        pytest.skip("UNDERSTUDY_TEST_POSTGRES is not set; it is the URL of a PostgreSQL server")
    url = make_url(POSTGRES_URL).set(drivername="postgresql+psycopg")
    name = f"understudy_{new_id()}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield url.set(database=name).render_as_string(hide_password=False)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with closing(open_store(database_url)) as opened:
        yield opened
