"""Three models with unmistakable names that say what a test needs: the cast of blind battles."""

import json
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from core.catalog import AdapterEntry, Catalog, ModelEntry, Price, Target
from core.chats import Chats
from core.errors import GenerationError
from core.gateway.allow import RateLimiter
from core.gateway.cache_key import endpoint_identity
from core.gateway.gateway import Gateway
from core.messages import ModelRef, Timings, Usage
from core.providers.base import Completion, ProviderCall, ProviderEvent
from core.services import Services

NORTH, SOUTH, WEST = "zephyr-quill", "umbra-wick", "umbra-wick@nightfall"
WEIGHTS, ADAPTER, REMOTE = (f"sha256:{mark * 16}" for mark in ("feed", "ad47", "5e4d"))
SERVED, HOST = "vendor-zq-70b", "zq-host.invalid"
SECRETS = (
    "zephyr", "quill", "umbra", "wick", "nightfall", SERVED, HOST, "feedfeed", "ad47ad47",
    "5e4d5e4d",
)  # fmt: skip
"""What nobody may read before the vote: parts of names, servers and digests."""
WORDS: Mapping[str, str] = {NORTH: "north", SOUTH: "south", WEST: "west"}
"""What each says over and over, so that a test knows who spoke; the prompt's first word follows."""
PAUSES_S: Mapping[str, float] = {NORTH: 0.0, SOUTH: 0.02, WEST: 0.01}
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"> <script>document.title='owned'</script> "
    "![x](http://example.invalid/x.png) `<b>`"
)
SHORT, ENDLESS = 12, 2000
"""Words of an answer; of one to a prompt with "endless" in it."""
GATE = "gate"
"""File in the home that answers to prompts with this word wait for."""
CAST: Mapping[str, ModelEntry] = {
    NORTH: ModelEntry(
        provider="endpoint", context=8192, base_url=f"http://{HOST}/v1", served_model=SERVED,
        price=Price(input_per_million=1.0, output_per_million=4.0, as_of="2026-11-01"),
    ),
    SOUTH: ModelEntry(provider="local", context=8192, path="assets/models/understudy"),
}  # fmt: skip


@dataclass(frozen=True)
class Actors:
    """Answers as its script says; prompts with "fail" break `umbra-wick`, with its name in it."""

    home: Path

    def close(self) -> None:
        """Hold nothing that must be freed."""

    def identity(self, target: Target) -> str:
        """Return the weights of the local ones, the address of the other."""
        if target.model.provider != "local":
            return endpoint_identity(target)
        adapter = ADAPTER if target.version else None
        facts = {"weights": WEIGHTS, "adapter": adapter, "device": "cpu", "precision": "fp32"}
        return json.dumps(facts)

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        """Yield the script."""
        name, prompt = call.target.id, call.messages[-1].text
        began, said = time.monotonic(), list[str]()
        for word in script(name, prompt):
            if call.cancel.is_set():
                break
            said.append(word)
            yield word
            time.sleep(0.05 if "endless" in prompt else PAUSES_S[name])
            while GATE in prompt and not (self.home / GATE).exists() and not call.cancel.is_set():
                time.sleep(0.02)
            if "fail" in prompt and name != NORTH:
                raise GenerationError(f"{name} with {WEIGHTS} on {HOST} broke")
        took = time.monotonic() - began
        yield Completion(
            text="".join(said),
            model=ModelRef(call.target.model_id, REMOTE if name == NORTH else WEIGHTS),
            adapter=ModelRef(call.target.version, ADAPTER) if call.target.version else None,
            usage=Usage(len(prompt.split()), len(said)),
            timings=Timings(0.0, 0.0, 0.01, took, len(said) / max(took, 0.001)),
            finish_reason="cancelled" if call.cancel.is_set() else "stop",
        )


def script(name: str, prompt: str) -> list[str]:
    """Return what a model says to a prompt, in pieces."""
    if "hostile" in prompt:
        return [HOSTILE, f" {WORDS[name]}"]
    if "same" in prompt:
        return ["The same answer."]
    if "who" in prompt:
        return [f"I am {name}, at your service."]
    if "endless" in prompt:
        return [f"{WORDS[name]}{n} " for n in range(ENDLESS)]
    about = prompt.split()[0].lower()
    return [f"{WORDS[name]}{n}-{about} " for n in range(SHORT)]


def with_actors(services: Services) -> Services:
    """Return the same services with this cast instead of the catalog's models."""
    folder = AdapterEntry(path="assets/models/understudy")
    limits = replace(services.catalog.limits, requests_per_minute=100_000)
    catalog: Catalog = replace(
        services.catalog, models=CAST, adapters={SOUTH: {"nightfall": folder}}, chains={},
        ensembles={}, default_model=NORTH, limits=limits, missing={},
    )  # fmt: skip
    actors = Actors(services.settings.home)
    traffic = replace(
        services.gateway.traffic, catalog=catalog, providers={"local": actors, "endpoint": actors}
    )
    gateway = Gateway(traffic, RateLimiter(limits), services.ledger)
    chats = Chats(gateway, services.conversations)
    return replace(services, catalog=catalog, gateway=gateway, chats=chats)
