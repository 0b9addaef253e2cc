import threading
import time
from dataclasses import dataclass, field

import pytest

from core.errors import NotFoundError, UnavailableError
from core.pool import ModelPool


@dataclass
class Weights:
    size_bytes: int = 10
    closed: list[int] = field(default_factory=list)

    def close(self) -> None:
        self.closed.append(1)


def run_all(*targets) -> None:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_the_least_recently_used_goes_first():
    pool = ModelPool[Weights](30)
    models = {name: Weights() for name in "abcd"}
    for name in "abc":
        with pool.use(name, lambda name=name: models[name]):
            pass
    with pool.use("a", Weights):
        pass
    with pool.use("d", lambda: models["d"]):
        pass
    assert list(pool.sizes()) == ["c", "a", "d"]
    assert [name for name, model in models.items() if model.closed] == ["b"]
    assert models["b"].closed == [1]


def test_bytes_count_and_not_models():
    pool = ModelPool[Weights](30)
    for name in "abc":
        with pool.use(name, Weights):
            pass
    with pool.use("big", lambda: Weights(25)):
        pass
    assert pool.sizes() == {"big": 25}


def test_a_model_in_use_is_never_unloaded():
    pool = ModelPool[Weights](20)
    used = Weights()
    with pool.use("used", lambda: used):
        for name in "abc":
            with pool.use(name, Weights):
                pass
        with pytest.raises(UnavailableError, match="is generating"):
            pool.unload("used")
        assert list(pool.sizes()) == ["used", "c"]
    assert used.closed == []
    pool.unload("used")
    assert used.closed == [1]
    with pytest.raises(NotFoundError, match="'used' is not loaded"):
        pool.unload("used")


def test_what_can_not_fit_is_given_back_and_costs_nobody_else():
    pool = ModelPool[Weights](20)
    big = Weights(30)
    with pool.use("idle", Weights):
        pass
    with pytest.raises(UnavailableError, match="'big' does not fit.*raise loaded_gb"):
        pool.use("big", lambda: big).__enter__()
    assert big.closed == [1]
    assert pool.sizes() == {"idle": 10}


def test_what_is_larger_than_the_bound_is_never_read():
    pool, loads = ModelPool[Weights](20), []
    with pool.use("idle", Weights):
        pass
    with pytest.raises(UnavailableError, match="'big' does not fit with .* more.*raise loaded_gb"):
        pool.use("big", lambda: loads.append(1) or Weights(30), 30).__enter__()
    assert loads == []
    assert pool.sizes() == {"idle": 10}
    with pool.use("idle", Weights):
        pass


def test_room_is_made_before_a_load_begins():
    pool, old = ModelPool[Weights](20), Weights()
    with pool.use("old", lambda: old):
        pass

    def load() -> Weights:
        assert old.closed == [1]
        return Weights(15)

    with pool.use("new", load, 15):
        assert pool.sizes() == {"new": 15}


def test_two_loads_at_once_count_each_other():
    pool, begun, refused = ModelPool[Weights](25), threading.Event(), threading.Event()

    def load() -> Weights:
        begun.set()
        assert refused.wait(20)
        return Weights(15)

    def work() -> None:
        with pool.use("first", load, 15):
            pass

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(20)
    with pytest.raises(UnavailableError, match="'second' does not fit"):
        pool.use("second", Weights, 15).__enter__()
    with pool.use("small", Weights, 10):
        pass
    refused.set()
    thread.join(20)
    with pool.use("second", lambda: Weights(15), 15):
        assert pool.sizes() == {"small": 10, "second": 15}


def test_what_a_model_in_use_grows_by_is_made_room_for():
    pool, used = ModelPool[Weights](30), Weights()
    with pool.use("idle", Weights), pool.use("used", lambda: used):
        pass
    with pool.use("used", Weights):
        with pool.growing("used", 15):
            used.size_bytes += 15
            assert pool.sizes() == {"used": 25}
        with pytest.raises(UnavailableError, match="'used' does not fit"), pool.growing("used", 6):
            pass
        with pool.growing("used", 5):
            pass


