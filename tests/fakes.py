"""Real implementations of our protocols that need no model."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from core.errors import ModelNotAllowedError
from core.messages import (
    Delta,
    Generation,
    GenerationRequest,
    ModelRef,
    Progress,
    Timings,
    ToolCall,
    Usage,
    new_id,
)


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
