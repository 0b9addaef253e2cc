"""Registered adapters in the running catalog: seen within seconds, used without a reload."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.catalog import AdapterEntry
from core.digests import folder_digest
from core.errors import ModelNotAllowedError, UnavailableError
from core.gateway.gateway import Gateway
from core.messages import Generation, GenerationParams, GenerationRequest, Message
from core.model_states import model_states
from core.registered import FRESH_S, RegisteredAdapters
from core.services import Services, make_services
from core.settings import PROJECT
from core.store.adapters import AdapterSource, StoredAdapter, StoredAdapters
from tests import tiny_models

MODELS = "import sys; from core.__main__ import main; sys.argv[1:] = ['models', '--json']; main()"


def put(services: Services, folder: Path, name: str, **values: object) -> StoredAdapter:
    """Register an adapter as the registry does, by a link instead of a copy."""
    home = services.settings.home / "adapters"
    home.mkdir(exist_ok=True)
    (home / name).symlink_to(folder)
    base = folder_digest(Path(str(services.catalog.models["tiny"].path)))

    def make(number: int) -> StoredAdapter:
        facts = {
            "name": name,
            "model": "tiny",
            "purpose": name,
            "number": number,
            "digest": folder_digest(folder),
            "base_digest": base,
            "size_bytes": 1,
            "run": name,
            "dataset": "d@v1",
            "dataset_digest": "sha256:0",
            "figures": {},
            "created_at": datetime.now(UTC),
        }
        return StoredAdapter(**{**facts, **values})  # type: ignore[arg-type]

    source = AdapterSource(name, name, name)
    return StoredAdapters(services.store).add(source, make)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 4 * FRESH_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ask(gateway: Gateway, model: str) -> Generation:
    request = GenerationRequest(
        model=model,
        messages=(Message("user", "Who sits where?"),),
        params=GenerationParams(temperature=0.0, max_tokens=8),
        caller="test",
        is_admin=True,
        cache="off",
    )
    found = [delta.generation for delta in gateway.generate(request) if delta.generation]
    return found[-1]


@pytest.fixture(scope="module")
def wide(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return two adapters that are larger than what an engine keeps of a few short prompts."""
    folder = tmp_path_factory.mktemp("wide")
    for version, strength in (("v1", 1.0), ("v2", 0.3)):
        tiny_models.save_adapter(folder / version, tiny_folder, strength=strength, rank=64)
    return {version: folder / version for version in ("v1", "v2")}


def test_a_new_version_is_used_beside_the_loaded_base(
    services: Services, wide: dict[str, Path]
) -> None:
    gateway = services.gateway
    plain = ask(gateway, "tiny")
    with services.pool.use("tiny", lambda: pytest.fail("it is loaded")) as engine:
        before = engine.size_bytes
        with pytest.raises(ModelNotAllowedError, match="has no adapter 'strong'; its adapters: no"):
            ask(gateway, "tiny@strong")
        put(services, wide["v1"], "strong")
        put(services, wide["v2"], "weak")
        until(lambda: "tiny@weak" in services.catalog.ids())
        strong, weak = ask(gateway, "tiny@strong"), ask(gateway, "tiny@weak")
    assert strong.adapter is not None
    assert (strong.adapter.id, strong.adapter.digest) == (
        "strong",
        folder_digest(wide["v1"]),
    )
    assert len({plain.text, strong.text, weak.text}) > 1
    assert plain.text == ask(gateway, "tiny").text
    # One base for both, and each adapter counted once more.
    with services.pool.use("tiny", lambda: pytest.fail("it is loaded")) as same:
        assert same is engine
        grown = engine.size_bytes - before
    one = (wide["v1"] / "adapter_model.safetensors").stat().st_size
    assert 1.9 * one < grown < 2.5 * one
    assert list(services.pool.sizes()) == ["tiny"]


def test_every_list_shows_it_and_another_process_too(
    services: Services, adapter_folder: Path
) -> None:
    put(services, adapter_folder, "v9")
    until(lambda: "tiny@v9" in [s.id for s in model_states(services.gateway.traffic)])
    state = next(s for s in model_states(services.gateway.traffic) if s.id == "tiny@v9")
    assert state.is_ready
    done = subprocess.run(
        [sys.executable, "-c", MODELS],
        cwd=PROJECT,
        env={**os.environ, "UNDERSTUDY_HOME": str(services.settings.home)},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert '"tiny@v9": {"status": "ready"' in done.stdout


def test_unknown_versions_are_refused_before_any_work(services: Services) -> None:
    with pytest.raises(ModelNotAllowedError, match="'tiny' has no adapter 'nothing'"):
        ask(services.gateway, "tiny@nothing")
    assert services.pool.sizes() == {}


def test_the_catalog_files_own_versions_win(
    services: Services, adapter_folder: Path, tmp_path: Path
) -> None:
    put(services, adapter_folder, "v1")
    listed = {"tiny": {"v1": AdapterEntry("mine")}, "bare": {}}
    stored = StoredAdapters(services.store)
    found = RegisteredAdapters(listed, ["tiny"], stored, tmp_path / "adapters")
    assert found["tiny"]["v1"] == AdapterEntry("mine")
    assert (len(found), list(found), "bare" in found) == (1, ["tiny"], False)


def test_models_that_are_not_local_get_none(
    services: Services, adapter_folder: Path, tmp_path: Path
) -> None:
    put(services, adapter_folder, "v1")
    found = RegisteredAdapters({}, [], StoredAdapters(services.store), tmp_path)
    assert dict(found) == {}


def test_while_the_store_is_away_what_was_known_stays(
    services: Services, adapter_folder: Path
) -> None:
    put(services, adapter_folder, "v1")
    until(lambda: "tiny@v1" in services.catalog.ids())
    path = services.settings.home / "understudy.db"
    services.store.close()
    path.rename(path.with_name("away.db"))
    path.mkdir()
    time.sleep(FRESH_S)
    assert "tiny@v1" in services.catalog.ids()
    path.rmdir()
    path.with_name("away.db").rename(path)


def test_files_that_were_changed_since_are_refused(
    services: Services, adapter_folder: Path
) -> None:
    put(services, adapter_folder, "changed", digest="sha256:other")
    put(services, adapter_folder, "moved", base_digest="sha256:other")
    until(lambda: "tiny@moved" in services.catalog.ids())
    with pytest.raises(UnavailableError, match="'changed' is not what was registered"):
        ask(services.gateway, "tiny@changed")
    with pytest.raises(UnavailableError, match="'moved' was trained on another 'tiny'"):
        ask(services.gateway, "tiny@moved")
    assert ask(services.gateway, "tiny").text


def test_versions_are_there_after_a_restart(services: Services, adapter_folder: Path) -> None:
    put(services, adapter_folder, "v3")
    with closing(make_services(services.settings)) as again:
        assert again.catalog.resolve("tiny@v3").version == "v3"
