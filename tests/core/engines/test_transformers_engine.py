"""Many requests on one model: what each gets is what it would get alone."""

import random
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.engines.base import Job
from core.engines.keyvalues import places
from core.engines.transformers_engine import TransformersEngine, load_engine
from core.errors import UnavailableError
from core.providers.weights import load_folder
from core.settings import PROJECT
from tests import tiny_models
from tests.core.engines.references import Ties, generated, job_of, model_of, run, tokens_of

LEAD = PROJECT / "assets" / "models" / "lead"
WAIT_S = 60
CROWD = 60
PLACE = 2 * 2 * 64 * 4
"""Bytes of a token of the tiny model: keys and values, layers, size, bytes."""
ONE_LONG_ROW = places(1, 1536) * PLACE * 4 // 3
"""Room for one row of 1,536 tokens: a quarter is for beginnings."""


def prompts(count: int, longest: int = 60, seed: int = 0) -> list[list[int]]:
    """Return prompts of random lengths; no special tokens."""
    draw = random.Random(seed)
    return [
        [draw.randrange(10, 300) for _ in range(draw.randrange(1, longest))] for _ in range(count)
    ]


def wait_for(job: Job, count: int) -> list[int]:
    """Return the next tokens of a running job."""
    return [job.tokens.get(timeout=WAIT_S).id for _ in range(count)]


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> Iterator[TransformersEngine]:
    made = load_engine("tiny", tiny_folder, "fp32")
    yield made
    made.close()


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> Any:
    return model_of(tiny_folder)


@pytest.mark.parametrize("folder", ["tiny", "lead"])
def test_rows_that_come_at_different_times_say_what_each_says_alone(
    folder: str, tiny_folder: Path
) -> None:
    path = tiny_folder if folder == "tiny" else LEAD
    engine, alone, ties = load_engine(folder, path, "fp32"), model_of(path), Ties()
    jobs = [job_of(p, 10 + 7 * n) for n, p in enumerate(prompts(12))]
    futures = []
    for job in jobs:
        futures.append(engine.submit(job))
        if len(futures) % 3 == 0:
            assert job.arrived.wait(WAIT_S)
    for job, future in zip(jobs, futures, strict=True):
        future.result(WAIT_S)
        ties.check(alone, job, tokens_of(job))
    engine.close()
    assert ties.count <= 1


def test_a_late_row_does_not_wait_for_those_that_run(engine: TransformersEngine) -> None:
    long = job_of([20, 21], 1500)
    running = engine.submit(long)
    wait_for(long, 3)
    late = job_of([30, 31, 32], 4)
    engine.submit(late).result(WAIT_S)
    assert len(tokens_of(late)) == 4
    assert not running.done()
    long.ended.set()
    running.result(WAIT_S)


def test_a_cancelled_row_leaves_at_once_and_the_others_go_on(
    engine: TransformersEngine, model: Any
) -> None:
    jobs = [job_of(p, 60) for p in prompts(5, seed=1)]
    jobs[2].new_tokens = 1500
    futures = [engine.submit(job) for job in jobs]
    wait_for(jobs[2], 5)
    jobs[2].cancelled.set()
    futures[2].result(WAIT_S)
    assert jobs[2].tokens.qsize() < 60
    ties = Ties()
    for job, future in zip(jobs, futures, strict=True):
        future.result(WAIT_S)
        if job is not jobs[2]:
            ties.check(model, job, tokens_of(job))
    assert ties.count == 0


def test_a_row_ends_with_its_end_token(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "ends"))
    asked = job_of([20, 21, 22], 40)
    said = generated(model_of(folder), asked)
    last = said[7]
    tiny_models.change_config(folder, eos_token_id=last)
    path = folder / "generation_config.json"
    path.write_text(path.read_text().replace('"eos_token_id": 0', f'"eos_token_id": [0, {last}]'))
    engine = load_engine("ends", folder, "fp32")
    assert engine.end_tokens == {0, last}
    found, other = run(engine, [asked, job_of([50], 3)])
    engine.close()
    assert found == said[: said.index(last) + 1]
    assert len(other) == 3


