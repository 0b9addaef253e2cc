"""What every provider is asked, and what it answers with."""

from collections.abc import Generator
from dataclasses import dataclass
from threading import Event
from typing import Protocol

from core.catalog import Target
from core.messages import (
    FinishReason,
    GenerationParams,
    Message,
    ModelRef,
    Progress,
    Timings,
    Tool,
    ToolCall,
    Usage,
)


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """One model call, allowed and complete."""

    target: Target
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    params: GenerationParams
    cancel: Event
    """Set when the caller wants no more; the completion then ends as `cancelled`."""
    trim_history: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """What the provider made, with its own count and clock."""

    text: str
    model: ModelRef
    adapter: ModelRef | None
    usage: Usage
    timings: Timings
    finish_reason: FinishReason
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls that came apart from the text; calls within the text are the gateway's to find."""
    dropped_messages: int = 0


ProviderEvent = str | Progress | Completion
"""A piece of text, or how far loading is, or at the end the completion."""


class Provider(Protocol):
    """Where models run."""

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        """Yield text as it comes and the completion last; closing it cancels the call."""
        ...
