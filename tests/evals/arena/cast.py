"""Scripted models of blind battles without a page."""

import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.catalog import Catalog, ModelEntry, Target
from core.catalog_files import load_catalog
from core.errors import GenerationError, InputError
from core.gateway.allow import Limits
from core.gateway.gateway import Gateway
from core.messages import (
    ModelRef,
    Timings,
    Usage,
)
from core.providers.base import Completion, ProviderCall, ProviderEvent, failed
from core.settings import Settings
from core.store import Store
from evals.arena.arena import Arena
from tests.fakes import gateway_of

NAMES = ("brightwater-7", "coldharbour-9", "duskmere-3")
LIMITS = Limits(requests_per_minute=100_000, concurrent_requests=8, input_characters=2000)


@dataclass
class Cast:
    """Each model says its own words; prompts can make one fail, wait or break."""

    served: Mapping[str, str] = field(default_factory=dict)
    """Catalog id to the identity that it has instead of its own."""
    gate: threading.Event = field(default_factory=threading.Event)
    """What prompts with "wait" wait for, or for their cancel."""

    def close(self) -> None:
        """Hold nothing that must be freed."""

    def identity(self, target: Target) -> str | None:
        """Return the weights' name."""
        return self.served.get(target.id, f"weights of {target.id}")

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        """Say one's words."""
        name, prompt = call.target.id, call.messages[-1].text
        is_last = name != NAMES[0]
        yield "Good "
        while "wait" in prompt and not self.gate.wait(0.01):
            if call.cancel.is_set():
                break
        if "fail" in prompt and is_last:
            raise GenerationError(f"{name} broke at {call.target.model.served_model}")
        if "endless" in prompt:
            error = InputError(f"the prompt has 9999 tokens and {name!r} reads at most 900")
            raise failed(error, "context_too_long")
        if "bug" in prompt and is_last:
            raise RuntimeError(f"a bug in {name}")
        rest = "evening." if "same" in prompt else f"evening from {ord(name[0])}."
        yield rest
        yield Completion(
            text=f"Good {rest}",
            model=ModelRef(name, f"sha256:{name}"),
            adapter=None,
            usage=Usage(5, 7),
            timings=Timings(0.0, 0.0, 0.01, 0.02, 100.0),
            finish_reason="cancelled" if call.cancel.is_set() else "stop",
        )


def cast_catalog(settings: Settings, names: tuple[str, ...] = NAMES) -> Catalog:
    """Return a catalog of nothing but these models."""
    models = {name: ModelEntry(provider="replay", context=900, path="README.md") for name in names}
    empty: Mapping[str, dict[str, object]] = {}
    return replace(
        load_catalog(settings),
        models=models,
        adapters={},
        chains={},
        ensembles={},
        default_model=names[0],
        limits=LIMITS,
        missing=empty,
    )


def cast_gateway(settings: Settings, store: Store, cast: Cast | None = None) -> Gateway:
    """Return a real gateway to the cast."""
    return gateway_of(cast_catalog(settings), store, {"replay": cast or Cast()})


def make_arena(settings: Settings, store: Store, cast: Cast | None = None) -> Arena:
    """Return a real arena over the cast."""
    return Arena(cast_gateway(settings, store, cast), store, Path(settings.home))