def test_a_long_prompt_is_read_in_pieces_between_the_tokens_of_others(
    engine: TransformersEngine, model: Any
) -> None:
    running = job_of([20, 21], 1500)
    future = engine.submit(running)
    wait_for(running, 2)
    before = running.tokens.qsize()
    long = job_of(prompts(1, seed=3)[0] * 100, 5)
    long.prompt = long.prompt[:1700]
    engine.submit(long).result(WAIT_S)
    assert running.tokens.qsize() - before >= 1700 // 256
    running.ended.set()
    future.result(WAIT_S)
    ties = Ties()
    ties.check(model, long, tokens_of(long))
    assert ties.count == 0


def test_adapters_share_a_batch_and_each_row_gets_its_own(
    tiny_folder: Path, two_adapters: dict[str, Path]
) -> None:
    engine = load_engine("tiny", tiny_folder, "fp32")
    digests = {engine.adapter_digest(name, path) for name, path in two_adapters.items()}
    assert len(digests) == 2
    asked = prompts(9, seed=4)
    versions = [None, "v1", "v2.0"] * 3
    jobs = [job_of(p, 25, v) for p, v in zip(asked, versions, strict=True)]
    found = run(engine, jobs)
    ties, plain = Ties(), model_of(tiny_folder)
    for version in (None, "v1", "v2.0"):
        alone = model_of(tiny_folder, two_adapters[version]) if version else plain
        for job, tokens in zip(jobs, found, strict=True):
            if job.adapter == version:
                ties.check(alone, job, tokens)
                assert version is None or tokens != generated(plain, job)
    engine.close()
    assert ties.count == 0


def test_an_adapter_that_changes_nothing_is_refused_and_disturbs_nobody(
    engine: TransformersEngine, model: Any, tiny_folder: Path, tmp_path: Path
) -> None:
    dead = tiny_models.save_adapter(tmp_path / "dead", tiny_folder, strength=0.0)
    endless, *jobs = [
        job_of(p, n) for p, n in zip(prompts(3, seed=5), (1900, 120, 120), strict=True)
    ]
    running, *futures = [engine.submit(job) for job in (endless, *jobs)]
    begun = wait_for(endless, 1)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="'dead' changes nothing"):
            engine.adapter_digest("dead", dead)
    assert not running.done()
    for future in futures:
        future.result(WAIT_S)
    endless.cancelled.set()
    running.result(WAIT_S)
    ties = Ties()
    for job, tokens in zip((endless, *jobs), (begun, [], []), strict=True):
        tokens += tokens_of(job)
        job.new_tokens = len(tokens)
        ties.check(model, job, tokens)
    assert ties.count == 0


def test_an_adapter_that_can_not_be_mixed_is_refused(
    engine: TransformersEngine, tiny_folder: Path, tmp_path: Path
) -> None:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=["embed_tokens"], init_lora_weights=False)
    get_peft_model(model_of(tiny_folder), config).save_pretrained(
        tmp_path / "words", save_embedding_layers=False
    )
    with pytest.raises(UnavailableError, match="no plain LoRA on linear layers"):
        engine.adapter_digest("words", tmp_path / "words")
    assert len(run(engine, [job_of([20], 3)])[0]) == 3


def test_a_seed_gives_the_same_tokens_alone_and_in_company(engine: TransformersEngine) -> None:
    sampled = {"temperature": 1.2, "top_p": 0.9}
    asked = prompts(4, seed=6)
    alone = [run(engine, [job_of(p, 30, seed=n, **sampled)])[0] for n, p in enumerate(asked)]
    company = [job_of(p, 30, seed=n, **sampled) for n, p in enumerate(asked)]
    others = [job_of(p, 50) for p in prompts(3, seed=7)]
    assert run(engine, [*others, *company])[3:] == alone
    again = run(engine, [job_of(asked[0], 30, seed=99, **sampled)])[0]
    assert again != alone[0]


