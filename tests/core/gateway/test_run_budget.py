"""A run ends for good when its tokens, its money or its time are used up."""

import math
import threading

import pytest

from core.errors import InputError, RateLimitError
from core.gateway.run_budget import RunBudget
from tests.limited_provider import VirtualClock


def test_a_budget_without_limits_never_ends() -> None:
    budget = RunBudget()
    budget.spend(10**9, None)
    budget.spend(None, 10**6)
    budget.check()


def test_tokens_end_a_run_for_good() -> None:
    budget = RunBudget(tokens=20_000)
    budget.spend(19_999, 0.0)
    budget.check()
    budget.spend(413, 0.0)
    for _ in range(2):
        with pytest.raises(RateLimitError) as caught:
            budget.check()
        assert str(caught.value) == (
            "the run's budget is used up: 20,412 of 20,000 tokens; "
            "start a new run with a larger one"
        )
        assert caught.value.retry_after_s is None


def test_money_ends_a_run() -> None:
    budget = RunBudget(usd=0.5)
    budget.spend(1, 0.49)
    budget.check()
    budget.spend(None, 0.01)
    with pytest.raises(RateLimitError, match=r"0\.5000 of 0\.5000 US dollars"):
        budget.check()


def test_time_ends_a_run_and_a_clock_that_goes_back_does_not_revive_it() -> None:
    clock = VirtualClock(100.0)
    budget = RunBudget(wall_s=60, clock=clock)
    clock.advance(59.9)
    budget.check()
    clock.advance(0.1)
    with pytest.raises(RateLimitError, match="60 of 60 seconds"):
        budget.check()
    clock.advance(-50)
    with pytest.raises(RateLimitError):
        budget.check()


@pytest.mark.parametrize("unknown", [None, -1.0, math.nan, math.inf])
def test_a_limit_on_what_is_not_known_ends_the_run(unknown: float | None) -> None:
    budget = RunBudget(usd=1.0)
    budget.spend(10, unknown)
    with pytest.raises(RateLimitError, match="the cost of a call is not known"):
        budget.check()


def test_an_unknown_token_count_ends_a_run_with_a_token_limit() -> None:
    budget = RunBudget(tokens=10)
    budget.spend(None, 0.0)
    with pytest.raises(RateLimitError, match="did not say how many tokens"):
        budget.check()


@pytest.mark.parametrize(
    "limits", [{"tokens": 0}, {"usd": -1.0}, {"wall_s": math.nan}, {"usd": math.inf}]
)
def test_impossible_limits_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be above 0"):
        RunBudget(**limits)  # type: ignore[arg-type] -- wrong on purpose


def test_threads_lose_no_spending() -> None:
    budget = RunBudget(tokens=8 * 1000)

    def spend() -> None:
        for _ in range(1000):
            budget.spend(1, 0.0)

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    with pytest.raises(RateLimitError, match=r"8,000 of 8,000 tokens"):
        budget.check()
