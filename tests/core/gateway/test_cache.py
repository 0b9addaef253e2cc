"""The answer cache in memory over a real store."""

import random
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from core.errors import InputError, StorageError
from core.gateway.cache import AnswerCache
from core.store import Store, open_store


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(f"sqlite:///{tmp_path}/cache.db")) as opened:
        yield opened


@pytest.fixture
def statements(store: Store) -> list[str]:
    """Every statement that reaches the database from now on."""
    seen: list[str] = []
    event.listen(
        store.engine, "before_cursor_execute", lambda *arguments: seen.append(arguments[2])
    )
    return seen


def keep(cache: AnswerCache, key: str, value: bytes) -> None:
    """Put an answer, and wait until the store has it."""
    cache.put(key, value)
    cache.flush()


def kept(cache: AnswerCache, keys: str) -> str:
    """Return those of the keys that memory or store still has; looking changes their order."""
    return "".join(key for key in keys if cache.get(key) is not None)


def test_what_was_used_last_stays_and_what_was_only_stored_last_goes(
    store: Store, clock: Clock
) -> None:
    cache = AnswerCache(store, entries=3, clock=clock)
    for key in "abc":
        keep(cache, key, b"v")
        clock.now += 1
    assert cache.get("a") == b"v"
    clock.now += 1
    keep(cache, "d", b"v")
    assert kept(cache, "abcd") == "acd"


def test_the_order_of_use_outlives_a_restart(store: Store, clock: Clock) -> None:
    first = AnswerCache(store, entries=3, clock=clock)
    for key in "abc":
        keep(first, key, b"v")
        clock.now += 1
    assert first.get("a") == b"v"
    first.flush()
    clock.now += 1
    second = AnswerCache(store, entries=3, clock=clock)
    keep(second, "d", b"v")
    assert kept(second, "abcd") == "acd"


def test_storing_again_counts_as_use_and_replaces_the_answer(store: Store, clock: Clock) -> None:
    cache = AnswerCache(store, entries=2, clock=clock)
    for key, value in (("a", b"old"), ("b", b"v"), ("a", b"new"), ("c", b"v")):
        keep(cache, key, value)
        clock.now += 1
    assert kept(cache, "abc") == "ac"
    assert cache.get("a") == b"new"
    assert cache.stats().bytes == 4


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdef")), max_size=60))
def test_any_sequence_keeps_what_a_plain_lru_keeps(
    store: Store, steps: list[tuple[bool, str]]
) -> None:
    clock = Clock()
    cache, model = AnswerCache(store, entries=3, clock=clock), OrderedDict[str, bytes]()
    cache.clear()
    for number, (is_put, key) in enumerate(steps):
        clock.now += 1
        if is_put:
            model[key] = str(number).encode()
            keep(cache, key, model[key])
        else:
            assert cache.get(key) == model.get(key)
        if key in model:
            model.move_to_end(key)
        if len(model) > 3:
            model.popitem(last=False)
    assert cache.stats().entries == len(model)


@pytest.mark.parametrize("value", [b"", b"0", b"null", b"false", b"{}", b"[]", b"\x00"])
def test_a_falsy_answer_hits_in_memory_and_in_the_store(store: Store, value: bytes) -> None:
    keep(AnswerCache(store), "k", value)
    cache = AnswerCache(store)
    assert cache.get("k") == value
    assert cache.get("k") == value
    assert (cache.stats().hits, cache.stats().misses) == (2, 0)


def test_an_answer_is_not_kept_for_ever_however_often_it_is_used(
    store: Store, clock: Clock
) -> None:
    cache = AnswerCache(store, ttl_s=100, clock=clock)
    keep(cache, "k", b"v")
    for _ in range(9):
        clock.now += 11
        assert cache.get("k") == b"v"
    clock.now += 1
    assert cache.get("k") is None
    assert AnswerCache(store, ttl_s=100, clock=clock).get("k") is None
    assert cache.stats().entries == 0


def test_a_shorter_time_limit_holds_for_answers_stored_under_a_longer_one(
    store: Store, clock: Clock
) -> None:
    keep(AnswerCache(store, ttl_s=100, clock=clock), "k", b"v")
    clock.now += 50
    assert AnswerCache(store, ttl_s=50, clock=clock).get("k") is None


def test_an_answer_stored_by_a_clock_that_was_years_ahead_is_not_kept(
    store: Store, clock: Clock
) -> None:
    cache = AnswerCache(store, clock=clock)
    clock.now += 1e8
    keep(cache, "k", b"v")
    clock.now -= 1e8
    assert cache.get("k") is None
    assert AnswerCache(store, clock=clock).get("k") is None


def test_a_hit_in_memory_touches_no_database(store: Store, statements: list[str]) -> None:
    cache = AnswerCache(store)
    keep(cache, "k", b"v")
    assert any("cached_answers" in each for each in statements)
    statements.clear()
    for _ in range(2000):
        assert cache.get("k") == b"v"
        with cache.flight("k") as turn:
            assert turn.value == b"v"
    cache.record_saving(10, 0.5)
    assert statements == []