def test_what_does_not_fit_waits_in_order_and_gets_its_turn(tiny_folder: Path, model: Any) -> None:
    loaded = load_folder("tiny", tiny_folder, "fp32")
    engine = TransformersEngine("tiny", loaded.model, loaded.tokenizer, "d", ONE_LONG_ROW)
    weights = engine.size_bytes
    jobs = [job_of(p, 30) for p in prompts(9, seed=8)]
    jobs.insert(4, job_of(prompts(1, seed=9)[0] * 20, 30))  # too large beside any other
    assert len(jobs[4].prompt) > 128
    futures = [engine.submit(job) for job in jobs]
    ties, sizes = Ties(), []
    for job, future in zip(jobs, futures, strict=True):
        future.result(WAIT_S)
        sizes.append(engine.size_bytes - weights)
        ties.check(model, job, tokens_of(job))
    starts = [job.started for job in jobs]
    assert starts == sorted(starts)
    assert max(starts[5:]) > max(starts[:5])
    engine.close()
    assert ties.count == 0


def test_memory_of_rows_is_counted_and_given_back(tiny_folder: Path) -> None:
    loaded = load_folder("tiny", tiny_folder, "fp32")
    limit = 4 * 10**6
    engine = TransformersEngine("tiny", loaded.model, loaded.tokenizer, "d", limit)
    weights = engine.size_bytes
    jobs = [job_of([20, 21 + n], 300) for n in range(3)]
    futures = [engine.submit(job) for job in jobs]
    for job in jobs:
        wait_for(job, 40)
    held = engine.size_bytes - weights
    for job in jobs:
        job.ended.set()
    for future in futures:
        future.result(WAIT_S)
    assert places(3, 42) * PLACE <= held <= limit
    kept = engine.size_bytes - weights
    assert 3 * 40 * PLACE <= kept <= limit // 4
    run(engine, [job_of([n] * 200, 20) for n in range(20, 30)])  # 2 MB
    assert engine.size_bytes - weights <= limit // 4
    engine.close()


def test_rows_that_end_while_a_long_prompt_is_read_change_nothing_for_it(
    engine: TransformersEngine, model: Any
) -> None:
    long = job_of((prompts(1, seed=12)[0] * 100)[:1500], 6)
    jobs = [job_of([20 + n, 30], 200) for n in range(3)]
    futures = [engine.submit(job) for job in jobs]
    begun = [wait_for(job, 2) for job in jobs]
    last = engine.submit(long)
    for job in jobs[:2]:
        wait_for(job, 1)
        job.ended.set()
    for future in (*futures, last):
        future.result(WAIT_S)
    ties = Ties()
    ties.check(model, long, tokens_of(long))
    ties.check(model, jobs[2], begun[2] + tokens_of(jobs[2]))
    assert ties.count == 0


def test_a_job_cancelled_while_it_waits_ends_before_its_turn(tiny_folder: Path) -> None:
    loaded = load_folder("tiny", tiny_folder, "fp32")
    engine = TransformersEngine("tiny", loaded.model, loaded.tokenizer, "d", ONE_LONG_ROW)
    running, waiting = job_of([20], 1500), [job_of([30], 5) for _ in range(3)]
    future = engine.submit(running)
    wait_for(running, 1)
    behind = [engine.submit(job) for job in waiting]
    waiting[1].cancelled.set()
    behind[1].result(WAIT_S)
    assert waiting[1].started is None
    assert not future.done()
    assert not behind[0].done()
    running.ended.set()
    behind[2].result(WAIT_S)
    assert len(tokens_of(waiting[2])) == 5
    engine.close()


def test_closing_ends_all_rows_with_an_error(tiny_folder: Path) -> None:
    loaded = load_folder("tiny", tiny_folder, "fp32")
    engine = TransformersEngine("tiny", loaded.model, loaded.tokenizer, "d", ONE_LONG_ROW)
    running, waiting = job_of([20], 1500), job_of([21], 5)
    futures = [engine.submit(running), engine.submit(waiting)]
    wait_for(running, 1)
    engine.close()
    for job, future in zip((running, waiting), futures, strict=True):
        assert job.finished.is_set()
        with pytest.raises(UnavailableError, match="was unloaded while it generated"):
            future.result(0)
    with pytest.raises(UnavailableError, match="is being unloaded"):
        engine.submit(job_of([20])).result(0)


