"""When a run waits for its model, when it goes on, and when it gives up."""

import pytest

from core.catalog import ModelEntry, Target
from core.errors import GenerationError, InputError, RateLimitError, UnavailableError
from core.gateway.attempt import SkippedError
from core.gateway.breaker import Breaker
from core.providers.base import failed
from evals.health import (
    LIMIT_PATIENCE_S,
    MAX_FAILURES,
    PATIENCE_S,
    Advice,
    Health,
)

FAR = Target("far", "far", ModelEntry(provider="endpoint", context=100))
GO_ON = Advice()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(clock)


@pytest.fixture
def health(breaker, clock):
    return Health(breaker, FAR, clock)


def connection() -> Exception:
    return failed(UnavailableError("'far' is out of reach"), "connection")


def opened(breaker: Breaker) -> SkippedError:
    for _ in range(3):
        breaker.failure("far", "overloaded")
    return SkippedError("far: it failed 3 times in a row")


def test_a_server_that_was_never_there_is_given_up_at_the_first_call(health):
    assert health.failed(connection()) == Advice(gives_up="'far' is out of reach")


def test_a_lost_connection_later_is_one_missing_answer(health):
    health.answered()
    assert health.failed(connection()) == GO_ON


@pytest.mark.parametrize("kind", ["auth", "quota", "rate_limit_day"])
def test_what_a_person_has_to_mend_ends_the_run(health, kind):
    health.answered()
    assert health.failed(failed(UnavailableError("mend it"), kind)).gives_up == "mend it"


def test_failures_in_a_row_end_the_run_and_an_answer_begins_the_count_anew(health):
    for _ in range(2):
        for _ in range(MAX_FAILURES - 1):
            assert health.failed(GenerationError("malformed")) == GO_ON
        health.answered()
    for _ in range(MAX_FAILURES - 1):
        health.failed(ValueError("a bug"))
    assert health.failed(GenerationError("malformed")).gives_up == "malformed"


def test_prompts_that_are_themselves_impossible_never_end_a_run(health):
    for _ in range(3 * MAX_FAILURES):
        assert health.failed(InputError("the prompt has 2000 tokens")) == GO_ON
        too_long = failed(InputError("too long"), "context_too_long")
        assert health.failed(too_long) == GO_ON


def test_an_open_breaker_of_a_model_that_has_answered_is_waited_for(health, breaker):
    health.answered()
    assert health.failed(opened(breaker)).wait_s == pytest.approx(5.0)


def test_an_open_breaker_of_a_model_that_never_answered_ends_the_run(health, breaker):
    health.failed(GenerationError("bad gateway"))
    found = health.failed(opened(breaker))
    assert found.gives_up == "far: it failed 3 times in a row; bad gateway"


def test_a_model_that_stays_away_is_given_up_after_the_patience(health, breaker, clock):
    health.answered()
    error = opened(breaker)
    waited, advice = 0.0, health.failed(error)
    while advice.wait_s is not None:
        waited += advice.wait_s
        clock.now += advice.wait_s
        if breaker.allow("far").is_allowed:
            breaker.failure("far", "overloaded")
        advice = health.failed(error)
    assert 5 <= waited <= PATIENCE_S
    assert advice.gives_up


def test_a_breaker_that_has_closed_meanwhile_means_ask_again(health):
    assert health.failed(SkippedError("open a moment ago")) == Advice(wait_s=0.0)


def test_a_dead_model_ends_the_run(health, breaker):
    health.answered()
    breaker.failure("far", "auth")
    assert health.failed(SkippedError("its key is refused")).gives_up == "its key is refused"


def test_a_limit_is_waited_for_as_long_as_it_says_within_reason(health, clock):
    limited = RateLimitError("at its limit", 20.0)
    assert health.failed(limited) == Advice(wait_s=20.0)
    assert health.failed(RateLimitError("at its limit")).wait_s == 5.0
    assert health.failed(RateLimitError("a long one", LIMIT_PATIENCE_S + 1)).gives_up
    clock.now += LIMIT_PATIENCE_S
    assert health.failed(limited).gives_up == "at its limit"
    health.answered()
    assert health.failed(limited) == Advice(wait_s=20.0)