def test_an_answer_from_the_store_is_in_memory_afterwards(
    store: Store, statements: list[str]
) -> None:
    keep(AnswerCache(store), "k", b"v")
    cache = AnswerCache(store)
    assert cache.get("k") == b"v"
    statements.clear()
    assert cache.get("k") == b"v"
    assert statements == []


def test_memory_is_bounded_by_bytes_and_the_store_still_has_the_rest(
    store: Store, statements: list[str]
) -> None:
    cache = AnswerCache(store, bytes_limit=10)
    for key in "abc":
        keep(cache, key, b"12345")
    statements.clear()
    assert cache.get("b") == cache.get("c") == b"12345"
    assert statements == []
    assert cache.get("a") == b"12345"
    assert statements != []


def test_memory_too_keeps_what_was_used_last(store: Store, statements: list[str]) -> None:
    cache = AnswerCache(store, bytes_limit=10)
    for key in "ab":
        keep(cache, key, b"12345")
    assert cache.get("a") == b"12345"
    keep(cache, "c", b"12345")
    statements.clear()
    assert cache.get("a") == cache.get("c") == b"12345"
    assert statements == []


def test_an_answer_above_the_byte_limit_is_not_kept(store: Store) -> None:
    cache = AnswerCache(store, bytes_limit=10)
    keep(cache, "small", b"1" * 10)
    keep(cache, "large", b"1" * 11)
    assert cache.get("large") is None
    assert cache.get("small") == b"1" * 10
    assert cache.stats().entries == 1


def test_the_caller_can_not_change_a_kept_answer(store: Store) -> None:
    cache, value = AnswerCache(store), bytearray(b"answer")
    keep(cache, "k", value)
    value[:] = b"changed"
    assert cache.get("k") == b"answer"


def test_clearing_forgets_memory_and_store(store: Store) -> None:
    cache = AnswerCache(store)
    for key in "abc":
        keep(cache, key, b"v")
    assert cache.clear() == 3
    assert kept(cache, "abc") == ""
    assert cache.clear() == 0
    keep(cache, "a", b"new")
    assert cache.get("a") == b"new"


def test_counts_are_of_all_time_and_savings_without_a_price_stay_unknown(store: Store) -> None:
    cache = AnswerCache(store)
    keep(cache, "k", b"v")
    assert [cache.get("k"), cache.get("x")] == [b"v", None]
    cache.record_saving(100, None)
    assert cache.stats().saved_usd is None
    cache.record_saving(50, 0.25)
    cache.flush()
    cache.clear()
    stats = AnswerCache(store).stats()
    assert (stats.hits, stats.misses, stats.saved_tokens, stats.saved_usd) == (1, 1, 150, 0.25)


def break_store(store: Store) -> None:
    """Take the tables away under another name, as a lost disk would."""
    path = Path(str(store.engine.url.database))
    store.close()
    path.rename(path.with_suffix(".away"))
    path.mkdir()


def mend_store(store: Store) -> None:
    path = Path(str(store.engine.url.database))
    path.rmdir()
    path.with_suffix(".away").rename(path)


def test_a_database_that_fails_costs_hits_but_no_answer_and_no_count(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    cache = AnswerCache(store)
    keep(cache, "before", b"v")
    break_store(store)
    assert cache.get("never") is None
    keep(cache, "k", b"v")
    assert cache.get("k") == cache.get("before") == b"v"
    with pytest.raises(StorageError):
        cache.stats()
    with pytest.raises(StorageError):
        cache.clear()
    assert "was not read" in caplog.text
    assert "was not written" in caplog.text
    mend_store(store)
    assert (cache.stats().hits, cache.stats().misses) == (2, 1)


def test_what_was_read_before_a_clear_is_not_kept_after_it(store: Store) -> None:
    cache = AnswerCache(store)
    keep(AnswerCache(store), "k", b"old")
    reader_has_row, is_cleared = threading.Event(), threading.Event()

    def pause(*arguments: Any) -> None:
        if "cached_answers.value" in arguments[2] and not reader_has_row.is_set():
            reader_has_row.set()
            assert is_cleared.wait(30)

    event.listen(store.engine, "after_cursor_execute", pause)
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(cache.get, "k")
        assert reader_has_row.wait(30)
        cache.clear()
        is_cleared.set()
        assert reading.result(30) == b"old"
    assert cache.get("k") is None


def test_a_clear_while_others_look_leaves_nothing_old_behind(store: Store) -> None:
    cache = AnswerCache(store, entries=5)
    stop = threading.Event()

    def look() -> None:
        order = random.Random(1)
        while not stop.is_set():
            cache.get(order.choice("abcdefgh"))

    with ThreadPoolExecutor(4) as threads:
        looking = [threads.submit(look) for _ in range(4)]
        for number in range(15):
            old = str(number).encode()
            for key in "abcdefgh":
                keep(cache, key, old)
            cache.clear()
            assert {cache.get(key) for key in "abcdefgh"} == {None}
        stop.set()
        for each in looking:
            each.result()


@pytest.mark.parametrize("bounds", [{"entries": 0}, {"bytes_limit": 0}, {"ttl_s": 0}])
def test_a_cache_without_room_is_refused(store: Store, bounds: dict[str, int]) -> None:
    with pytest.raises(InputError, match="above zero"):
        AnswerCache(store, **bounds)
