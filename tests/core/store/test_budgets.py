"""Budgets and closures as each database keeps them."""

import threading
from contextlib import closing
from dataclasses import replace

import pytest

from core.catalog import Quota
from core.gateway.governor import Governor, Reservation
from core.store import Store, open_store
from core.store.budgets import BucketId, Budgets, Closure, StoredBucket
from tests.limited_provider import VirtualClock

ID = BucketId("quota:groq", "tokens", 86_400.0)
BUCKET = StoredBucket(ID, 100_000.0, 97_050.25, 1_790_000_000.123456, 41, None)
CLOSURE = Closure("m", 1_790_000_578.016, True, False, 3, "m: its provider asks to wait")


@pytest.fixture
def budgets(store: Store) -> Budgets:
    return Budgets(store)


def test_what_was_put_is_read_by_another_process(budgets: Budgets, database_url: str) -> None:
    other = replace(BUCKET, id=BucketId("model:m", "requests", 60.0), synced_at=1.5)
    with budgets.change() as rows:
        rows.put([BUCKET, other])
        rows.put_closure(CLOSURE)
    with closing(open_store(database_url)) as again, Budgets(again).read() as rows:
        assert rows.buckets(["quota:groq", "model:m", "x"]) == {ID: BUCKET, other.id: other}
        assert rows.buckets(["quota:groq"]) == {ID: BUCKET}
        assert rows.closure("m") == CLOSURE
        assert rows.closure("x") is None


def test_putting_replaces_and_creating_does_not(budgets: Budgets) -> None:
    newer = replace(BUCKET, used=1.0, serial=42, synced_at=2.0, limit=5.0)
    with budgets.change() as rows:
        rows.put([BUCKET])
        rows.create([newer])
        assert rows.buckets([ID.owner]) == {ID: BUCKET}
        rows.put([newer])
        rows.put([])
        assert rows.buckets([ID.owner]) == {ID: newer}
        rows.put_closure(CLOSURE)
        rows.put_closure(replace(CLOSURE, is_dead=True, strikes=0))
        assert rows.closure("m") == replace(CLOSURE, is_dead=True, strikes=0)


def test_forgetting_leaves_others_alone(budgets: Budgets) -> None:
    learned = replace(BUCKET, id=BucketId("model:m", "tokens", 60.0))
    with budgets.change() as rows:
        rows.put([BUCKET, learned])
        rows.put_closure(CLOSURE)
        rows.put_closure(replace(CLOSURE, key="n"))
        rows.forget("model:m", "m")
    with budgets.read() as rows:
        assert rows.buckets([ID.owner, "model:m"]) == {ID: BUCKET}
        assert rows.closure("m") is None
        assert rows.closure("n") == replace(CLOSURE, key="n")


def test_a_change_that_fails_leaves_nothing(budgets: Budgets) -> None:
    def change() -> None:
        with budgets.change() as rows:
            rows.put([BUCKET])
            raise KeyError

    with pytest.raises(KeyError):
        change()
    with budgets.read() as rows:
        assert rows.buckets([ID.owner]) == {}


def test_threads_of_two_processes_never_grant_more_than_the_limit(database_url: str) -> None:
    clock, granted = VirtualClock(), list[int]()
    quotas = {"small": Quota(requests_per_day=50, tokens_per_day=5000)}
    with closing(open_store(database_url)) as one, closing(open_store(database_url)) as two:
        governors = [Governor(store, quotas, clock=clock) for store in (one, two)]

        def ask(governor: Governor) -> None:
            for _ in range(15):
                outcome = governor.reserve("m", ["small"], 10)
                if isinstance(outcome, Reservation):
                    granted.append(outcome.id)
                    governor.settle(outcome, 5)

        threads = [threading.Thread(target=ask, args=(g,)) for g in governors for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        left = {each.unit: each.used for each in governors[0].state("m", ["small"]).buckets}
    assert len(granted) == 50
    assert left == {"requests": 50, "tokens": 250}
