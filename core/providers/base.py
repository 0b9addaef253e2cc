"""What every provider is asked, and what it answers with."""

from collections.abc import Generator
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Protocol, TypeVar

from core.catalog import Target
from core.errors import AppError, FailureKind, RateLimitError
from core.messages import (
    FinishReason,
    GenerationParams,
    JsonObject,
    Message,
    ModelRef,
    Progress,
    Timings,
    Tool,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from core.gateway.limit_notice import LimitNotice
    from core.together import Together

E = TypeVar("E", bound=AppError)


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
    response_schema: JsonObject | None = None
    """JSON Schema that the answer must follow, for servers that can hold a model to it."""
    json_mode: bool = False
    """Whether the answer must be a JSON object, for servers that can hold a model to it."""
    timeout_s: float | None = None
    """Longest time for the whole call, in seconds; None: the provider's own bound."""
    caller: str = ""
    """Who asks: callers take turns where a model has more requests than places."""
    together: "Together | None" = None
    """Requests to share a local model's batch with, and nobody else; None: with whoever asks."""
    together_index: int = 0
    """Place among them."""


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
    served_model: str | None = None
    """The name under which the server says it answered; None when it does not tell."""
    notice: "LimitNotice | None" = None
    """What the server told of its limits; None when it told nothing."""


class ProviderLimitError(RateLimitError):
    """The provider's own limit is reached, not one of ours."""

    def __init__(self, text: str, notice: "LimitNotice") -> None:
        super().__init__(text, notice.retry_after_s)
        self.notice = notice


def failed(error: E, kind: FailureKind) -> E:
    """Return the error with why the call failed written on it."""
    error.failure = kind
    return error


ProviderEvent = str | Progress | Completion
"""A piece of text, or how far loading is, or at the end the completion."""


class Provider(Protocol):
    """Where models run."""

    def identity(self, target: Target) -> str | None:
        """Return what answers depend on besides the request; None: not known, nothing is cached."""
        ...

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        """Yield text as it comes and the completion last; closing it cancels the call."""
        ...

    def close(self) -> None:
        """Free connections; it can be used again afterwards."""
        ...
