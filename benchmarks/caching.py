"""An exact cache hit, ours and LiteLLM's."""

import hashlib
from typing import Any

import orjson
import peer
from calls import through_gateway
from figures import Figure, Goal, Spans
from rig import conversation, gateway, request
from servers import counts

from core.gateway.cache_key import request_key

ENTRIES = 10_000
ASKED = 500
"""Of the entries, how many are asked for in turn."""
P50: Goal = ("at most", 50)
P99: Goal = ("at most", 200)
VALUE = orjson.dumps({"text": "Ada Brown sits at table four. " * 60})


def entries(scale: int) -> int:
    """Return how many answers the cache holds: fewer only in a trial run."""
    return max(2 * ASKED, ENTRIES * min(scale, 100) // 100)


class Lookup:
    """Asks a cache of so many entries as the gateway does."""

    def __init__(self, made: Any, count: int) -> None:
        traffic, self.target = made.gateway.traffic, made.catalog.resolve("fast")
        self.cache, self.provider = traffic.cache, traffic.provider(self.target)
        self.requests = [request("fast", conversation(n)) for n in range(ASKED)]
        for number in range(count - ASKED):
            self.cache.put(f"{number:032x}", VALUE)
        for asked in self.requests:
            self.cache.put(self.key(asked), VALUE)

    def key(self, asked: Any) -> str:
        """Return the key that the request's answer is kept under."""
        identity = self.provider.identity(self.target)
        return request_key(identity, asked, {})

    def hit(self, asked: Any) -> None:
        """Make the key and look it up."""
        if self.cache.get(self.key(asked)) is None:
            raise RuntimeError("the cache did not hit")


class Floor:
    """The least that any exact cache does: JSON with sorted keys, a digest, a dictionary."""

    def __init__(self, requests: list[Any], count: int) -> None:
        self.bodies = [
            {
                "model": asked.model,
                "messages": [message.to_openai() for message in asked.messages],
                **asked.params.to_dict(),
            }
            for asked in requests
        ]
        self.table = {f"{number:032x}": VALUE for number in range(count - ASKED)}
        self.table |= {self.key(body): VALUE for body in self.bodies}

    @staticmethod
    def key(body: dict[str, Any]) -> str:
        """Return the digest of a body."""
        data = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(data, digest_size=16).hexdigest()

    def hit(self, body: dict[str, Any]) -> None:
        """Make the key and look it up."""
        if self.table.get(self.key(body)) is None:
            raise RuntimeError("the table did not hit")


def hit(scale: int) -> list[Figure]:
    """Time key and look-up on 8 KB conversations against the floor, the order alternating."""
    ours, least, whole = Spans(), Spans(), Spans()
    with gateway() as (made, _):
        found = Lookup(made, entries(scale))
        floor = Floor(found.requests, entries(scale))
        for number in range(100 * scale):
            asked, body = found.requests[number % ASKED], floor.bodies[number % ASKED]
            pair = ((ours, found.hit, asked), (least, floor.hit, body))
            for spans, run, what in pair if number % 2 else pair[::-1]:
                spans.time(lambda: run(what))  # noqa: B023
        again = request("fast", conversation(-1))
        through_gateway(made, again, [])
        for _ in range(3 * scale):
            whole.time(lambda: through_gateway(made, again, []))
    return [
        Figure(
            f"hit, key and look-up, 8 KB, {entries(scale)} entries, p50",
            ours.p50_s * 1e6,
            "µs",
            P50,
        ),
        Figure("p99", ours.p99_s * 1e6, "µs", P99),
        Figure("CPU time", ours.mean_cpu_s * 1e6, "µs"),
        Figure("the floor: orjson, blake2b, dict, p50", least.p50_s * 1e6, "µs"),
        Figure("ratio of the medians", ours.p50_s / least.p50_s, ""),
        Figure("a hit through the whole gateway, traced, p50", whole.p50_s * 1e3, "ms"),
    ]


def litellm(scale: int) -> list[Figure]:
    """Time LiteLLM's in-memory hit on such a conversation, and ours again beside it."""
    ours, whole = Spans(), Spans()
    asked = request("fast", conversation(0))
    messages = [message.to_openai() for message in asked.messages]
    with gateway() as (made, address):
        try:
            theirs = peer.hit(messages, f"{address}/v1", 3 * scale)
        except peer.NoPeerError as error:
            return [Figure("LiteLLM's hit to ours", None, "", ("at least", 50), str(error))]
        sent = counts(address)["calls"]
        found = Lookup(made, entries(scale))
        for _ in range(100 * scale):
            ours.time(lambda: found.hit(asked))
        again = request("fast", conversation(-1))
        through_gateway(made, again, [])
        for _ in range(3 * scale):
            whole.time(lambda: through_gateway(made, again, []))
    return [
        Figure(
            f"LiteLLM {theirs['version']}'s in-memory hit to our key and look-up, medians",
            theirs["p50_us"] / 1e6 / ours.p50_s,
            "",
            ("at least", 50),
            f"it sent {sent} request" + ("s" if sent != 1 else ""),
        ),
        Figure("the same by CPU time", theirs["cpu_us"] / 1e6 / ours.mean_cpu_s, ""),
        Figure("to our hit through the whole gateway", theirs["p50_us"] / 1e6 / whole.p50_s, ""),
        Figure("LiteLLM's hit, p50", theirs["p50_us"] / 1e3, "ms"),
        Figure("LiteLLM's hit, p99", theirs["p99_us"] / 1e3, "ms"),
        Figure("LiteLLM's import", theirs["import_s"], "s"),
    ]
