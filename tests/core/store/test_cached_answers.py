"""The second level of the answer cache, on each database that we promise."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import func, select, text, update

from core.gateway.cache import BATCH, AnswerCache
from core.settings import PROJECT
from core.store import Store, open_store
from core.store.cached_answers import CachedAnswer, CachedAnswers, Counts
from core.store.tables import cached_answers

NOTHING = Counts()
NOW = 1_800_000_000.0
WRITER = """
import sys
import time
from core.gateway.cache import AnswerCache
from core.store import open_store
cache = AnswerCache(open_store(sys.argv[1]))
for number in range(100000):
    cache.put(f"key {number}", b"x" * 3000)
    cache.flush()
    print(number, flush=True)
"""


@pytest.fixture
def rows(store: Store) -> CachedAnswers:
    return CachedAnswers(store, entries=3, ttl_s=100)


def keys(store: Store) -> list[str]:
    with store.read() as connection:
        return sorted(connection.scalars(select(cached_answers.c.key)))


def write(rows: CachedAnswers, key: str, at: float = NOW, value: bytes = b"v") -> None:
    rows.write(at, NOTHING, {}, [CachedAnswer(key, value, at)])


def spoil(store: Store, **values: object) -> None:
    with store.write() as connection:
        assert connection.execute(update(cached_answers).values(values)).rowcount == 1


def test_a_row_comes_back_as_it_was_written(rows: CachedAnswers) -> None:
    for value in (b"", b"\x00\xff", "é".encode() * 100_000):
        write(rows, "k", value=value)
        assert rows.get("k").answer == CachedAnswer("k", value, NOW)
    assert rows.get("other").answer is None


def test_the_rows_unused_longest_are_dropped_not_the_oldest(
    store: Store, rows: CachedAnswers
) -> None:
    for number in range(3):
        write(rows, str(number), NOW + number)
    rows.write(NOW + 3, NOTHING, {"0": NOW + 3}, [CachedAnswer("3", b"v", NOW + 3)])
    assert keys(store) == ["0", "2", "3"]


def test_an_earlier_use_does_not_undo_a_later_one(store: Store, rows: CachedAnswers) -> None:
    for number in range(3):
        write(rows, str(number), NOW + number)
    rows.write(NOW + 9, NOTHING, {"0": NOW + 9})
    rows.write(NOW + 9, NOTHING, {"0": NOW - 9})
    write(rows, "3", NOW + 10)
    assert keys(store) == ["0", "2", "3"]


def test_rows_that_are_too_old_are_removed_by_the_next_write(
    store: Store, rows: CachedAnswers
) -> None:
    write(rows, "old", NOW)
    write(rows, "young", NOW + 1)
    rows.write(NOW + 100, NOTHING, {})
    assert keys(store) == ["young"]


def test_rows_that_a_wrong_clock_dated_to_the_future_are_removed(
    store: Store, rows: CachedAnswers
) -> None:
    write(rows, "future", NOW + 1000)
    rows.write(NOW, NOTHING, {})
    assert keys(store) == []


@pytest.mark.parametrize(
    "damage", [{"value": b"other"}, {"value": b""}, {"checksum": "0" * 32}, {"key": "moved"}]
)
def test_a_damaged_row_is_a_miss_and_is_healed_by_the_next_write(
    store: Store, rows: CachedAnswers, damage: dict[str, object]
) -> None:
    write(rows, "k")
    spoil(store, **damage)
    assert rows.get("k").answer is None
    assert rows.get("moved").answer is None
    write(rows, "k", value=b"new")
    assert rows.get("k").answer == CachedAnswer("k", b"new", NOW)


@pytest.mark.parametrize("column", ["value", "checksum", "created_at"])
@pytest.mark.parametrize("junk", ["'junk'", "7", "x'ff'"])
def test_sqlite_values_of_a_wrong_type_are_a_miss(sqlite_url: str, column: str, junk: str) -> None:
    with closing(open_store(sqlite_url)) as store:
        rows = CachedAnswers(store, entries=3, ttl_s=100)
        write(rows, "k")
        with store.write() as connection:
            connection.execute(text(f"UPDATE cached_answers SET {column} = {junk}"))
        assert rows.get("k").answer is None
        write(rows, "k")
        assert rows.get("k").answer is not None


def test_clearing_removes_all_rows_keeps_the_counts_and_is_noticed(
    store: Store, rows: CachedAnswers
) -> None:
    before = rows.write(NOW, Counts(1, 2, 3, 0.5), {}, [CachedAnswer("a", b"12", NOW)])
    write(rows, "b")
    assert rows.clear() == (2, before + 1)
    assert keys(store) == []
    assert rows.get("a").clears == before + 1
    stats = rows.stats()
    assert (stats.entries, stats.bytes) == (0, 0)
    assert (stats.hits, stats.misses, stats.saved_tokens, stats.saved_usd) == (1, 2, 3, 0.5)


def test_savings_without_a_price_are_null_and_not_zero(rows: CachedAnswers) -> None:
    rows.write(NOW, Counts(saved_tokens=5), {})
    assert rows.stats().saved_usd is None
    rows.write(NOW, Counts(saved_usd=0.25), {})
    rows.write(NOW, Counts(saved_tokens=5), {})
    assert (rows.stats().saved_tokens, rows.stats().saved_usd) == (10, 0.25)


def test_entries_and_bytes_are_what_is_kept(rows: CachedAnswers) -> None:
    for number in range(5):
        write(rows, str(number), NOW + number, b"x" * 10)
    assert (rows.stats().entries, rows.stats().bytes) == (3, 30)


def test_a_cache_finds_its_answers_and_counts_after_a_restart(
    store: Store, database_url: str
) -> None:
    first = AnswerCache(store)
    first.put("k", b"answer")
    first.put("empty", b"")
    assert first.get("k") == b"answer"
    first.record_saving(7, None)
    first.flush()
    with closing(open_store(database_url)) as again:
        second = AnswerCache(again)
        assert second.get("k") == b"answer"
        assert second.get("empty") == b""
        assert second.get("never") is None
        stats = second.stats()
    assert (stats.entries, stats.bytes) == (2, 6)
    assert (stats.hits, stats.misses, stats.saved_tokens, stats.saved_usd) == (3, 1, 7, None)


def test_answers_that_were_written_survive_kill_9(database_url: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, database_url],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(20)]
    process.kill()
    rest = process.stdout.read()
    process.wait()
    process.stdout.close()
    done = ("".join(lines) + rest).split("\n")[:-1]
    assert len(done) >= 20
    with closing(open_store(database_url)) as store:
        cache = AnswerCache(store)
        assert [n for n in done if cache.get(f"key {n}") != b"x" * 3000] == []


def test_what_one_process_clears_another_forgets_at_its_next_look(
    store: Store, database_url: str
) -> None:
    cache = AnswerCache(store)
    cache.put("k", b"answer")
    cache.flush()
    with closing(open_store(database_url)) as other_store:
        other = AnswerCache(other_store)
        assert other.clear() == 1
        assert cache.get("k") == b"answer"
        assert cache.get("never") is None
        assert cache.get("k") is None
        cache.put("k", b"new")
        cache.flush()
        assert other.get("k") == b"new"


def test_uses_are_written_in_batches_though_nothing_new_is_stored(store: Store) -> None:
    now = [NOW]
    rows = CachedAnswers(store, entries=BATCH, ttl_s=100)
    for number in range(BATCH):
        write(rows, str(number))
    now[0] += 1
    reader = AnswerCache(store, clock=lambda: now[0])
    later = select(func.count()).where(cached_answers.c.used_at > cached_answers.c.created_at)
    for number in range(BATCH):
        if number in (1, BATCH - 1):
            with store.read() as connection:
                assert connection.scalar(later) == 0
        assert reader.get(str(number)) == b"v"
    written, patience = 0, time.monotonic() + 30
    while written < BATCH and time.monotonic() < patience:
        with store.read() as connection:
            written = connection.scalar(later)
    assert written == BATCH


def test_processes_that_write_at_once_do_not_block_each_other_in_a_circle(
    store: Store, database_url: str
) -> None:
    with closing(open_store(database_url)) as second, closing(open_store(database_url)) as third:
        caches = [AnswerCache(each, entries=20) for each in (store, second, third)]

        def work(number: int) -> None:
            cache = caches[number % 3]
            for step in range(30):
                key = str((number * 7 + step * 3) % 40)
                if cache.get(key) is None:
                    cache.put(key, key.encode())
                assert cache.get(key) in (key.encode(), None)

        with ThreadPoolExecutor(6) as threads:
            list(threads.map(work, range(6)))
        for cache in caches:
            cache.flush()
        stats = caches[0].stats()
    assert stats.entries <= 20
    assert stats.hits + stats.misses == 6 * 30 * 2