def test_eight_threads_load_a_model_once():
    pool, loads, together = ModelPool[Weights](100), [], threading.Barrier(8)
    seen = set()

    def load():
        loads.append(1)
        time.sleep(0.05)
        return Weights()

    def work():
        together.wait(10)
        with pool.use("a", load) as model:
            seen.add(id(model))

    run_all(*[work] * 8)
    assert (len(loads), len(seen)) == (1, 1)


def test_two_models_load_side_by_side():
    pool, both = ModelPool[Weights](100), threading.Barrier(2, timeout=10)

    def load():
        both.wait()  # Breaks unless the other one loads at the same time.
        return Weights()

    def work(name):
        with pool.use(name, load):
            pass

    run_all(lambda: work("a"), lambda: work("b"))
    assert set(pool.sizes()) == {"a", "b"}


def test_a_failing_load_leaves_nothing_behind():
    pool = ModelPool[Weights](100)

    def fail():
        raise UnavailableError("damaged")

    for _ in range(2):
        with pytest.raises(UnavailableError, match="damaged"):
            pool.use("a", fail).__enter__()
    assert pool._slots == {}
    with pool.use("a", Weights):
        assert pool.sizes() == {"a": 10}


def test_an_error_of_the_user_frees_the_model():
    pool = ModelPool[Weights](100)
    with pytest.raises(KeyError), pool.use("a", Weights):
        raise KeyError
    pool.unload("a")


def test_random_use_stays_within_the_bound():
    pool = ModelPool[Weights](45)
    peaks = []

    def work(start):
        for step in range(40):
            try:
                with pool.use(f"m{(start + step * 7) % 9}", Weights) as model:
                    assert not model.closed
                    time.sleep(0.0002)
                    assert not model.closed
                peaks.append(sum(pool.sizes().values()))
            except UnavailableError:
                continue

    run_all(*[lambda n=n: work(n) for n in range(3)])
    # While one is being loaded it is counted in addition, until room is made.
    assert max(peaks) <= 45 + 3 * 10
    with pool.use("last", Weights):
        assert sum(pool.sizes().values()) <= 45


def test_closing_frees_everything():
    pool, models = ModelPool[Weights](100), [Weights(), Weights()]
    for number, model in enumerate(models):
        with pool.use(str(number), lambda model=model: model):
            pass
    pool.close()
    assert [model.closed for model in models] == [[1], [1]]
    assert pool.sizes() == {}


@dataclass
class Watched(Weights):
    gone: threading.Event = field(default_factory=threading.Event)

    def close(self) -> None:
        self.gone.set()


def test_a_model_that_nobody_uses_is_unloaded_and_loaded_again_when_asked_for():
    pool = ModelPool[Watched](100, idle_s=0.05)
    loaded = []

    def load() -> Watched:
        loaded.append(Watched())
        return loaded[-1]

    for count in (1, 2):
        with pool.use("a", load):
            assert len(loaded) == count
        assert loaded[-1].gone.wait(20)
        assert not pool.has("a")


def test_a_model_in_use_does_not_become_idle():
    pool = ModelPool[Watched](100, idle_s=0.05)
    used, idle = Watched(), Watched()
    with pool.use("used", lambda: used):
        with pool.use("idle", lambda: idle):
            pass
        assert idle.gone.wait(20)
        assert not used.gone.is_set()
    assert used.gone.wait(20)


def test_a_closed_pool_leaves_no_timer_behind():
    before = threading.active_count()
    pool = ModelPool[Watched](100, idle_s=3600)
    with pool.use("a", Watched):
        pass
    assert threading.active_count() == before + 1
    pool.close()
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(20)
    assert threading.active_count() == before
