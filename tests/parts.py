"""Fixtures: tiny models that are made once, and the parts of a running Understudy around them."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from core.services import Services, make_services
from core.settings import Settings
from tests import tiny_models


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other")
    return tiny_models.save_llama(folder, seed=5, template=tiny_models.PLAIN_CHAT)


@pytest.fixture(scope="session")
def adapter_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_adapter(tmp_path_factory.mktemp("adapter"), tiny_folder)


@pytest.fixture(scope="session")
def two_adapters(
    tiny_folder: Path, adapter_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    weaker = tmp_path_factory.mktemp("weaker")
    tiny_models.save_adapter(weaker, tiny_folder, strength=0.3)
    return {"v1": adapter_folder, "v2.0": weaker}


@pytest.fixture
def write_catalog(tmp_path: Path) -> Callable[..., None]:
    """Return what lays entries over the shipped catalog."""

    def write(**entries: object) -> None:
        (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(entries), encoding="utf-8")

    return write


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_env({**os.environ, "UNDERSTUDY_HOME": str(tmp_path)})


@pytest.fixture
def services(
    settings: Settings, write_catalog: Callable[..., None], tiny_folder: Path
) -> Iterator[Services]:
    """Return the parts with one tiny model, `tiny`, as their default."""
    entry = {"provider": "local", "path": str(tiny_folder), "context": tiny_models.CONTEXT}
    write_catalog(models={"tiny": entry}, default_model="tiny")
    with closing(make_services(settings)) as made:
        yield made