def test_a_prompt_that_the_model_can_not_read_fails_alone(
    engine: TransformersEngine, model: Any
) -> None:
    good = job_of([20, 21, 22], 60)
    future = engine.submit(good)
    first = wait_for(good, 1)
    bad = job_of([10**6], 5)
    with pytest.raises(IndexError, match="out of range"):
        engine.submit(bad).result(WAIT_S)
    assert bad.finished.is_set()
    future.result(WAIT_S)
    ties = Ties()
    ties.check(model, good, first + tokens_of(good))
    assert ties.count == 0


def test_a_step_that_fails_ends_its_rows_and_the_engine_goes_on(tiny_folder: Path) -> None:
    loaded = load_folder("tiny", tiny_folder, "fp32")
    engine = TransformersEngine("tiny", loaded.model, loaded.tokenizer, "d")
    jobs = [job_of(p, 1500) for p in prompts(3, seed=10)]
    futures = [engine.submit(job) for job in jobs]
    for job in jobs:
        wait_for(job, 2)

    def fail(*_: Any) -> None:
        hook.remove()
        raise RuntimeError("out of memory")

    hook = loaded.model.register_forward_pre_hook(fail)
    for future in futures:
        with pytest.raises(RuntimeError, match="out of memory"):
            future.result(WAIT_S)
    assert len(run(engine, [job_of([20], 6)])[0]) == 6
    engine.close()


def test_the_models_own_penalties_are_kept(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "penalty"))
    path = folder / "generation_config.json"
    path.write_text(path.read_text().replace("{", '{"repetition_penalty": 1.7,', 1))
    engine, alone, ties = load_engine("penalty", folder, "fp32"), model_of(folder), Ties()
    jobs = [job_of(p, 40) for p in prompts(4, seed=11)]
    for job, found in zip(jobs, run(engine, jobs), strict=True):
        ties.check(alone, job, found)
        assert found != generated(model_of(tiny_folder), job)
    engine.close()
    assert ties.count == 0


def test_a_crowd_of_all_kinds_gets_what_each_gets_alone(
    tiny_folder: Path, two_adapters: dict[str, Path]
) -> None:
    loaded = load_folder("tiny", tiny_folder, "fp32")
    engine = TransformersEngine("tiny", loaded.model, loaded.tokenizer, "d", 2 * 10**6)
    for name, path in two_adapters.items():
        engine.adapter_digest(name, path)
    models = {name: model_of(tiny_folder, path) for name, path in two_adapters.items()}
    draw, ties, alone = random.Random(13), Ties(), {None: model_of(tiny_folder), **models}
    shared = [[draw.randrange(10, 300) for _ in range(length)] for length in (5, 40, 300)]
    jobs = []
    for _ in range(CROWD):
        prompt = [*draw.choice(shared), *(draw.randrange(10, 300) for _ in range(5))]
        jobs.append(job_of(prompt, draw.randrange(1, 40), draw.choice([None, "v1", "v2.0"])))
    unwanted = draw.sample(jobs, CROWD // 5)
    futures = []
    for job in jobs:
        futures.append(engine.submit(job))
        draw.choice(jobs).arrived.wait(draw.random() * 0.02)
        for _ in range(2 if unwanted and draw.random() < 0.4 else 0):
            unwanted[draw.randrange(len(unwanted))].cancelled.set()
    for job, future in zip(jobs, futures, strict=True):
        future.result(WAIT_S)
        found = tokens_of(job)
        if job.cancelled.is_set():
            job.new_tokens = len(found)
        if found:
            ties.check(alone[job.adapter], job, found)
    assert len({job.adapter for job in jobs if not job.cancelled.is_set()}) == 3
    engine.close()
    assert ties.count <= CROWD // 20


def test_closing_frees_the_weights(tiny_folder: Path, adapter_folder: Path) -> None:
    engine = load_engine("tiny", tiny_folder, "fp32")
    engine.adapter_digest("v1", adapter_folder)
    run(engine, [job_of(p, 10, "v1") for p in prompts(3)])
    weight = weakref.ref(next(engine._model.parameters()))
    engine.close()
    assert weight() is None
