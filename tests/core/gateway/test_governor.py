"""Reserving, settling and learning, on a real database and a clock that tests move."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from core.catalog import Quota
from core.errors import InputError, UnavailableError
from core.gateway import turns
from core.gateway.buckets import spoken
from core.gateway.governor import Governor, Reservation, Wait, Waiting
from core.gateway.limit_notice import BucketReading, LimitNotice, read_notice
from core.store import Store, open_store
from tests.limited_provider import VirtualClock

KEY = "groq/llama"
QUOTAS = {
    "minute": Quota(requests_per_minute=30),
    "day": Quota(requests_per_day=1000),
    "tokens": Quota(tokens_per_minute=6000),
    "all": Quota(30, 1000, 12_000, 100_000),
    "two": Quota(concurrent=2),
    "none": Quota(),
}
OK = LimitNotice(None, False, False, None, ())


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/budgets.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(open_store(url)) as opened:
        yield opened


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def governor(store: Store, clock: VirtualClock) -> Governor:
    return Governor(store, QUOTAS, clock=clock, pause=clock.pause)


def taken(outcome: Reservation | Wait) -> Reservation:
    assert isinstance(outcome, Reservation), outcome
    return outcome


def refused(outcome: Reservation | Wait) -> Wait:
    assert isinstance(outcome, Wait), outcome
    return outcome


def used(governor: Governor, *quotas: str) -> list[float]:
    return [bucket.used for bucket in governor.state(KEY, quotas).buckets]


def reading(limit: float, used: float | None, requested: float | None = None) -> BucketReading:
    return BucketReading("tokens", 86_400.0, limit, used, requested)


def told(*buckets: BucketReading) -> LimitNotice:
    return LimitNotice(None, False, False, None, buckets)


def limited(seconds: float | None = None, said: BucketReading | None = None) -> LimitNotice:
    return LimitNotice(seconds, False, False, said, (), is_refused=True)


def test_a_bucket_refills_continuously_and_the_wait_follows_the_law(
    governor: Governor, clock: VirtualClock
) -> None:
    taken(governor.reserve(KEY, ["tokens"], 5034))
    wait = refused(governor.reserve(KEY, ["tokens"], 1443))
    assert wait.seconds == pytest.approx(4.77, abs=1e-5)
    assert wait.until == pytest.approx(clock.now + 4.77, abs=1e-5)
    assert not wait.is_day
    assert governor.expected_wait(KEY, ["tokens"], 1443) == wait.seconds
    assert wait.reason == (
        "tokens: 5,034 of 6,000 tokens a minute are used and 1,443 are needed; try again in 5 s"
    )
    clock.advance(wait.seconds)
    taken(governor.reserve(KEY, ["tokens"], 1443))


def test_a_reservation_takes_from_all_buckets_or_from_none(governor: Governor) -> None:
    taken(governor.reserve(KEY, ["all"], 12_000))
    before = used(governor, "minute", "all")
    refused(governor.reserve(KEY, ["minute", "all"], 12_000))
    assert used(governor, "minute", "all") == before


def test_the_days_limit_says_when_to_come_back(governor: Governor) -> None:
    for _ in range(1000):
        taken(governor.reserve(KEY, ["day"], 1))
    wait = refused(governor.reserve(KEY, ["day"], 1))
    assert wait.is_day
    assert wait.seconds == pytest.approx(86.4, abs=1e-4)
    assert wait.reason == "day: 1,000 requests a day are used up; try again in 87 s"


def test_the_daily_total_is_reset_by_time(governor: Governor, clock: VirtualClock) -> None:
    """Trap: the daily total never reset."""
    for _ in range(1000):
        taken(governor.reserve(KEY, ["day"], 1))
    clock.advance(43_200)
    assert used(governor, "day") == [pytest.approx(500)]
    clock.advance(43_200)
    assert used(governor, "day") == [0.0]
    for _ in range(1000):
        taken(governor.reserve(KEY, ["day"], 1))
    refused(governor.reserve(KEY, ["day"], 1))


def test_a_first_request_over_the_ceiling_is_refused_and_not_waited_for(governor: Governor) -> None:
    """Trap: a first request over the ceiling crashed."""
    with pytest.raises(InputError, match=r"may use 6,001 tokens, but tokens allows at most 6,000"):
        governor.reserve(KEY, ["tokens"], 6001)
    assert governor.expected_wait(KEY, ["tokens"], 6001) == math.inf
    taken(governor.reserve(KEY, ["tokens"], 6000))


def test_the_estimate_is_settled_against_the_real_usage(governor: Governor) -> None:
    """Trap: the estimate was never settled."""
    reservation = taken(governor.reserve(KEY, ["tokens"], 5000))
    governor.settle(reservation, 700)
    assert used(governor, "tokens") == [700]
    more = taken(governor.reserve(KEY, ["tokens"], 100))
    governor.settle(more, 900)
    assert used(governor, "tokens") == [1600]
    kept = taken(governor.reserve(KEY, ["tokens"], 400))
    governor.settle(kept, None)
    assert used(governor, "tokens") == [2000]


def test_a_call_is_settled_once(governor: Governor) -> None:
    reservation = taken(governor.reserve(KEY, ["tokens", "two"], 5000))
    governor.settle(reservation, 4000)
    governor.settle(reservation, 0)
    governor.release(reservation, was_sent=False)
    assert used(governor, "tokens") == [4000]
    taken(governor.reserve(KEY, ["two"], 1))
    taken(governor.reserve(KEY, ["two"], 1))
    refused(governor.reserve(KEY, ["two"], 1))


def test_what_has_drained_since_is_not_given_back_twice(
    governor: Governor, clock: VirtualClock
) -> None:
    early = taken(governor.reserve(KEY, ["tokens"], 1000))
    clock.advance(10)
    assert used(governor, "tokens") == [0.0]
    taken(governor.reserve(KEY, ["tokens"], 500))
    governor.settle(early, 0)
    assert used(governor, "tokens") == [500]


@pytest.mark.parametrize(("was_sent", "requests"), [(True, 1.0), (False, 0.0)])
def test_a_failed_call_gives_its_tokens_back_but_stays_a_request_if_sent(
    governor: Governor, was_sent: bool, requests: float
) -> None:
    reservation = taken(governor.reserve(KEY, ["all"], 5000))
    governor.release(reservation, was_sent=was_sent)
    left = {(b.unit, b.period): b.used for b in governor.state(KEY, ["all"]).buckets}
    assert left == {
        ("requests", "minute"): requests,
        ("requests", "day"): requests,
        ("tokens", "minute"): 0.0,
        ("tokens", "day"): 0.0,
    }


def test_a_restart_remembers_what_was_used_and_what_was_closed(
    store: Store, url: str, clock: VirtualClock
) -> None:
    first = Governor(store, QUOTAS, clock=clock)
    for _ in range(1000):
        taken(first.reserve(KEY, ["day"], 1))
    first.learn("other", limited(300.0))
    with closing(open_store(url)) as again:
        second = Governor(again, QUOTAS, clock=clock)
        assert refused(second.reserve(KEY, ["day"], 1)).is_day
        assert refused(second.reserve("other", [], 1)).seconds == 300.0


def test_places_are_counted_for_calls_that_run_at_the_same_time(governor: Governor) -> None:
    one, two = (taken(governor.reserve(KEY, ["two"], 1)) for _ in range(2))
    wait = refused(governor.reserve(KEY, ["two"], 1))
    assert wait.reason == ("two: all places for calls at the same time are taken; try again in 1 s")
    governor.settle(one, 1)
    three = taken(governor.reserve(KEY, ["two"], 1))
    governor.release(two, was_sent=False)
    governor.release(three, was_sent=True)
    taken(governor.reserve(KEY, ["two"], 1))


def test_a_refused_reservation_keeps_no_place(governor: Governor) -> None:
    taken(governor.reserve(KEY, ["tokens"], 6000))
    for _ in range(5):
        refused(governor.reserve(KEY, ["two", "tokens"], 10))
        with pytest.raises(InputError):
            governor.reserve(KEY, ["two", "tokens"], 6001)
    taken(governor.reserve(KEY, ["two"], 1))


def test_a_429_closes_the_model_until_its_stated_time(
    governor: Governor, clock: VirtualClock
) -> None:
    governor.learn(KEY, limited(0.45))
    wait = refused(governor.reserve(KEY, [], 1))
    assert wait.seconds == pytest.approx(0.45)
    assert governor.state(KEY, []).closed_until == pytest.approx(clock.now + 0.45)
    governor.learn(KEY, limited(0.1))
    assert governor.expected_wait(KEY, [], 1) == pytest.approx(0.45)
    clock.advance(0.44)
    refused(governor.reserve(KEY, [], 1))
    clock.advance(0.011)
    taken(governor.reserve(KEY, [], 1))
    assert governor.state(KEY, []).closed_until is None


def test_one_429_resynchronises_the_ledger(governor: Governor, clock: VirtualClock) -> None:
    governor.learn(KEY, limited(578.016, reading(100_000, 97_050, 3619)))
    assert used(governor) == [97_050]
    clock.advance(578.1)
    taken(governor.reserve(KEY, [], 3619))
    wait = refused(governor.reserve(KEY, [], 3619))
    assert wait.is_day
    assert wait.seconds == pytest.approx(3619 * 0.864, rel=1e-3)
    with pytest.raises(InputError, match="groq/llama allows at most 100,000 a day"):
        governor.reserve(KEY, [], 100_001)


def test_a_429_without_a_wait_but_with_numbers_closes_by_the_law(governor: Governor) -> None:
    governor.learn(KEY, limited(None, reading(100_000, 97_050, 3619)))
    assert governor.expected_wait(KEY, [], 1) == pytest.approx(578.016)


def test_a_429_without_a_hint_closes_for_a_growing_bounded_time_until_a_success(
    governor: Governor, clock: VirtualClock
) -> None:
    waits = []
    for _ in range(9):
        governor.learn(KEY, limited())
        governor.learn(KEY, limited())  # a second one of the same moment
        waits.append(governor.expected_wait(KEY, [], 1))
        clock.advance(waits[-1] + 0.001)
    assert [round(wait) for wait in waits] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    governor.settle(taken(governor.reserve(KEY, [], 1)), 1)
    governor.learn(KEY, limited())
    assert governor.expected_wait(KEY, [], 1) == pytest.approx(1.0)


def test_a_429_that_says_wait_zero_does_not_make_a_loop(governor: Governor) -> None:
    governor.learn(KEY, limited(0.0))
    assert governor.expected_wait(KEY, [], 1) == pytest.approx(1.0)


def test_no_credit_stops_the_model_until_a_person_acts(
    governor: Governor, clock: VirtualClock
) -> None:
    governor.learn(KEY, read_notice(429, {}, {"error": {"code": "insufficient_quota"}}, clock()))
    clock.advance(10 * 86_400)
    with pytest.raises(UnavailableError, match="no quota or credit") as caught:
        governor.reserve(KEY, [], 1)
    assert caught.value.failure == "quota"
    assert governor.state(KEY, []).is_dead
    assert governor.expected_wait(KEY, [], 1) == math.inf
    governor.learn(KEY, limited(1.0))
    assert governor.state(KEY, []).is_dead
    governor.revive(KEY)
    taken(governor.reserve(KEY, [], 1))
    assert not governor.state(KEY, []).is_dead


def test_a_request_that_is_too_large_does_not_stop_the_model_for_others(
    governor: Governor, clock: VirtualClock
) -> None:
    text = "Request too large for m on tokens per minute (TPM): Limit 6000, Requested 12328, please"
    governor.learn(KEY, read_notice(413, {}, text, clock()))
    taken(governor.reserve(KEY, [], 6000))
    with pytest.raises(InputError, match="at most 6,000 a minute"):
        governor.reserve(KEY, [], 6001)


def test_headers_of_answers_teach_the_limits(governor: Governor) -> None:
    reservation = taken(governor.reserve(KEY, [], 100))
    governor.learn(KEY, told(reading(1000, 900)), reservation)
    governor.settle(reservation, 100)
    assert used(governor) == [900]
    assert refused(governor.reserve(KEY, [], 200)).is_day


def test_what_the_server_counted_is_not_taken_back(governor: Governor) -> None:
    governor.learn(KEY, told(reading(10_000, 0)))
    reservation = taken(governor.reserve(KEY, [], 1000))
    governor.learn(KEY, told(reading(10_000, 1200)), reservation)
    governor.settle(reservation, 50)
    assert used(governor) == [1200]


def test_the_ledger_is_lowered_only_when_no_call_can_be_missing_in_the_servers_count(
    governor: Governor,
) -> None:
    governor.learn(KEY, told(reading(10_000, 0)))
    one, two = (taken(governor.reserve(KEY, [], 1000)) for _ in range(2))
    governor.learn(KEY, told(reading(10_000, 300)), one)
    assert used(governor) == [2000]
    governor.settle(one, 1000)
    governor.learn(KEY, told(reading(10_000, 600)), two)
    assert used(governor) == [600]
    governor.settle(two, 10)
    assert used(governor) == [600]


def test_learned_limits_are_forgotten_when_the_server_is_silent_for_a_week(
    governor: Governor, clock: VirtualClock
) -> None:
    governor.learn(KEY, told(reading(1000, 1000)))
    clock.advance(6 * 86_400)
    assert len(governor.state(KEY, []).buckets) == 1
    clock.advance(86_401)
    assert governor.state(KEY, []).buckets == ()


def test_the_state_is_for_display(governor: Governor) -> None:
    governor.settle(taken(governor.reserve(KEY, ["all"], 600)), 600)
    state = governor.state(KEY, ["all"])
    assert (state.closed_until, state.is_dead, state.reason) == (None, False, "")
    bucket = state.buckets[2]
    assert (bucket.name, bucket.unit, bucket.period) == ("all", "tokens", "minute")
    assert (bucket.limit, bucket.used, bucket.left) == (12_000, 600, 11_400)
    assert bucket.refill_s == pytest.approx(3.0)


def test_unknown_quotas_and_negative_tokens_are_refused(governor: Governor) -> None:
    with pytest.raises(InputError, match="no quota named 'x'; choose one of: minute, day"):
        governor.reserve(KEY, ["x"], 1)
    with pytest.raises(InputError, match="tokens must be 0 or more"):
        governor.reserve(KEY, [], -1)


@pytest.mark.parametrize("quotas", [[], ["none"], ["two"]])
def test_a_model_without_limits_costs_no_statement(
    governor: Governor, store: Store, quotas: list[str]
) -> None:
    governor.settle(taken(governor.reserve(KEY, quotas, 10)), 10)
    statements: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *all: statements.append(all[2]))
    began = time.process_time()
    for _ in range(2000):
        governor.settle(taken(governor.reserve(KEY, quotas, 10)), 10)
    assert statements == []
    assert (time.process_time() - began) / 2000 < 50e-6


def test_a_limit_learned_by_another_process_is_seen_within_a_second(
    store: Store, url: str, clock: VirtualClock
) -> None:
    here = Governor(store, {}, clock=clock)
    taken(here.reserve(KEY, [], 1))
    with closing(open_store(url)) as other:
        Governor(other, {}, clock=clock).learn(KEY, limited(60.0))
    clock.advance(1.0)
    assert refused(here.reserve(KEY, [], 1)).seconds == pytest.approx(59.0)
    clock.advance(60.0)
    taken(here.reserve(KEY, [], 1))


def test_a_clock_that_jumps_back_neither_refills_nor_blocks(
    governor: Governor, clock: VirtualClock
) -> None:
    taken(governor.reserve(KEY, ["tokens"], 6000))
    governor.learn("far", limited(3600.0))
    clock.advance(-365 * 86_400)
    assert refused(governor.reserve(KEY, ["tokens"], 600)).seconds == pytest.approx(6, abs=1e-3)
    taken(governor.reserve(KEY, ["tokens"], 0))
    clock.advance(6.1)
    taken(governor.reserve(KEY, ["tokens"], 600))
    taken(governor.reserve("far", [], 1))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.01, "1 s"),
        (11.2, "12 s"),
        (90, "90 s"),
        (91, "2 min"),
        (840, "14 min"),
        (7200, "2 h"),
        (12_000, "3 h 20 min"),
        (math.inf, "an unknown time"),
    ],
)
def test_times_are_spoken(seconds: float, text: str) -> None:
    assert spoken(seconds) == text


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 6000), st.floats(0, 30), st.integers(0, 6000)), max_size=25)
)
def test_never_more_than_the_limit_in_any_window(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[int, float, int]]
) -> None:
    """Whatever is asked when: what was granted fits the bucket that the law describes."""
    clock, sent = VirtualClock(), list[tuple[float, int]]()
    folder = tmp_path_factory.mktemp("law")
    with closing(open_store(f"sqlite:///{folder}/b.db")) as store:
        governor = Governor(store, QUOTAS, clock=clock)
        for tokens, pause, real in calls:
            outcome = governor.reserve(KEY, ["tokens"], tokens)
            if isinstance(outcome, Wait):
                clock.advance(outcome.seconds)
                outcome = governor.reserve(KEY, ["tokens"], tokens)
            real = min(real, tokens)
            sent.append((clock.now, real))
            clock.advance(pause)
            governor.settle(taken(outcome), real)
    level, at = 0.0, 0.0
    for moment, tokens in sent:
        level = max(0.0, level - (moment - at) * 100) + tokens
        at = moment
        assert level <= 6000 + 1e-3


class Asked:
    """What a queue told its caller."""

    def __init__(self, patience_s: float) -> None:
        self.told: list[tuple[int, float]] = []
        self.is_queued = threading.Event()
        self.waiting = Waiting(patience_s, threading.Event(), self._note)

    def _note(self, position: int, seconds: float) -> None:
        self.told.append((position, seconds))
        self.is_queued.set()


def test_a_short_wait_is_waited_and_told(governor: Governor, clock: VirtualClock) -> None:
    taken(governor.reserve(KEY, ["tokens"], 6000))
    asked, began = Asked(8.0), clock.now
    taken(governor.turn(KEY, ["tokens"], 500, asked.waiting))
    assert clock.now - began == pytest.approx(5.0, abs=0.01)
    positions, seconds = zip(*asked.told, strict=True)
    assert set(positions) == {1}
    assert seconds[0] == pytest.approx(5.0, abs=1e-4)
    assert list(seconds) == sorted(seconds, reverse=True)
    assert len(seconds) <= 7


def test_a_wait_beyond_patience_is_returned_at_once(
    governor: Governor, clock: VirtualClock
) -> None:
    taken(governor.reserve(KEY, ["tokens"], 6000))
    asked, began = Asked(4.0), clock.now
    wait = refused(governor.turn(KEY, ["tokens"], 500, asked.waiting))
    assert wait.seconds == pytest.approx(5.0, abs=1e-4)
    assert (clock.now, asked.told) == (began, [])


def test_a_day_limit_is_not_waited_for_and_never_looped_on(
    governor: Governor, clock: VirtualClock
) -> None:
    """Trap: a day-limit 429 looped for ever."""
    governor.learn(KEY, limited(432.5, reading(100_000, 100_000, 500)))
    asked = Asked(60.0)
    for _ in range(100):
        assert refused(governor.turn(KEY, [], 500, asked.waiting)).seconds > 400
    assert asked.told == []


def test_patience_ends_although_the_budget_never_comes(
    governor: Governor, clock: VirtualClock
) -> None:
    places = [taken(governor.reserve(KEY, ["two"], 1)) for _ in range(2)]
    asked, began = Asked(3.0), clock.now
    refused(governor.turn(KEY, ["two"], 1, asked.waiting))
    assert clock.now - began <= 3.0 + 0.01
    assert 1 <= len(asked.told) <= 10
    assert len(places) == 2


def test_a_call_that_is_too_large_leaves_the_queue(governor: Governor) -> None:
    for _ in range(3):
        with pytest.raises(InputError):
            governor.turn(KEY, ["tokens"], 6001, Asked(1.0).waiting)
    taken(governor.turn(KEY, ["tokens"], 6000, Asked(0.0).waiting))


def test_first_come_is_first_served(store: Store) -> None:
    governor = Governor(store, QUOTAS)
    running = [taken(governor.reserve(KEY, ["two"], 1)) for _ in range(2)]
    served: list[int] = []
    lock = threading.Lock()
    callers = [Asked(60.0) for _ in range(8)]

    def call(number: int) -> None:
        reservation = taken(governor.turn(KEY, ["two"], 1, callers[number].waiting))
        with lock:
            served.append(number)
        governor.settle(reservation, 1)

    threads = []
    for number, asked in enumerate(callers):
        threads.append(threading.Thread(target=call, args=(number,)))
        threads[-1].start()
        assert asked.is_queued.wait(20)
        assert asked.told[0][0] == number + 1
    governor.settle(running[0], 1)
    for thread in threads:
        thread.join(20)
    assert served == list(range(8))


def test_a_waiting_call_can_be_cancelled_and_frees_its_place_in_the_queue(store: Store) -> None:
    governor = Governor(store, QUOTAS)
    running = [taken(governor.reserve(KEY, ["two"], 1)) for _ in range(2)]
    first, second = Asked(600.0), Asked(600.0)
    outcomes: dict[str, Reservation | Wait] = {}

    def call(name: str, asked: Asked) -> None:
        outcomes[name] = governor.turn(KEY, ["two"], 1, asked.waiting)

    threads = [
        threading.Thread(target=call, args=(name, asked))
        for name, asked in (("first", first), ("second", second))
    ]
    for thread, asked in zip(threads, (first, second), strict=True):
        thread.start()
        assert asked.is_queued.wait(20)
    first.waiting.cancel.set()
    threads[0].join(20)
    assert isinstance(outcomes["first"], Wait)
    governor.settle(running[0], 1)
    threads[1].join(20)
    assert isinstance(outcomes["second"], Reservation)


def test_a_queue_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MAX_WAITING", 1)
    governor = Governor(store, QUOTAS)
    running = [taken(governor.reserve(KEY, ["two"], 1)) for _ in range(2)]
    first, second = Asked(60.0), Asked(60.0)
    outcomes = list[Reservation | Wait]()

    def call() -> None:
        outcomes.append(governor.turn(KEY, ["two"], 1, first.waiting))

    thread = threading.Thread(target=call)
    thread.start()
    assert first.is_queued.wait(20)
    refused(governor.turn(KEY, ["two"], 1, second.waiting))
    assert second.told == []
    governor.settle(running[0], 1)
    thread.join(20)
    assert isinstance(outcomes[0], Reservation)
