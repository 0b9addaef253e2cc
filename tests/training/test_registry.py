"""Adapter versions: registered once, found by every process, never changed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from core.digests import folder_digest
from core.errors import InputError, NotFoundError, StorageError, TrainingError
from core.services import Services
from core.settings import PROJECT
from core.store import Store, open_store
from tests.training.registry_runs import begun_run, completed_run
from training.registry import Registry, adapter_to_dict

REGISTRAR = """
import os, sys
from contextlib import closing
from core.settings import Settings
from core.store import open_store
from training.registry import Registry
settings = Settings.from_env(os.environ)
with closing(open_store(settings.database_url)) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    print(Registry(store, settings.home).register(sys.argv[1]).name)
"""


@pytest.fixture
def registry(services: Services) -> Registry:
    return Registry(services.store, services.settings.home)


@pytest.fixture
def any_registry(services: Services, database_url: str) -> Iterator[Registry]:
    """Return a registry on each database that we promise."""
    with closing(open_store(database_url)) as store:
        yield Registry(store, services.settings.home)


def test_versions_count_up_by_model_and_purpose(
    any_registry: Registry, services: Services, two_adapters: dict[str, Path]
) -> None:
    registry, (home, catalog) = any_registry, (services.settings.home, services.catalog)
    strong, weak = two_adapters.values()
    completed_run(home, catalog, "a", strong, preset="tool-call")
    completed_run(home, catalog, "b", weak, preset="tool-call")
    completed_run(home, catalog, "c", weak, preset="persona")
    completed_run(home, catalog, "d", weak)
    names = [registry.register(run).name for run in "abcd"]
    assert names == ["tiny-toolcall-v1", "tiny-toolcall-v2", "tiny-persona-v1", "tiny-sft-v1"]
    assert [stored.name for stored in registry.list()] == names
    first = registry.get("tiny-toolcall-v1")
    assert registry.get("tiny@tiny-toolcall-v1") == first
    assert first.digest == folder_digest(home / "adapters" / first.name) == folder_digest(strong)
    assert first.base_digest == folder_digest(Path(str(catalog.models["tiny"].path)))
    assert first.figures == {
        "steps": 2,
        "loss": 2.25,
        "eval_loss": 2.125,
        "best_step": 2,
        "tokens": 22,
        "memory_gb": 0.75,
        "trainable_parameters": None,
        "parameters": None,
        "examples": 1,
        "eval_examples": None,
    }
    assert registry.check(first.name) == home / "adapters" / first.name
    told = adapter_to_dict(first, registry.folder)
    assert (told["id"], told["run"]) == ("tiny@tiny-toolcall-v1", "a")
    assert first.size_bytes == (strong / "adapter_model.safetensors").stat().st_size


def test_a_run_is_registered_once(
    registry: Registry, services: Services, adapter_folder: Path
) -> None:
    completed_run(services.settings.home, services.catalog, "a", adapter_folder)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(registry.register, ["a"] * 8))
    assert {stored.name for stored in found} == {"tiny-sft-v1"}
    assert len(registry.list()) == 1
    assert os.listdir(registry.folder) == ["tiny-sft-v1"]


def test_processes_that_register_at_once_get_numbers_of_their_own(
    services: Services, database_url: str, adapter_folder: Path
) -> None:
    home, catalog = services.settings.home, services.catalog
    environment = {**os.environ, "UNDERSTUDY_HOME": str(home)}
    environment["UNDERSTUDY_DATABASE_URL"] = database_url
    for number in range(4):
        completed_run(home, catalog, f"run-{number}", adapter_folder)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", REGISTRAR, f"run-{number}"],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    printed = {process.communicate("go\n", timeout=60)[0].strip() for process in started}
    assert printed == {f"tiny-sft-v{number}" for number in range(1, 5)}
    assert sorted(os.listdir(home / "adapters")) == sorted(printed)


def test_a_name_that_two_bases_share_or_a_folder_has_is_never_written_over(
    registry: Registry, services: Services, two_adapters: dict[str, Path], tmp_path: Path
) -> None:
    home, (strong, weak) = services.settings.home, two_adapters.values()
    models = dict(services.catalog.models) | {"Tiny": services.catalog.models["tiny"]}
    catalog = replace(services.catalog, models=models)
    completed_run(home, catalog, "a", strong)
    completed_run(home, catalog, "b", weak, model="Tiny")
    assert [registry.register(run).name for run in "ab"] == ["tiny-sft-v1", "tiny-sft-v2"]
    assert [(stored.model, stored.number) for stored in registry.list()] == [
        ("tiny", 1),
        ("Tiny", 2),
    ]
    completed_run(home, catalog, "c", weak)
    with closing(open_store(f"sqlite:///{tmp_path}/another.db")) as store:
        other = Registry(store, home)
        assert other.register("c").name == "tiny-sft-v3"
    assert all(registry.check(stored.name) for stored in registry.list())


def test_what_a_kill_left_is_passed_over_and_never_offered(
    registry: Registry, services: Services, adapter_folder: Path
) -> None:
    completed_run(services.settings.home, services.catalog, "a", adapter_folder)
    half = registry.folder / "tiny-sft-v1"
    half.mkdir(parents=True)
    (half / "adapter_config.json").write_text("{")
    assert services.catalog.ids().count("tiny@tiny-sft-v1") == 0
    stored = registry.register("a")
    assert registry.check(stored.name) == registry.folder / "tiny-sft-v2"
    assert (half / "adapter_config.json").read_text() == "{"


def test_a_kill_between_folder_and_row_costs_no_number(
    registry: Registry, services: Services, adapter_folder: Path, tmp_path: Path
) -> None:
    completed_run(services.settings.home, services.catalog, "a", adapter_folder)
    with closing(open_store(f"sqlite:///{tmp_path}/gone.db")) as store:
        Registry(store, services.settings.home).register("a")
    assert registry.register("a").name == "tiny-sft-v1"
    assert os.listdir(registry.folder) == ["tiny-sft-v1"]


def test_only_a_completed_runs_own_adapter_becomes_a_version(
    registry: Registry, services: Services, adapter_folder: Path
) -> None:
    home, catalog = services.settings.home, services.catalog
    begun_run(home, catalog, "begun")
    with pytest.raises(InputError, match="'begun' is not completed"):
        registry.register("begun")
    begun_run(home, catalog, "whole", method="full")
    with pytest.raises(InputError, match="made a model and no adapter"):
        registry.register("whole")
    registry.register_if_any("whole")
    with pytest.raises(NotFoundError, match="no run in"):
        registry.register("nowhere")
    folder = completed_run(home, catalog, "changed", adapter_folder)
    weights = folder / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(TrainingError, match="is not what the run's worker has written"):
        registry.register("changed")
    assert registry.list() == ()
    assert os.listdir(registry.folder) == []
    with pytest.raises(NotFoundError, match="no adapter named 'tiny-sft-v1'; `adapters list`"):
        registry.get("tiny-sft-v1")


def test_a_version_outlives_its_run_and_is_for_reading_only(
    registry: Registry, services: Services, adapter_folder: Path
) -> None:
    folder = completed_run(services.settings.home, services.catalog, "a", adapter_folder)
    stored = registry.register("a")
    (folder / "adapter" / "adapter_config.json").unlink()
    assert registry.get(f"{stored.model}@{stored.name}") == stored
    with pytest.raises(NotFoundError, match="is of 'tiny'"):
        registry.get(f"another@{stored.name}")
    kept = registry.check(stored.name)
    assert {path.stat().st_mode & 0o777 for path in kept.iterdir()} == {0o444}
    (kept / "adapter_config.json").unlink()
    with pytest.raises(StorageError, match="is not what was registered"):
        registry.check(stored.name)


def test_a_full_disk_leaves_nothing_half_registered(
    registry: Registry, services: Services, adapter_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed_run(services.settings.home, services.catalog, "a", adapter_folder)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left on device"):
            registry.register("a")
    assert (registry.list(), os.listdir(registry.folder)) == ((), [])
    assert registry.register("a").name == "tiny-sft-v1"


def test_another_home_on_the_same_database_has_its_own_folder(
    services: Services, store: Store, adapter_folder: Path, tmp_path: Path
) -> None:
    completed_run(services.settings.home, services.catalog, "a", adapter_folder)
    Registry(store, services.settings.home).register("a")
    elsewhere = Registry(store, replace(services.settings, home=tmp_path / "else").home)
    with pytest.raises(StorageError, match="No such file"):
        elsewhere.check("tiny-sft-v1")
