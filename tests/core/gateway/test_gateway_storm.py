"""The storm of `test_governor_storm.py`, through the whole gateway and over real HTTP."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

import pytest

from core.catalog_files import load_catalog
from core.gateway.allow import RateLimiter
from core.gateway.breaker import Breaker
from core.gateway.cache import AnswerCache
from core.gateway.gateway import Gateway
from core.gateway.governor import Governor
from core.gateway.traffic import Traffic
from core.messages import Generation, GenerationParams, GenerationRequest, Message
from core.observe import Ledger
from core.providers.endpoint import EndpointProvider
from core.settings import Settings
from core.store import open_store
from tests.limited_provider import LimitedProvider, Reply, Style, VirtualClock, as_server
from tests.serving import serve

CLIENTS, REQUESTS = 20, 500
LIMITS = {"RPM": 30, "RPD": 330, "TPD": 33_000}
QUOTA = {"requests_per_minute": 30, "requests_per_day": 330, "tokens_per_day": 33_000}
PLENTY = {"RPM": 1_000_000}


@dataclass(slots=True)
class Watched(LimitedProvider):
    """A provider that notices whoever comes back before the time it stated."""

    stated_until: float = 0.0
    early: int = 0

    def ask(self, requested: int) -> Reply:
        self.early += self.clock.now < self.stated_until - 1e-6
        reply = LimitedProvider.ask(self, requested)
        if reply.status == 429:
            waits = [self._wait_s(name, requested) for name in self.limits]
            self.stated_until = max(self.stated_until, self.clock.now + max(waits))
        return reply


@dataclass(slots=True)
class Storm:
    """Clients before a chain of a limited model and a spare one, on one virtual clock."""

    gateway: Gateway
    limited: Watched
    clock: VirtualClock
    characters: tuple[int, int] = (300, 1200)
    """Of a request's text, least and most."""
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, number: int) -> Generation:
        """Send the request of one client, then let it think."""
        with self.lock:
            text, thought_s = (
                "?" * self.dice.randint(*self.characters),
                self.dice.uniform(0.0, 2.0),
            )
        request = GenerationRequest(
            model="line",
            messages=(Message("user", f"{number} {text}"),),
            params=GenerationParams(max_tokens=1),
            caller=f"client {number % CLIENTS}",
        )
        *_, last = self.gateway.generate(request)
        with self.lock:
            self.clock.advance(thought_s)
        assert last.generation is not None
        return last.generation


@pytest.fixture
def storm(
    settings: Settings, write_catalog: Callable[..., None]
) -> Callable[..., "contextmanager[Storm]"]:
    """Return what opens a storm on a style of provider, its limits known or not."""

    @contextmanager
    def opened(style: Style, *, is_known: bool) -> Iterator[Storm]:
        clock = VirtualClock()
        limited = Watched(clock, LIMITS, style)
        with ExitStack() as stack:
            first = stack.enter_context(serve(as_server(limited, "first")))
            spare = stack.enter_context(serve(as_server(LimitedProvider(clock, PLENTY), "spare")))
            models = {"spare": entry(spare), "first": entry(first)}
            models["first"]["quotas"] = ["free"] if is_known else []
            write_catalog(
                models=models,
                chains={"line": {"models": ["first", "spare"], "patience_s": 3}},
                quotas={"free": QUOTA},
                limits={"requests_per_minute": 1_000_000, "concurrent_requests": CLIENTS},
            )
            store = stack.enter_context(closing(open_store(settings.database_url)))
            catalog = load_catalog(settings)
            traffic = Traffic(
                catalog=catalog,
                providers={"endpoint": EndpointProvider({})},
                cache=AnswerCache(store),
                governor=Governor(store, catalog.quotas, clock=clock, pause=pass_time(clock)),
                breaker=Breaker(clock),
            )
            stack.callback(traffic.close)
            yield Storm(
                Gateway(traffic, RateLimiter(catalog.limits), Ledger(store)), limited, clock
            )

    return opened


def pass_time(clock: VirtualClock) -> Callable[[threading.Condition, float], None]:
    """Return what waits in virtual time, and a little in real time: a spin would starve others."""

    def pause(condition: threading.Condition, seconds: float) -> None:
        condition.wait(0.005)
        clock.advance(seconds)

    return pause


def entry(url: str) -> dict[str, object]:
    """Return a catalog entry for a server."""
    return {"provider": "endpoint", "base_url": f"{url}/v1", "served_model": "m", "context": 9000}


def test_with_known_limits_twenty_clients_at_once_are_never_refused(storm) -> None:
    with storm("groq", is_known=True) as ran, ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(ran.ask, range(REQUESTS)))
    models = Counter(answer.model.id for answer in answers)
    assert ran.limited.refused == 0
    assert models["first"] == ran.limited.served > 100
    assert models["first"] + models["spare"] == REQUESTS
    day = [a for a in answers if a.reports.tried[0].outcome == "skipped"]
    assert "tokens a day are used" in day[-1].reports.tried[0].reason


@pytest.mark.parametrize("style", ["groq", "openai"])
def test_with_unknown_limits_nobody_comes_before_the_stated_time(storm, style: Style) -> None:
    with storm(style, is_known=False) as ran:
        ran.characters = (1200, 2400)  # so that the day's tokens are used up
        answers = [ran.ask(number) for number in range(100)]
    assert ran.limited.refused > 0
    assert ran.limited.early == 0
    assert {answer.model.id for answer in answers} == {"first", "spare"}
    assert ran.limited.refused < 20
