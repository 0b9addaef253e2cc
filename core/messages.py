"""The values that flow: what is asked, what is generated, and what each answer carries."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Literal

from core.errors import InputError
from core.reports import Reports

if TYPE_CHECKING:
    from core.together import Together

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "cancelled", "abstained"]
"""`abstained`: the members of an ensemble disagree, so there is no answer."""
CacheState = Literal["hit", "miss", "bypass"]
CacheUse = Literal["auto", "on", "off"]
"""`auto`: greedy requests use the cache, sampled ones don't."""
JsonValue = None | bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
JsonObject = Mapping[str, JsonValue]

MAX_TEMPERATURE = 2.0
MAX_NEW_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that a model asked for."""

    id: str
    name: str
    arguments: str
    """JSON text of the arguments object, as the model wrote it."""

    def to_openai(self) -> dict[str, JsonValue]:
        """Return the call in OpenAI's shape."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call."""

    name: str
    description: str
    parameters: JsonObject = field(hash=False)
    """JSON Schema of the arguments object."""

    def to_openai(self) -> dict[str, JsonValue]:
        """Return the tool in OpenAI's shape."""
        function: dict[str, JsonValue] = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    """For role `tool`: which call this is the result of."""

    def to_openai(self) -> dict[str, JsonValue]:
        """Return the message in OpenAI's shape."""
        shape: dict[str, JsonValue] = {"role": self.role, "content": self.text}
        if self.tool_calls:
            shape["content"] = self.text or None
            shape["tool_calls"] = [call.to_openai() for call in self.tool_calls]
        if self.tool_call_id is not None:
            shape["tool_call_id"] = self.tool_call_id
        return shape


@dataclass(frozen=True, slots=True)
class GenerationParams:
    """How to generate one completion."""

    temperature: float = 0.0
    """Softmax temperature, 0.0 (greedy) to 2.0."""
    top_p: float = 1.0
    """Nucleus share of the probability that is sampled from, above 0.0 to 1.0."""
    max_tokens: int = 256
    """Upper bound on new tokens, 1 to 4096."""
    seed: int | None = None
    """Seed of the sampling; None draws one."""
    stop: tuple[str, ...] = ()
    """Texts that end the completion; they are not part of it. At most four."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if not 0.0 <= self.temperature <= MAX_TEMPERATURE:
            raise InputError(f"temperature must be between 0.0 and 2.0, got {self.temperature!r}")
        if not 0.0 < self.top_p <= 1.0:
            raise InputError(f"top_p must be above 0.0 and at most 1.0, got {self.top_p!r}")
        if not 1 <= self.max_tokens <= MAX_NEW_TOKENS:
            raise InputError(
                f"max_tokens must be between 1 and {MAX_NEW_TOKENS}, got {self.max_tokens!r}"
            )
        if self.seed is not None and not 0 <= self.seed < 2**32:
            raise InputError(f"seed must be between 0 and 4294967295, got {self.seed!r}")
        if len(self.stop) > 4 or not all(self.stop):
            raise InputError("stop must be at most four texts, none of them empty")

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the parameters as JSON."""
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "stop": list(self.stop),
        }


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which weights answered: id in the catalog, and digest as the runtime reports it."""

    id: str
    digest: str | None
    """`sha256:...` of the weights; None when a remote provider does not tell."""
    served: str | None = None
    """The name under which a server says it answered; None: not said, or no server."""
    fingerprint: str | None = None
    """What a server says that its weights and settings are (OpenAI's `system_fingerprint`)."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the reference as JSON, with what a server told."""
        told = {"served": self.served, "fingerprint": self.fingerprint}
        known = {name: value for name, value in told.items() if value is not None}
        return {"id": self.id, "digest": self.digest, **known}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one generation, as the provider counted them; None when it did not tell."""

    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None = None
    """Part of `input_tokens` that the provider read from its cache."""
    cache_write_tokens: int | None = None
    """Part of `input_tokens` that the provider wrote to its cache, which some charge extra."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the usage as JSON."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "cache_write_tokens": self.cache_write_tokens,
        }


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one generation went; seconds, None when it did not happen."""

    load_s: float
    """Loading weights before this request could start; 0.0 when they were loaded."""
    queue_s: float
    """Waiting behind other requests in this process; a server's queue is in `first_token_s`."""
    first_token_s: float | None
    """From the end of loading to the first token, waiting included."""
    total_s: float
    """From the end of loading to the end of the completion, waiting included."""
    tokens_per_s: float | None
    """Output tokens after the first per second of decoding; None below two tokens."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the timings as JSON."""
        return {
            "load_s": self.load_s,
            "queue_s": self.queue_s,
            "first_token_s": self.first_token_s,
            "total_s": self.total_s,
            "tokens_per_s": self.tokens_per_s,
        }


