"""Single flight: equal questions at once reach the model once."""

import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import FrameType

import pytest

from core.gateway.cache import AnswerCache
from core.gateway.flights import Flights, Wait
from core.store import Store, open_store

PATIENCE_S = 30


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(f"sqlite:///{tmp_path}/cache.db")) as opened:
        yield opened


@pytest.fixture
def cache(store: Store) -> AnswerCache:
    return AnswerCache(store)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(50) as pool:
        yield pool


class Leader:
    """A thread that leads a key until it is told how to end."""

    def __init__(self, cache: AnswerCache, threads: ThreadPoolExecutor, key: str = "k") -> None:
        self.cache, self.key = cache, key
        self.leads, self.end = threading.Event(), threading.Event()
        self.ending: Callable[[], None] = lambda: None
        self.done: Future[None] = threads.submit(self._run)
        assert self.leads.wait(PATIENCE_S)

    def _run(self) -> None:
        with self.cache.flight(self.key) as turn:
            assert turn.role == "lead"
            self.leads.set()
            assert self.end.wait(PATIENCE_S)
            self.ending()

    def finish(self, ending: Callable[[], None] = lambda: None) -> None:
        self.ending = ending
        self.end.set()
        self.done.exception(PATIENCE_S)


def until_waiting(count: int) -> None:
    """Return once so many threads wait in flights: their frames show it."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if sum("Wait.until" in names(frame) for frame in sys._current_frames().values()) == count:
            return
        time.sleep(0.001)
    raise AssertionError("the followers never waited")


def names(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield frame.f_code.co_qualname
        frame = frame.f_back


def follow(cache: AnswerCache, calls: list[int]) -> bytes | None:
    """Want the answer; as leader, make it and note the call."""
    with cache.flight("k") as turn:
        if turn.role == "lead":
            calls.append(threading.get_ident())
            cache.put("k", b"answer")
            return b"answer"
        return turn.value


def followers(
    cache: AnswerCache, threads: ThreadPoolExecutor, calls: list[int], count: int = 8
) -> list[Future[bytes | None]]:
    """Return threads that all wait for the leader."""
    made = [threads.submit(follow, cache, calls) for _ in range(count)]
    until_waiting(count)
    return made


def results(futures: list[Future[bytes | None]]) -> set[bytes | None]:
    return {each.result(PATIENCE_S) for each in futures}


def test_followers_get_the_answer_of_the_leader(
    cache: AnswerCache, threads: ThreadPoolExecutor
) -> None:
    calls: list[int] = []
    leader = Leader(cache, threads)
    waiting = followers(cache, threads, calls)
    assert not any(each.done() for each in waiting)
    leader.finish(lambda: cache.put("k", b"led"))
    assert results(waiting) == {b"led"}
    assert calls == []
    assert (cache.stats().hits, cache.stats().misses) == (8, 1)


def test_followers_go_on_as_soon_as_the_leader_has_stored(
    cache: AnswerCache, threads: ThreadPoolExecutor
) -> None:
    leader = Leader(cache, threads)
    waiting = followers(cache, threads, [])
    cache.put("k", b"stored")
    assert results(waiting) == {b"stored"}
    assert not leader.done.done()
    leader.finish()


def test_followers_get_an_answer_that_is_too_large_to_keep(
    store: Store, threads: ThreadPoolExecutor
) -> None:
    cache = AnswerCache(store, bytes_limit=3)
    leader = Leader(cache, threads)
    waiting = followers(cache, threads, [])
    leader.finish(lambda: cache.put("k", b"large"))
    assert results(waiting) == {b"large"}


def test_an_empty_answer_of_the_leader_is_an_answer(
    cache: AnswerCache, threads: ThreadPoolExecutor
) -> None:
    leader, calls = Leader(cache, threads), list[int]()
    waiting = followers(cache, threads, calls)
    leader.finish(lambda: cache.put("k", b""))
    assert results(waiting) == {b""}
    assert calls == []


def fail() -> None:
    raise ValueError("the model failed")


def test_after_a_leader_that_failed_one_follower_leads(
    cache: AnswerCache, threads: ThreadPoolExecutor
) -> None:
    calls: list[int] = []
    leader = Leader(cache, threads)
    waiting = followers(cache, threads, calls)
    leader.finish(fail)
    assert isinstance(leader.done.exception(), ValueError)
    assert results(waiting) == {b"answer"}
    assert len(calls) == 1


def test_after_an_answer_that_may_not_be_kept_followers_do_not_queue_up(
    cache: AnswerCache, threads: ThreadPoolExecutor
) -> None:
    leader = Leader(cache, threads)
    all_lead = threading.Barrier(6)

    def lead_together() -> str:
        with cache.flight("k") as turn:
            # Only reached by all when they lead side by side.
            all_lead.wait(PATIENCE_S)
            return turn.role

    waiting = [threads.submit(lead_together) for _ in range(6)]
    until_waiting(6)
    leader.finish()
    assert {each.result(PATIENCE_S) for each in waiting} == {"lead"}


def test_a_leader_whose_generator_is_closed_early_releases_followers(
    cache: AnswerCache, threads: ThreadPoolExecutor
) -> None:
    def answer() -> Iterator[str]:
        with cache.flight("k"):
            yield "a piece"
            cache.put("k", b"whole")

    for end in ("close", "collect"):
        stream, calls = answer(), list[int]()
        assert next(stream) == "a piece"
        waiting = followers(cache, threads, calls)
        if end == "close":
            stream.close()
        else:
            del stream
            gc.collect()
        assert results(waiting) == {b"answer"}
        assert len(calls) == 1
        cache.clear()


def test_a_cancelled_follower_stops_waiting_and_the_others_go_on(
    cache: AnswerCache, threads: ThreadPoolExecutor
) -> None:
    leader, cancel = Leader(cache, threads), threading.Event()

    def impatient() -> tuple[str, float]:
        with cache.flight("k", cancel=cancel) as turn:
            return turn.role, time.monotonic()

    waiting, given_up = followers(cache, threads, []), threads.submit(impatient)
    until_waiting(9)
    began = time.monotonic()
    cancel.set()
    role, ended = given_up.result(PATIENCE_S)
    assert role == "gave_up"
    assert ended - began < 2
    assert not any(each.done() for each in waiting)
    leader.finish(lambda: cache.put("k", b"led"))
    assert results(waiting) == {b"led"}
    assert (cache.stats().hits, cache.stats().misses) == (8, 1)


def test_a_follower_waits_until_its_deadline_and_no_longer(
    cache: AnswerCache, threads: ThreadPoolExecutor
) -> None:
    leader = Leader(cache, threads)
    for wait_s in (-1.0, 0.0, 0.2):
        began = time.monotonic()
        with cache.flight("k", deadline=began + wait_s) as turn:
            assert turn.role == "gave_up"
        assert wait_s <= time.monotonic() - began < wait_s + 2
    leader.finish()


def test_two_generators_of_one_thread_do_not_wait_for_each_other(cache: AnswerCache) -> None:
    def answer(value: bytes) -> Iterator[str]:
        with cache.flight("k") as turn:
            yield turn.role
            cache.put("k", value)

    first, second = answer(b"1"), answer(b"2")
    assert [next(first), next(second)] == ["lead", "lead"]
    assert [*first, *second] == []
    assert cache.get("k") == b"2"


def test_different_keys_do_not_wait_for_each_other(
    cache: AnswerCache, threads: ThreadPoolExecutor
) -> None:
    leaders = [Leader(cache, threads, str(number)) for number in range(10)]
    for leader in leaders:
        leader.finish()
        assert leader.done.exception() is None


def test_an_answer_stored_between_look_and_lead_is_a_hit() -> None:
    flights = Flights()
    for found, role in ((b"just stored", "hit"), (b"", "hit"), (None, "lead")):
        with flights.join("k", {"k": found}.get, Wait()) as turn:
            assert (turn.role, turn.value) == (role, found)


def one_turn(cache: AnswerCache, number: int) -> str:
    """Want one of six answers; lead with success, failure, closing or a clear."""
    key, cancel = f"k{number % 6}", threading.Event()
    if number % 7 == 4:
        cancel.set()
    with cache.flight(key, cancel=cancel, deadline=time.monotonic() + PATIENCE_S) as turn:
        if turn.role != "lead":
            assert turn.value == (key.encode() if turn.role == "hit" else None)
            return turn.role
        if number % 7 == 0:
            raise ValueError(key)
        if number % 7 == 1:
            raise GeneratorExit
        if number % 7 != 2:
            cache.put(key, key.encode())
        if number % 7 == 3:
            cache.clear()
    return "lead"


def test_fifty_threads_with_failures_closings_and_cancels_all_end(
    store: Store, threads: ThreadPoolExecutor
) -> None:
    cache, together = AnswerCache(store, entries=4), threading.Barrier(50)

    def work(number: int) -> Counter[str]:
        roles = Counter[str]()
        together.wait(PATIENCE_S)
        for step in range(20):
            try:
                roles[one_turn(cache, number * 31 + step)] += 1
            except (ValueError, GeneratorExit):
                roles["failed"] += 1
        return roles

    roles = sum(threads.map(work, range(50), timeout=PATIENCE_S * 4), Counter[str]())
    assert roles.total() == 1000
    assert {"lead", "hit", "failed"} <= set(roles)
    for number in range(6):
        with cache.flight(f"k{number}", deadline=0) as turn:
            assert turn.role != "gave_up"
