"""What a local model is known by before it is loaded: its files, never its name."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from core.catalog import AdapterEntry, ModelEntry, Target
from core.digests import folder_digest
from core.engines.base import Engine
from core.gateway.cache import AnswerCache
from core.gateway.cache_key import comes_from, request_key
from core.messages import GenerationParams, GenerationRequest, Message
from core.pool import ModelPool
from core.providers.base import Completion, ProviderCall
from core.providers.local import LocalProvider
from core.providers.weights import has_cuda
from core.settings import PROJECT
from core.store import open_store
from tests import tiny_models

REQUEST = GenerationRequest("m", (Message("user", "Hi"),), GenerationParams(max_tokens=4), "ada")


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    pool: ModelPool[Engine] = ModelPool(10**9)
    yield LocalProvider(pool, None, Path("gguf"))
    pool.close()


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def target_of(folder: Path, adapter: Path | None = None, **changes: object) -> Target:
    entry = ModelEntry(provider="local", path=str(folder), context=tiny_models.CONTEXT)
    model = replace(entry, **changes)
    if adapter is None:
        return Target("m", "m", model)
    return Target("m@v1", "m", model, "v1", AdapterEntry(str(adapter)))


def run(provider: LocalProvider, target: Target) -> Completion:
    call = ProviderCall(target, REQUEST.messages, (), REQUEST.params, REQUEST.cancel)
    *_, last = provider.stream(call)
    assert isinstance(last, Completion)
    return last


def test_the_identity_names_the_digests_that_the_loaded_model_reports(
    provider: LocalProvider, tiny_folder: Path, adapter_folder: Path
) -> None:
    plain, tuned = target_of(tiny_folder), target_of(tiny_folder, adapter_folder)
    identities = [provider.identity(plain), provider.identity(tuned)]
    assert None not in identities
    assert identities[0] != identities[1]
    for identity, target in zip(identities, (plain, tuned), strict=True):
        assert comes_from(str(identity), run(provider, target))
    assert folder_digest(tiny_folder) in str(identities[0])
    assert folder_digest(adapter_folder) in str(identities[1])
    assert not comes_from(str(identities[0]), run(provider, tuned))


def copy_over(folder: Path, source: Path, name: str) -> None:
    shutil.copy(source / name, folder / "new")
    os.replace(folder / "new", folder / name)


def touch_up(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages }}")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder, other: copy_over(folder, other, "model.safetensors"),
        lambda folder, other: touch_up(folder),
        lambda folder, other: tiny_models.change_config(folder, rope_theta=5),
    ],
    ids=["weights", "chat template", "config"],
)
def test_a_file_replaced_under_the_same_name_is_another_model(
    provider: LocalProvider,
    folder: Path,
    other_folder: Path,
    change: Callable[[Path, Path], None],
) -> None:
    seen = [provider.identity(target_of(folder))]
    change(folder, other_folder)
    seen.append(provider.identity(target_of(folder)))
    assert seen[0] != seen[1]
    assert seen[1] == LocalProvider(ModelPool(1), None, Path("gguf")).identity(target_of(folder))


def test_a_replaced_file_of_the_same_size_and_time_is_noticed_too(
    provider: LocalProvider, folder: Path, other_folder: Path
) -> None:
    weights = folder / "model.safetensors"
    os.utime(weights, (1, 1))
    before, size = settled(provider, target_of(folder)), weights.stat().st_size
    copy_over(folder, other_folder, "model.safetensors")
    os.utime(weights, (1, 1))
    assert weights.stat().st_size == size
    assert provider.identity(target_of(folder)) != before


def settled(provider: LocalProvider, target: Target) -> str | None:
    """Ask until the files are old enough for the digest to be remembered."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        identity = provider.identity(target)
        if provider._digests._known:
            return identity
    raise AssertionError("the digest was never remembered")


def test_an_adapter_replaced_under_the_same_name_is_another_model(
    provider: LocalProvider, tiny_folder: Path, adapter_folder: Path, tmp_path: Path
) -> None:
    adapter = Path(shutil.copytree(adapter_folder, tmp_path / "adapter"))
    before = provider.identity(target_of(tiny_folder, adapter))
    tiny_models.save_adapter(adapter, tiny_folder, strength=0.5)
    assert provider.identity(target_of(tiny_folder, adapter)) != before


def test_how_it_is_run_is_part_of_the_identity(provider: LocalProvider, folder: Path) -> None:
    targets = [target_of(folder), target_of(folder, precision="bf16"), target_of(folder, context=9)]
    assert len({provider.identity(target) for target in targets}) == 3


def test_the_same_files_under_another_name_are_the_same_model(
    provider: LocalProvider, folder: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert provider.identity(target_of(folder)) == provider.identity(target_of(copied))


def test_a_model_that_is_not_here_has_no_identity(provider: LocalProvider, tmp_path: Path) -> None:
    hub = replace(target_of(tmp_path).model, path=None, hub="nobody/nothing", revision="0" * 40)
    assert provider.identity(Target("h", "h", hub)) is None
    assert provider.identity(target_of(tmp_path / "none")) is None
    assert provider.identity(target_of(PROJECT / "assets/models/lead", tmp_path / "none")) is None


def test_a_downloaded_model_is_known_by_its_snapshot(
    provider: LocalProvider,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    revision = "a" * 40
    snapshot = tmp_path / "models--some--model" / "snapshots" / revision
    shutil.copytree(tiny_folder, snapshot)
    hub = replace(target_of(tmp_path).model, path=None, hub="some/model", revision=revision)
    found = provider.identity(Target("h", "h", hub))
    assert found == provider.identity(target_of(tiny_folder))


def test_the_second_look_at_a_large_folder_takes_under_a_millisecond(
    provider: LocalProvider,
) -> None:
    target = target_of(PROJECT / "assets" / "models" / "lead")
    settled(provider, target)
    times = []
    for _ in range(50):
        began = time.perf_counter()
        provider.identity(target)
        times.append(time.perf_counter() - began)
    assert sorted(times)[25] < 0.001


def test_answers_are_invalidated_by_a_new_digest_and_come_back_with_the_old_one(
    provider: LocalProvider, folder: Path, other_folder: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    with closing(open_store(f"sqlite:///{tmp_path}/cache.db")) as store:
        cache, target = AnswerCache(store), target_of(folder)

        def key() -> str:
            return request_key(str(provider.identity(target)), REQUEST, {})

        cache.put(key(), b"of the old weights")
        copy_over(folder, other_folder, "model.safetensors")
        assert cache.get(key()) is None
        cache.put(key(), b"of the new weights")
        assert cache.get(key()) == b"of the new weights"
        copy_over(folder, tiny_folder, "model.safetensors")
        assert cache.get(key()) == b"of the old weights"


def test_weights_replaced_while_older_ones_are_loaded_are_told_by_the_answer(
    provider: LocalProvider, folder: Path, other_folder: Path
) -> None:
    target = target_of(folder)
    assert comes_from(str(provider.identity(target)), run(provider, target))
    copy_over(folder, other_folder, "model.safetensors")
    assert not comes_from(str(provider.identity(target)), run(provider, target))


def test_a_gpu_is_found_where_pytorch_finds_one() -> None:
    import torch

    assert has_cuda() == torch.cuda.is_available()
