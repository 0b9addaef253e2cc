"""A home with tiny models, and a process that forks workers, shared by all tests of a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.tiny_runs import Workers, make_home


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def workers(home: Path) -> Iterator[Workers]:
    process = Workers(home)
    yield process
    process.close()
