"""Real implementations of our protocols that need no model."""

import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from core.catalog import Catalog, Target
from core.errors import ModelNotAllowedError
from core.gateway.allow import RateLimiter
from core.gateway.breaker import Breaker
from core.gateway.cache import AnswerCache
from core.gateway.gateway import Gateway
from core.gateway.governor import Governor
from core.gateway.traffic import Traffic
from core.messages import (
    Delta,
    FinishReason,
    Generation,
    GenerationRequest,
    ModelRef,
    Progress,
    Timings,
    ToolCall,
    Usage,
    new_id,
)
from core.observe import Ledger
from core.providers.base import Completion, Provider, ProviderCall, ProviderEvent
from core.store import Store


def gateway_of(
    catalog: Catalog, store: Store, providers: Mapping[str, Provider], ledger: Ledger | None = None
) -> Gateway:
    """Return a real gateway over these providers."""
    traffic = Traffic(
        catalog=catalog,
        providers=providers,
        cache=AnswerCache(store),
        governor=Governor(store, catalog.quotas),
        breaker=Breaker(),
    )
    return Gateway(traffic, RateLimiter(catalog.limits), ledger or Ledger(store))


def generation_of(
    request: GenerationRequest, text: str, tool_calls: Sequence[ToolCall] = ()
) -> Generation:
    """Return a finished generation whose tokens are its words."""
    return Generation(
        text=text,
        tool_calls=tuple(tool_calls),
        model=ModelRef(request.model, "sha256:0123"),
        adapter=None,
        params=request.params,
        usage=Usage(sum(len(m.text.split()) for m in request.messages), len(text.split())),
        timings=Timings(0.0, 0.0, 0.01, 0.02, 100.0),
        cost_usd=None,
        finish_reason="tool_calls" if tool_calls else "stop",
        trace_id=new_id(),
    )


@dataclass
class ScriptedGateway:
    """Yields given texts, one delta each, then the generation; remembers what was asked."""

    texts: Sequence[str] = ("Good ", "evening.")
    tool_calls: Sequence[ToolCall] = ()
    pause_s: float = 0.0
    """Before each text."""
    models: Sequence[str] = ("lead", "understudy")
    requests: list[GenerationRequest] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)
    """Set when a generation was closed before its end."""

    def generate(self, request: GenerationRequest) -> Iterator[Delta]:
        """Generate what the script says."""
        if request.model not in self.models:
            raise ModelNotAllowedError(f"model {request.model!r} is not allowed")
        self.requests.append(request)
        try:
            yield Delta(progress=Progress("loading", 1, 2))
            for text in self.texts:
                time.sleep(self.pause_s)
                yield Delta(text=text)
            yield Delta(generation=generation_of(request, "".join(self.texts), self.tool_calls))
        except GeneratorExit:
            self.closed.set()
            raise


class EchoGateway:
    """Answers with the last message's text, word by word."""

    def generate(self, request: GenerationRequest) -> Iterator[Delta]:
        """Generate the echo."""
        text = request.messages[-1].text
        for position, word in enumerate(text.split(" ")):
            yield Delta(text=f" {word}" if position else word)
        yield Delta(generation=generation_of(request, text))


@dataclass
class FailingGateway:
    """Yields some texts and then raises."""

    error: Exception
    texts: Sequence[str] = ()

    def generate(self, request: GenerationRequest) -> Iterator[Delta]:
        """Generate up to the failure."""
        for text in self.texts:
            yield Delta(text=text)
        raise self.error


@dataclass
class ScriptedProvider:
    """Yields given events and then a completion; remembers what was asked."""

    events: Sequence[str | Progress] = ("Good ", "evening.")
    error: Exception | None = None
    """Raised after the events."""
    tool_calls: Sequence[ToolCall] = ()
    usage: Usage = field(default_factory=lambda: Usage(12, 3))
    finish_reason: FinishReason = "stop"
    gate: threading.Event | None = None
    """Waited for before each event but the first, or for the call's cancel."""
    calls: list[ProviderCall] = field(default_factory=list)
    closed: int = 0
    """How many streams were closed before their end."""
    weights: str | None = None
    """What the cache knows it by; None: nothing is cached."""

    def close(self) -> None:
        """Hold nothing that must be freed."""

    def identity(self, _target: Target) -> str | None:
        """Return the weights' name."""
        return self.weights

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        """Generate what the script says, until it is cancelled."""
        self.calls.append(call)
        said: list[str] = []
        try:
            for number, event in enumerate(self.events):
                while number and self.gate and not self.gate.wait(0.01):
                    if call.cancel.is_set():
                        break
                if call.cancel.is_set():
                    break
                said += [event] if isinstance(event, str) else []
                yield event
            if self.error is not None:
                raise self.error
            yield self._completion(call, "".join(said))
        except GeneratorExit:
            self.closed += 1
            raise

    def _completion(self, call: ProviderCall, text: str) -> Completion:
        return Completion(
            text=text,
            model=ModelRef(call.target.model_id, "sha256:0123"),
            adapter=None,
            usage=self.usage,
            timings=Timings(0.0, 0.0, 0.01, 0.02, 100.0),
            finish_reason="cancelled" if call.cancel.is_set() else self.finish_reason,
            tool_calls=tuple(self.tool_calls),
        )
