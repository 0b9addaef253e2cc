"""Calls are kept away from models that fail, on a clock that the tests move."""

import threading

import pytest

from core.errors import FAILURE_KINDS, FailureKind
from core.gateway.breaker import COUNTED, FATAL, LIMITS, Breaker, BreakerState
from tests.limited_provider import VirtualClock

COUNTED_ALWAYS: list[FailureKind] = ["overloaded", "timeout", "connection", "malformed"]
NOT_THE_MODELS: list[FailureKind] = ["refused", "context_too_long", "content_filter"]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1000.0)


@pytest.fixture
def breaker(clock: VirtualClock) -> Breaker:
    return Breaker(clock)


def fail(breaker: Breaker, times: int, kind: FailureKind = "overloaded") -> None:
    for _ in range(times):
        breaker.failure("m", kind)


def test_every_kind_of_failure_has_its_meaning() -> None:
    assert {*COUNTED, *FATAL, *LIMITS, *NOT_THE_MODELS} == set(FAILURE_KINDS)


def test_an_unknown_model_is_closed_and_calls_pass(breaker: Breaker) -> None:
    assert breaker.allow("m") == BreakerState("closed", is_allowed=True)
    assert breaker.states() == {}


@pytest.mark.parametrize("kind", COUNTED_ALWAYS)
def test_three_failures_in_a_row_open_it(breaker: Breaker, kind: FailureKind) -> None:
    fail(breaker, 2, kind)
    assert breaker.allow("m").is_allowed
    fail(breaker, 1, kind)
    state = breaker.allow("m")
    assert (state.status, state.is_allowed, state.until) == ("open", False, 1005.0)
    assert state.reason == "m: it failed 3 times in a row; it is tried again in 5 s"
    assert breaker.states() == {"m": state}
    assert breaker.allow("other").is_allowed


def test_a_success_between_failures_starts_the_count_again(breaker: Breaker) -> None:
    for _ in range(5):
        fail(breaker, 2)
        breaker.success("m")
    assert breaker.allow("m").status == "closed"


def test_one_probe_goes_and_its_success_closes(breaker: Breaker, clock: VirtualClock) -> None:
    fail(breaker, 3)
    clock.advance(4.99)
    assert not breaker.allow("m").is_allowed
    clock.advance(0.01)
    assert breaker.states()["m"].status == "half_open"
    probe, second = breaker.allow("m"), breaker.allow("m")
    assert (probe.status, probe.is_allowed, probe.is_probe) == ("half_open", True, True)
    assert (second.status, second.is_allowed, second.is_probe) == ("half_open", False, False)
    breaker.success("m")
    assert breaker.allow("m") == BreakerState("closed", is_allowed=True)


def test_each_probe_that_fails_keeps_it_open_for_longer_up_to_a_minute(
    breaker: Breaker, clock: VirtualClock
) -> None:
    fail(breaker, 3)
    waits = []
    for _ in range(6):
        until = breaker.allow("m").until
        assert until is not None
        waits.append(until - clock.now)
        clock.advance(waits[-1])
        assert breaker.allow("m").is_probe
        fail(breaker, 1, "timeout")
    assert waits == [5, 10, 20, 40, 60, 60]
    clock.advance(60)
    assert breaker.allow("m").is_probe
    breaker.success("m")
    fail(breaker, 3)
    assert breaker.allow("m").until == clock.now + 5


def test_a_cancelled_probe_frees_its_place(breaker: Breaker, clock: VirtualClock) -> None:
    earlier = breaker.allow("m")
    fail(breaker, 3)
    clock.advance(5)
    probe = breaker.allow("m")
    breaker.cancel("m", earlier)
    assert not breaker.allow("m").is_allowed
    breaker.cancel("m", probe)
    assert breaker.allow("m").is_probe


def test_a_probe_that_nobody_reports_on_does_not_block_for_ever(
    breaker: Breaker, clock: VirtualClock
) -> None:
    fail(breaker, 3)
    clock.advance(5)
    assert breaker.allow("m").is_probe
    clock.advance(299)
    assert not breaker.allow("m").is_allowed
    clock.advance(1)
    assert breaker.allow("m").is_probe


def test_calls_that_began_before_it_opened_do_not_open_it_further(
    breaker: Breaker, clock: VirtualClock
) -> None:
    fail(breaker, 10)
    assert breaker.allow("m").until == clock.now + 5


@pytest.mark.parametrize("kind", NOT_THE_MODELS)
def test_a_request_that_is_itself_wrong_does_not_count(
    breaker: Breaker, clock: VirtualClock, kind: FailureKind
) -> None:
    fail(breaker, 10, kind)
    assert breaker.allow("m").status == "closed"
    fail(breaker, 3)
    fail(breaker, 1, kind)
    assert breaker.allow("m").status == "open"
    clock.advance(5)
    assert breaker.allow("m").is_probe
    fail(breaker, 1, kind)
    assert breaker.allow("m").status == "closed"


@pytest.mark.parametrize("kind", ["rate_limit_minute", "rate_limit_day"])
def test_a_rate_limit_closes_it_until_the_known_time_and_needs_no_probe(
    breaker: Breaker, clock: VirtualClock, kind: FailureKind
) -> None:
    breaker.failure("m", kind, 432.0)
    breaker.failure("m", kind, 1.0)
    breaker.success("m")
    state = breaker.allow("m")
    assert (state.status, state.is_allowed, state.until) == ("closed_until", False, 1432.0)
    assert state.reason == "m: its server asks to wait; try again in 8 min"
    clock.advance(432)
    assert breaker.allow("m") == BreakerState("closed", is_allowed=True)


def test_a_rate_limit_without_a_time_grows_and_is_bounded(
    breaker: Breaker, clock: VirtualClock
) -> None:
    waits = []
    for _ in range(8):
        fail(breaker, 20, "rate_limit_minute")
        until = breaker.allow("m").until
        assert until is not None
        waits.append(until - clock.now)
        clock.advance(waits[-1])
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_an_overloaded_server_that_names_a_time_is_left_alone_until_then(
    breaker: Breaker, clock: VirtualClock
) -> None:
    breaker.failure("m", "overloaded", 20.0)
    assert breaker.allow("m").status == "closed_until"
    clock.advance(20)
    assert breaker.allow("m").status == "closed"
    breaker.failure("m", "overloaded", 1e300)
    assert breaker.allow("m").until == clock.now + 32 * 86_400


@pytest.mark.parametrize("kind", ["auth", "quota"])
def test_a_dead_model_waits_for_a_person(
    breaker: Breaker, clock: VirtualClock, kind: FailureKind
) -> None:
    breaker.failure("m", kind, 5.0)
    clock.advance(1e9)
    breaker.success("m")
    breaker.failure("m", "overloaded")
    state = breaker.allow("m")
    assert (state.status, state.is_allowed, state.until) == ("dead", False, None)
    assert "then revive the model" in state.reason
    breaker.revive("m")
    assert breaker.allow("m").is_allowed


def test_threads_take_one_probe_together(breaker: Breaker, clock: VirtualClock) -> None:
    fail(breaker, 3)
    clock.advance(5)
    start, probes = threading.Barrier(16), list[bool]()

    def ask() -> None:
        start.wait(20)
        probes.append(breaker.allow("m").is_probe)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(probes) == [False] * 15 + [True]
