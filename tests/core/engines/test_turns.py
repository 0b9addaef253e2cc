"""Who is served when many wait, and batches that nobody else joins."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from core.engines.transformers_engine import TransformersEngine, load_engine
from core.engines.waiting import Row, Waiting
from core.together import Together
from tests.core.engines.references import job_of, tokens_of
from tests.core.engines.test_transformers_engine import WAIT_S, prompts, wait_for


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> Iterator[TransformersEngine]:
    made = load_engine("tiny", tiny_folder, "fp32")
    yield made
    made.close()


def row_of(caller: str, count: int = 5) -> Row:
    job = job_of([20, 21, 22], count)
    job.caller = caller
    return Row(job, Future())


def test_callers_take_turns_however_many_rows_one_has():
    waiting = Waiting(2)
    crowd, guest, other = [row_of("crowd") for _ in range(4)], row_of("guest"), row_of("other")
    for row in (*crowd, guest, other):
        waiting.add(row)
    order = []
    while (row := waiting.first([])) is not None:
        waiting.take(row)
        order.append(row)
    assert order == [crowd[0], guest, other, *crowd[1:]]
    assert not waiting


def test_a_caller_with_as_many_rows_as_allowed_is_passed_over():
    waiting = Waiting(2)
    crowd = [row_of("crowd") for _ in range(3)]
    waiting.add(crowd[2])
    assert waiting.first(crowd[:2]) is None
    guest = row_of("guest")
    waiting.add(guest)
    assert waiting.first(crowd[:2]) is guest
    assert waiting.first(crowd[:1]) is crowd[2]


def test_who_gave_up_is_taken_out_from_the_middle():
    waiting = Waiting(2)
    rows = [row_of("a"), row_of("a"), row_of("b")]
    for row in rows:
        waiting.add(row)
    rows[1].job.cancelled.set()
    rows[2].job.ended.set()
    assert waiting.take_unwanted() == rows[1:]
    assert waiting.pop() is rows[0]
    assert waiting.pop() is None


def test_a_guest_does_not_wait_for_a_crowd(engine: TransformersEngine) -> None:
    crowd = [row_of("crowd", 400).job for _ in range(60)]
    futures = [engine.submit(job) for job in crowd]
    wait_for(crowd[0], 1)
    guest = row_of("guest", 1).job
    engine.submit(guest).result(WAIT_S)
    assert not any(future.done() for future in futures[:32])
    for job in crowd:
        job.ended.set()
    for future in futures:
        future.result(WAIT_S)


def together(engine: TransformersEngine, jobs: list) -> list[list[int]]:
    """Let each job come on a thread of its own."""
    group = Together(len(jobs))
    with ThreadPoolExecutor(len(jobs)) as threads:
        futures = list(
            threads.map(
                lambda n: group.gather(n, jobs[n], engine.submit_together), range(len(jobs))
            )
        )
    for future in futures:
        future.result(WAIT_S)
    return [tokens_of(job) for job in jobs]


def test_a_batch_of_their_own_gives_the_same_tokens_whoever_else_runs(engine, monkeypatch):
    from core.engines.batch import Batch

    sizes: list[tuple[int, int]] = []
    forward = Batch._forward

    def counted(batch, first, pieces, kept):  # what the model is given, by batch
        sizes.append((id(batch), len(pieces)))
        return forward(batch, first, pieces, kept)

    monkeypatch.setattr(Batch, "_forward", counted)
    asked = prompts(6, seed=31)
    quiet = together(engine, [job_of(p, 40) for p in asked])
    plan = [size for batch, size in sizes if batch != id(engine._batch)]
    sizes.clear()
    others = [job_of(p, 200) for p in asked[:4]]
    futures = [engine.submit(job) for job in others]
    wait_for(others[0], 2)
    busy = together(engine, [job_of(p, 40) for p in asked])
    for job, future in zip(others, futures, strict=True):
        job.ended.set()
        future.result(WAIT_S)
    assert busy == quiet
    assert [size for batch, size in sizes if batch != id(engine._batch)] == plan
    assert any(batch == id(engine._batch) for batch, _ in sizes)


def test_those_who_leave_or_give_up_do_not_hold_up_the_others(engine: TransformersEngine) -> None:
    group, jobs = Together(3), [job_of(p, 10) for p in prompts(2, seed=32)]
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(group.gather, n, jobs[n], engine.submit_together) for n in (0, 1)]
        jobs[1].cancelled.set()
        both[1].result(WAIT_S).result(WAIT_S)
        assert not both[0].done()
        group.leave(2)
        both[0].result(WAIT_S).result(WAIT_S)
    assert len(tokens_of(jobs[0])) == 10
    assert tokens_of(jobs[1]) == []
    assert jobs[1].finished.is_set()


def test_a_closed_engine_refuses_a_group(tiny_folder: Path) -> None:
    engine = load_engine("tiny", tiny_folder, "fp32")
    engine.close()
    for future in engine.submit_together([job_of([20], 3), job_of([21], 3)]):
        with pytest.raises(Exception, match="being unloaded"):
            future.result(WAIT_S)


def test_tokens_that_were_read_before_are_told(engine: TransformersEngine) -> None:
    begin = list(range(20, 120))
    first, second = job_of([*begin, 130], 3), job_of([*begin, 140, 141], 3)
    engine.submit(first).result(WAIT_S)
    engine.submit(second).result(WAIT_S)
    assert first.cached_tokens == 0
    assert second.cached_tokens == 100


def test_waiting_rows_are_safe_to_share():
    waiting, taken = Waiting(1), []

    def put(name: str) -> None:
        for _ in range(500):
            waiting.add(row_of(name))

    def get() -> None:
        while len(taken) < 1000:
            if (row := waiting.pop()) is not None:
                taken.append(row)

    threads = [threading.Thread(target=put, args=(n,)) for n in "ab"]
    threads += [threading.Thread(target=get) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(set(map(id, taken))) == 1000
