"""1,500 requests from 20 clients against 30 a minute, 1,000 a day and 100,000 tokens a day."""

import heapq
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from core.catalog import Quota
from core.gateway.governor import Governor, Reservation, Wait
from core.gateway.limit_notice import read_notice
from core.settings import PROJECT
from core.store import Store, open_store
from tests.limited_provider import LimitedProvider, Style, VirtualClock, as_server
from tests.serving import serve

CLIENTS = 20
REQUESTS = 1500
LIMITS = {"RPM": 30, "RPD": 1000, "TPD": 100_000}
QUOTA = Quota(requests_per_minute=30, requests_per_day=1000, tokens_per_day=100_000)
KEY = "groq/llama"
PATIENCE_S = 8.0
MOST_TRIES = 40
"""Of one request; a loop would exceed it."""


@dataclass(slots=True)
class Storm:
    """Clients on a virtual clock: each asks, waits as told, or gives way to a fallback."""

    governor: Governor
    provider: LimitedProvider
    quotas: tuple[str, ...]
    refunds: bool = False
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    answered: int = 0
    fallbacks: list[Wait] = field(default_factory=list)
    stated_until: float = 0.0
    early: int = 0
    refused_at: list[float] = field(default_factory=list)

    def run(self, requests: int = REQUESTS) -> None:
        clock = self.provider.clock
        events = [
            (clock.now + number * 0.01, number, self._client(requests // CLIENTS))
            for number in range(CLIENTS)
        ]
        heapq.heapify(events)
        while events:
            at, number, client = heapq.heappop(events)
            clock.now = max(clock.now, at)
            seconds = next(client, None)
            if seconds is not None:
                heapq.heappush(events, (clock.now + seconds, number, client))

    def _client(self, requests: int) -> Iterator[float]:
        for _ in range(requests):
            yield from self._request(self.dice.randint(80, 300))
            yield self.dice.uniform(0.0, 3.0)

    def _request(self, tokens: int) -> Iterator[float]:
        patience = PATIENCE_S
        for _ in range(MOST_TRIES):
            outcome = self.governor.reserve(KEY, self.quotas, tokens)
            if isinstance(outcome, Reservation):
                if (yield from self._call(outcome, tokens)):
                    self.answered += 1
                    return
            elif outcome.seconds > patience:
                self.fallbacks.append(outcome)
                yield self.dice.uniform(20.0, 40.0)
                return
            else:
                patience -= outcome.seconds
                yield outcome.seconds + self.dice.uniform(0.0, 1.0)
        raise AssertionError("a request was tried without end")

    def _call(self, reservation: Reservation, tokens: int) -> Iterator[float]:
        clock = self.provider.clock
        self.early += clock.now < self.stated_until
        reply = self.provider.ask(tokens)
        yield self.dice.uniform(0.2, 3.0)
        notice = read_notice(reply.status, reply.headers, reply.body, clock.now)
        self.governor.learn(KEY, notice, reservation)
        if reply.status == 200:
            real = self.dice.randint(tokens // 2, tokens)
            if self.refunds:
                self.provider.refund(tokens - real)
            self.governor.settle(reservation, real if self.refunds else tokens)
            return True
        self.refused_at.append(clock.now)
        closed_until = self.governor.state(KEY, self.quotas).closed_until or 0.0
        stated = clock.now + (notice.retry_after_s or 0.0)
        self.stated_until = max(self.stated_until, stated, closed_until)
        self.governor.release(reservation, was_sent=True)
        return False


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(f"sqlite:///{tmp_path}/storm.db")) as opened:
        yield opened


def storm(store: Store, style: Style, *, is_known: bool, refunds: bool = False) -> Storm:
    clock = VirtualClock()
    governor = Governor(store, {"groq": QUOTA}, clock=clock)
    quotas = ("groq",) if is_known else ()
    return Storm(governor, LimitedProvider(clock, LIMITS, style), quotas, refunds)


@pytest.mark.parametrize(("style", "refunds"), [("groq", True), ("anthropic", False)])
def test_with_known_limits_no_request_is_refused(store: Store, style: Style, refunds: bool) -> None:
    ran = storm(store, style, is_known=True, refunds=refunds)
    ran.run()
    assert ran.provider.refused == 0
    assert ran.answered + len(ran.fallbacks) == REQUESTS
    assert ran.answered == ran.provider.served > 300
    assert ran.fallbacks[-1].is_day
    assert "tokens a day are used" in ran.fallbacks[-1].reason


@pytest.mark.parametrize("style", ["groq", "openai", "openai_old", "anthropic"])
def test_with_unknown_limits_each_refusal_teaches_and_no_call_comes_too_early(
    store: Store, style: Style
) -> None:
    ran = storm(store, style, is_known=False)
    ran.run()
    assert ran.early == 0
    assert ran.answered + len(ran.fallbacks) == REQUESTS
    assert ran.answered == ran.provider.served > 250
    assert 0 < ran.provider.refused <= 2 * CLIENTS
    assert ran.fallbacks[-1].is_day


def test_a_server_that_never_says_how_long_is_left_alone_after_each_refusal(store: Store) -> None:
    ran = storm(store, "mute", is_known=False)
    ran.run(300)
    assert ran.early == 0
    assert ran.provider.refused > 0
    assert ran.answered + len(ran.fallbacks) == 300


def test_the_day_limit_stops_cleanly_with_the_time_to_wait(store: Store) -> None:
    """Trap: a day-limit 429 looped for ever."""
    ran = storm(store, "groq", is_known=False)
    for name, limit in LIMITS.items():
        rate = limit / (60 if name.endswith("M") else 86_400)
        ran.provider.empty_at[name] = ran.provider.clock.now + (
            limit / rate if name == "TPD" else 0.0
        )
    asked = ran.provider.ask(300)
    notice = read_notice(asked.status, asked.headers, asked.body, ran.provider.clock.now)
    ran.governor.learn(KEY, notice)
    began = ran.provider.refused
    ran.run(200)
    # Calls of at most 300 tokens that were waited for 4 minutes may be answered then.
    assert ran.provider.refused - began <= 1
    assert all(wait.is_day and wait.seconds > PATIENCE_S for wait in ran.fallbacks)
    assert "try again in" in ran.fallbacks[0].reason


def test_after_one_refusal_the_ledger_and_the_server_agree(store: Store) -> None:
    clock = VirtualClock()
    provider = LimitedProvider(clock, {"TPM": 6000}, "openai")
    governor = Governor(store, {}, clock=clock)
    for _ in range(4):
        provider.ask(1500)
    reply = provider.ask(1500)
    governor.learn(KEY, read_notice(reply.status, reply.headers, reply.body, clock()))
    (bucket,) = governor.state(KEY, []).buckets
    assert bucket.used == pytest.approx(provider.used("TPM"), abs=1)
    clock.advance(16.0)
    for _ in range(200):
        outcome = governor.reserve(KEY, [], 700)
        if isinstance(outcome, Wait):
            clock.advance(outcome.seconds)
            continue
        assert provider.ask(700).status == 200
        governor.settle(outcome, 700)
    assert provider.refused == 1


@pytest.mark.parametrize("style", ["groq", "openai", "anthropic"])
def test_over_real_http_one_refusal_is_understood(store: Store, style: Style) -> None:
    clock = VirtualClock()
    governor = Governor(store, {}, clock=clock)
    provider = LimitedProvider(clock, {"RPM": 2}, style)
    asked = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
    with serve(as_server(provider)) as url, httpx.Client(base_url=url) as client:
        statuses = []
        for _ in range(3):
            answer = client.post("/v1/chat/completions", json=asked)
            statuses.append(answer.status_code)
        governor.learn(KEY, read_notice(answer.status_code, answer.headers, answer.text, clock()))
        wait = governor.reserve(KEY, [], 10)
        assert isinstance(wait, Wait)
        assert wait.seconds == pytest.approx(30.0, abs=1e-3)
        clock.advance(wait.seconds)
        assert isinstance(governor.reserve(KEY, [], 10), Reservation)
        assert client.post("/v1/chat/completions", json=asked).status_code == 200
    assert statuses == [200, 200, 429]


SENDER = """
import sys, threading
from core.catalog import Quota
from core.gateway.governor import Governor, Reservation
from core.store import open_store

governor = Governor(open_store(sys.argv[1]), {"day": Quota(requests_per_day=int(sys.argv[2]))})
lock = threading.Lock()

def client():
    while isinstance(reservation := governor.reserve("m", ["day"], 10), Reservation):
        with lock:
            print("sent", flush=True)
        governor.settle(reservation, 10)

threads = [threading.Thread(target=client) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
DAY_LIMIT = 1_000


def sender(url: str, limit: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SENDER, url, str(limit)]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)


def counted(url: str, limit: int) -> float:
    """Return what a fresh governor counts, as a restarted process does."""
    with closing(open_store(url)) as store:
        governor = Governor(store, {"day": Quota(requests_per_day=limit)})
        return governor.state("m", ["day"]).buckets[0].used


def test_kill_9_in_the_storm_forgets_no_request_that_was_sent(tmp_path: Path) -> None:
    url, sent = f"sqlite:///{tmp_path}/killed.db", 0
    for wanted in (1, 30, 120):
        process = sender(url, DAY_LIMIT)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(wanted)]
        process.kill()
        rest = process.stdout.read()
        process.wait()
        process.stdout.close()
        sent += ("".join(lines) + rest).count("sent\n")
        # What four threads had reserved and not yet sent may be counted too.
        assert sent - 5 <= counted(url, DAY_LIMIT) <= sent + 4 * 3
    assert sent >= 151


def test_processes_on_one_database_share_one_budget(tmp_path: Path) -> None:
    url, limit = f"sqlite:///{tmp_path}/shared.db", 200
    open_store(url).close()
    processes = [sender(url, limit) for _ in range(3)]
    sent = [process.communicate(timeout=120)[0].count("sent\n") for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    # A day refills 200 requests, one each 7 minutes: the test is over before the first or second.
    assert limit <= sum(sent) <= limit + 1
