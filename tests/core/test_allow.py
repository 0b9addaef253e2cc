import threading
from dataclasses import dataclass

import pytest

from core.errors import InputError, RateLimitError
from core.gateway import allow
from core.gateway.allow import Limits, RateLimiter, check_size, recent_messages
from core.messages import Message, ToolCall


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_passes_and_then_the_text_says_how_long_to_wait():
    clock = Clock()
    limiter = RateLimiter(Limits(requests_per_minute=6), clock)
    for _ in range(6):
        limiter.admit("a")
    with pytest.raises(RateLimitError, match="at most 6 a minute; try again in 10 s") as refused:
        limiter.admit("a")
    assert refused.value.retry_after_s == pytest.approx(10.0)
    assert refused.value.status == 429
    clock.now_s += 9.9
    with pytest.raises(RateLimitError, match="in 1 s"):
        limiter.admit("a")
    clock.now_s += 0.2
    limiter.admit("a")


def test_a_refused_request_costs_nothing():
    clock = Clock()
    limiter = RateLimiter(Limits(requests_per_minute=1), clock)
    limiter.admit("a")
    for _ in range(50):
        with pytest.raises(RateLimitError):
            limiter.admit("a")
    clock.now_s += 60.001
    limiter.admit("a")


def test_idle_time_never_adds_up_to_more_than_a_minute():
    clock = Clock()
    limiter = RateLimiter(Limits(requests_per_minute=2), clock)
    limiter.admit("a")
    clock.now_s += 10_000
    limiter.admit("a")
    limiter.admit("a")
    with pytest.raises(RateLimitError):
        limiter.admit("a")


def test_callers_do_not_share_an_allowance():
    limiter = RateLimiter(Limits(requests_per_minute=1), Clock())
    limiter.admit("a")
    limiter.admit("b")


def test_places_are_capped_and_come_back_even_after_an_error():
    limiter = RateLimiter(Limits(concurrent_requests=1), Clock())
    with limiter.slot("a"):
        with limiter.slot("b"):
            pass
        with pytest.raises(RateLimitError, match="at most 1") as refused, limiter.slot("a"):
            pass
    assert refused.value.retry_after_s == 1.0
    for _ in range(2):
        with pytest.raises(KeyError), limiter.slot("a"):
            raise KeyError


def test_memory_is_bounded_and_a_running_caller_is_not_forgotten(monkeypatch):
    monkeypatch.setattr(allow, "MAX_CALLERS", 3)
    limiter = RateLimiter(Limits(concurrent_requests=1), Clock())
    with limiter.slot("running"):
        for number in range(100):
            limiter.admit(f"caller {number}")
        assert len(limiter._buckets) == 3
        with pytest.raises(RateLimitError), limiter.slot("running"):
            pass


def test_threads_together_get_exactly_the_allowance():
    limiter = RateLimiter(Limits(requests_per_minute=50), Clock())
    passed = []

    def ask():
        for _ in range(20):
            try:
                limiter.admit("a")
            except RateLimitError:
                continue
            passed.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 50


def test_sizes_count_text_and_arguments():
    call = ToolCall("1", "f", "x" * 6)
    messages = [Message("user", "abcd"), Message("assistant", "", (call,))]
    check_size(messages, Limits(input_characters=10))
    with pytest.raises(InputError, match="10 characters, at most 9"):
        check_size(messages, Limits(input_characters=9))


@pytest.mark.parametrize("name", list(Limits.__dataclass_fields__))
def test_a_limit_below_one_is_refused(name):
    with pytest.raises(InputError, match=f"{name} must be at least 1, got 0"):
        Limits(**{name: 0})


def test_new_tokens_stay_within_what_params_allow():
    with pytest.raises(InputError, match="at most 4096"):
        Limits(new_tokens=5000)


def test_recent_messages_keep_the_system_prompt_and_the_newest_turns() -> None:
    turn = (Message("user", "x" * 40), Message("assistant", "y" * 40))
    messages = (Message("system", "s" * 10), *turn, *turn, Message("user", "z" * 30))
    assert recent_messages(messages, Limits(input_characters=1000)) == messages
    assert recent_messages(messages, Limits(input_characters=130)) == (messages[0], *messages[3:])
    assert recent_messages(messages, Limits(input_characters=100)) == (messages[0], messages[-1])
    assert recent_messages(messages, Limits(input_characters=5)) == (messages[0], messages[-1])
    assert recent_messages((), Limits()) == ()