@dataclass(frozen=True, slots=True)
class Generation:
    """One finished model call, with everything an answer must carry."""

    text: str
    """The completion without its tool calls."""
    tool_calls: tuple[ToolCall, ...]
    model: ModelRef
    adapter: ModelRef | None
    params: GenerationParams
    usage: Usage
    timings: Timings
    cost_usd: float | None
    """None when no price is known."""
    finish_reason: FinishReason
    trace_id: str
    cache: CacheState = "bypass"
    route: str | None = None
    """How the model was chosen; None when the caller named it."""
    attempts: int = 1
    """Calls that were sent to models, the one that answered included; 0 for a cache hit."""
    reports: Reports = field(default_factory=Reports)
    dropped_messages: int = 0
    """Oldest messages left out to fit the context; 0 unless the caller asked for trimming."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the generation as `core chat --json` prints it."""
        calls = [call.to_openai() for call in self.tool_calls]
        return {"text": self.text, "tool_calls": calls, **self.facts()}

    def facts(self) -> dict[str, JsonValue]:
        """Return everything but what the model said."""
        return {
            "model": self.model.to_dict(),
            "adapter": self.adapter.to_dict() if self.adapter else None,
            "params": self.params.to_dict(),
            "usage": self.usage.to_dict(),
            "timings": self.timings.to_dict(),
            "cost_usd": self.cost_usd,
            "cache": self.cache,
            "route": self.route,
            "attempts": self.attempts,
            **self.reports.to_dict(),
            "finish_reason": self.finish_reason,
            "dropped_messages": self.dropped_messages,
            "trace_id": self.trace_id,
        }


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a caller asks of the gateway."""

    model: str
    """`MODEL` or `MODEL@VERSION`, by catalog id."""
    messages: tuple[Message, ...]
    params: GenerationParams
    caller: str
    """Who asks, for limits and traces: a visitor id, a key's digest, `cli`."""
    tools: tuple[Tool, ...] = ()
    is_admin: bool = False
    trim_history: bool = False
    """Leave out the oldest turns when the prompt exceeds the context, instead of refusing."""
    conversation_id: str | None = None
    cache: CacheUse = "auto"
    filter: bool = False
    """Cut meta-language ("Let me first analyze...") out of the answer."""
    json_mode: bool = False
    """Answer with JSON, whatever its shape."""
    schema: JsonObject | None = field(default=None, hash=False)
    """JSON Schema that the answer must satisfy; implies JSON."""
    cancel: Event = field(default_factory=Event, compare=False)
    """Set it to end the generation within one token; what came so far is the answer."""
    together: "Together | None" = field(default=None, compare=False)
    """Requests to share a local model's batch with, and nobody else; None: with whoever asks."""
    together_index: int = 0
    """Place among them."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something slow before the first token is."""

    stage: str
    """What happens, in words: "downloading", "loading", "waiting"."""
    done: int = 0
    total: int = 0
    """Same unit as `done` (bytes for downloads); 0 when unknown."""
    detail: str = ""
    """What else a person should know: the place in a queue, the expected wait."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a stream: text, or progress before it, or at the end the whole generation.

    The texts of all deltas after the last restart are together the generation's text.
    """

    text: str = ""
    call_text: str = ""
    """Raw text of a tool call in the making; the finished calls come with the generation."""
    progress: Progress | None = None
    restart: str = ""
    """Why everything streamed so far is withdrawn: its model failed and another one begins."""
    generation: Generation | None = None


def new_id() -> str:
    """Return a random id of 32 hexadecimal digits."""
    return uuid.uuid4().hex
