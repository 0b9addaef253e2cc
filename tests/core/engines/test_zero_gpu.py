"""The engine of ZeroGPU Spaces: with the real package, which lends nothing off the platform, and
with one that runs each answer in a forked process as the platform does."""

import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.catalog import AdapterEntry, ModelEntry, Target
from core.engines.zero_gpu import ZeroGpuEngine, import_spaces
from core.errors import UnavailableError
from core.messages import GenerationParams, Message
from core.pool import ModelPool
from core.providers.base import Completion, ProviderCall
from core.providers.local import LocalProvider
from core.providers.weights import load_folder
from tests import tiny_models
from tests.core.engines.references import Ties, job_of, model_of, tokens_of
from tests.core.engines.test_transformers_engine import WAIT_S, prompts
from tests.tiny_models import CONTEXT

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Platform:
    """Lends "GPUs": arguments and results are pickled, the function runs in a fork."""

    def __init__(self) -> None:
        self.seconds: list[int] = []
        self.processes: list[int] = []

    def gpu(self, *, duration: Callable[..., int]) -> Callable[..., Any]:
        def decorate(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
            def run(*arguments: Any) -> Iterator[Any]:
                self.seconds.append(duration(*arguments))
                return self._forked(function, pickle.dumps(arguments))

            return run

        return decorate

    def _forked(self, function: Callable[..., Iterator[Any]], order: bytes) -> Iterator[Any]:
        context = multiprocessing.get_context("fork")
        results: Any = context.SimpleQueue()

        def work() -> None:
            import torch

            torch.set_num_threads(1)
            try:
                for each in function(*pickle.loads(order)):
                    results.put((os.getpid(), each))
                results.put((os.getpid(), None))
            except UnavailableError as error:
                results.put((os.getpid(), error))

        process = context.Process(target=work, daemon=True)
        process.start()
        try:
            while True:
                number, each = results.get()
                self.processes.append(number)
                if each is None:
                    return
                if isinstance(each, Exception):
                    raise each
                yield each
        finally:
            process.terminate()
            process.join(WAIT_S)


@pytest.fixture
def platform() -> Platform:
    return Platform()


def engine_of(folder: Path, borrow: Any, adapters: dict[str, Path] | None = None) -> ZeroGpuEngine:
    return ZeroGpuEngine(load_folder("tiny", folder, "fp32"), "d", adapters or {}, borrow)


def test_with_the_real_package_off_the_platform_it_says_what_generate_says(
    tiny_folder, two_adapters
):
    engine, ties = engine_of(tiny_folder, import_spaces(), two_adapters), Ties()
    for version in (None, *two_adapters):
        job = job_of(prompts(1, seed=3)[0], 20, version)
        engine.submit(job).result(WAIT_S)
        ties.check(model_of(tiny_folder, two_adapters.get(version or "")), job, tokens_of(job))
    engine.close()
    assert ties.count == 0


def test_each_answer_is_made_in_a_process_that_has_the_gpu_for_as_long_as_it_needs(
    tiny_folder, two_adapters, platform
):
    engine, ties = engine_of(tiny_folder, platform.gpu, two_adapters), Ties()
    jobs = [job_of(p, 30 * n, "v1") for n, p in enumerate(prompts(3, seed=4), 1)]
    for job, future in [(job, engine.submit(job)) for job in jobs]:
        future.result(WAIT_S)
        ties.check(model_of(tiny_folder, two_adapters["v1"]), job, tokens_of(job))
    engine.close()
    assert ties.count == 0
    assert sorted(platform.seconds) == [21, 22, 23]
    assert os.getpid() not in platform.processes
    assert len(set(platform.processes)) == 3


def test_a_cancelled_answer_gives_the_gpu_back(tiny_folder, platform):
    engine = engine_of(tiny_folder, platform.gpu)
    job = job_of([20, 21], 1900)
    future = engine.submit(job)
    job.tokens.get(timeout=WAIT_S)
    job.cancelled.set()
    future.result(WAIT_S)
    engine.close()
    assert len(tokens_of(job)) < 1900
    assert not multiprocessing.active_children()


def test_an_adapter_that_changes_nothing_is_refused_where_there_is_a_gpu(
    tiny_folder, platform, tmp_path
):
    dead = tiny_models.save_adapter(tmp_path / "dead", tiny_folder, strength=0.0)
    engine = engine_of(tiny_folder, platform.gpu, {"dead": dead})
    with pytest.raises(UnavailableError, match="'dead' changes nothing"):
        engine.submit(job_of([20, 21], 5, "dead")).result(WAIT_S)
    engine.close()


def test_an_adapter_that_came_later_needs_a_restart(tiny_folder, adapter_folder, platform):
    engine = engine_of(tiny_folder, platform.gpu)
    with pytest.raises(UnavailableError, match="restart the Space"):
        engine.adapter_digest("v1", adapter_folder)
    engine.close()


class QuotaError(Exception):
    """What `spaces` raises is Gradio's error, which is none of the usual ones."""


def test_a_gpu_that_is_not_lent_is_told_in_the_platforms_words(tiny_folder):
    def stingy(*, duration: Any) -> Any:
        def decorate(_function: Any) -> Any:
            def refuse(*_: Any) -> Iterator[Any]:
                raise QuotaError("You have exceeded your GPU quota (60s requested vs. 0s left).")
                yield

            return refuse

        return decorate

    engine = engine_of(tiny_folder, stingy)
    with pytest.raises(UnavailableError, match="lent no GPU.*exceeded your GPU quota"):
        engine.submit(job_of([20], 5)).result(WAIT_S)
    engine.close()


def test_the_provider_serves_what_was_placed_and_nothing_else(
    tiny_folder, other_folder, adapter_folder, platform
):
    pool: Any = ModelPool(10**9)
    provider = LocalProvider(pool, None, Path("gguf"), ["tiny"], platform.gpu)

    def target(name: str, folder: Path, adapter: Path | None = None) -> Target:
        entry = ModelEntry(provider="local", path=str(folder), context=CONTEXT)
        found = None if adapter is None else AdapterEntry(path=str(adapter))
        return Target(name, name, entry, *(() if found is None else ("v1", found)))

    def answer(place: Target) -> Completion:
        params = GenerationParams(max_tokens=8)
        call = ProviderCall(place, (Message("user", "Hello"),), (), params, threading.Event())
        *_, last = provider.stream(call)
        assert isinstance(last, Completion)
        return last

    provider.place(target("tiny", tiny_folder), {"v1": adapter_folder})
    plain = answer(target("tiny", tiny_folder))
    adapted = answer(target("tiny", tiny_folder, adapter_folder))
    assert plain.usage.output_tokens == adapted.usage.output_tokens == 8
    assert plain.text != adapted.text
    assert adapted.adapter is not None
    with pytest.raises(UnavailableError, match="restart the Space"):
        answer(target("other", other_folder))
    pool.close()
