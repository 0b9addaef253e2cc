"""What models, adapters, keys and values take together stays within what was said."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.catalog import AdapterEntry, ModelEntry, Target
from core.engines.base import Engine
from core.engines.keyvalues import places
from core.engines.measures import cores, threads_for
from core.engines.transformers_engine import TransformersEngine
from core.errors import UnavailableError
from core.messages import GenerationParams, Message
from core.pool import ModelPool
from core.providers.base import ProviderCall
from core.providers.local import LocalProvider
from core.providers.weights import load_folder, loaded_bytes
from tests import tiny_models
from tests.core.engines.references import Ties, job_of, model_of, run, tokens_of
from tests.core.engines.test_transformers_engine import PLACE, WAIT_S, prompts, wait_for
from tests.tiny_models import CONTEXT


def engine_of(folder: Path, cache_bytes: int) -> TransformersEngine:
    loaded = load_folder("tiny", folder, "fp32")
    return TransformersEngine("tiny", loaded.model, loaded.tokenizer, "d", cache_bytes)


def test_a_row_that_would_not_fit_alone_is_refused_with_its_reason(tiny_folder: Path) -> None:
    engine = engine_of(tiny_folder, places(1, 512) * PLACE * 4 // 3)
    jobs = [job_of([20] * 500, 13), job_of([20] * 500, 12)]
    refused, served = [engine.submit(job) for job in jobs]
    with pytest.raises(UnavailableError, match="come to 513 tokens, and there is memory for 512"):
        refused.result(0)
    assert jobs[0].finished.is_set()
    served.result(WAIT_S)
    large, small = engine.submit_together([job_of([20] * 600, 5), job_of([30], 3)])
    with pytest.raises(UnavailableError, match="shorten the prompt"):
        large.result(0)
    small.result(WAIT_S)
    engine.close()


def test_a_row_that_is_alone_may_take_half_of_what_the_weights_take(tiny_folder: Path) -> None:
    engine = engine_of(tiny_folder, 1)
    assert engine._weight_bytes // 2 // PLACE > 128
    assert len(run(engine, [job_of([20] * 100, 20)])[0]) == 20
    engine.close()


@pytest.mark.parametrize("longest", [300, 900])
def test_a_group_and_everybody_else_share_one_budget(longest: int, tiny_folder: Path) -> None:
    """The group's row of 900 tokens needs more than half, so it waits until the others are done."""
    limit = places(1, 1024) * PLACE * 4 // 3
    engine, alone, ties = engine_of(tiny_folder, limit), model_of(tiny_folder), Ties()
    before, most = engine.size_bytes, [0]
    forward = engine._model.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        most[0] = max(most[0], engine.size_bytes - before)
        return forward(*args, **kwargs)

    engine._model.forward = watched
    crowd = [job_of(p, 100) for p in prompts(12, seed=41)]
    group = [job_of([20 + n] * longest, 20) for n in range(3)]
    later = [job_of([20] * 700, 20), *(job_of(p, 60) for p in prompts(4, seed=42))]
    futures = [engine.submit(job) for job in crowd]
    wait_for(crowd[0], 1)
    futures += engine.submit_together(group)
    futures += [engine.submit(job) for job in later]
    futures += engine.submit_together([job_of([30] * longest, 5)])
    for future in futures:
        future.result(WAIT_S)
    for job in (*group, *later):
        ties.check(alone, job, tokens_of(job))
    assert limit // 3 < most[0] <= limit
    engine.close()
    assert ties.count == 0


def test_weights_are_counted_before_they_are_read(tiny_folder: Path, tmp_path: Path) -> None:
    size = (tiny_folder / "model.safetensors").stat().st_size
    assert loaded_bytes(tiny_folder, None) == size
    assert loaded_bytes(tiny_folder, 4) == pytest.approx(size, rel=0.01)
    assert loaded_bytes(tiny_folder, 0.5) == loaded_bytes(tiny_folder, 4) // 8
    for content in (b"", b"\xff" * 100, bytes(20)):
        (tmp_path / "model.safetensors").write_bytes(content)
        assert loaded_bytes(tmp_path, 4) == len(content)
    assert loaded_bytes(tmp_path / "nowhere", 4) == 0


def call_of(folder: Path, adapter: Path | None = None) -> ProviderCall:
    from threading import Event

    entry = ModelEntry(provider="local", path=str(folder), context=CONTEXT, engine="transformers")
    target = Target(folder.name, folder.name, entry)
    if adapter is not None:
        target = replace(target, version=adapter.name, adapter=AdapterEntry(path=str(adapter)))
    return ProviderCall(
        target, (Message("user", "Hello"),), (), GenerationParams(max_tokens=4), Event()
    )


def test_models_and_adapters_that_can_not_fit_are_refused_before_they_are_read(
    tiny_folder: Path, tmp_path: Path, adapter_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.providers import local

    loads: list[str] = []
    real = local.load_engine
    monkeypatch.setattr(
        local, "load_engine", lambda name, *args: (loads.append(name), real(name, *args))[1]
    )
    size = loaded_bytes(tiny_folder, 4)
    pool: ModelPool[Engine] = ModelPool(size * 9 // 10)
    with pytest.raises(UnavailableError, match="does not fit with .* GB more.*raise loaded_gb"):
        list(LocalProvider(pool, None, tmp_path).stream(call_of(tiny_folder)))
    assert loads == []
    large = tiny_models.save_adapter(tmp_path / "large", tiny_folder, rank=256)
    pool = ModelPool(size * 14 // 10)
    provider = LocalProvider(pool, None, tmp_path)
    list(provider.stream(call_of(tiny_folder, adapter_folder)))
    with pytest.raises(UnavailableError, match="does not fit with .* GB more"):
        list(provider.stream(call_of(tiny_folder, large)))
    assert not pool.look(tiny_folder.name, lambda engine: engine.has_adapter("large"))
    list(provider.stream(call_of(tiny_folder, adapter_folder)))
    pool.close()


def test_a_large_model_has_all_cores_whatever_a_small_one_has_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    large = torch.nn.Linear(8000, 8000, device="meta")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        assert threads_for(large) == cores() >= len(os.sched_getaffinity(0))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        assert threads_for(large) == 1
        assert threads_for(torch.nn.Linear(8, 8)) == 1
    finally:
        torch.set_num_threads(before)
