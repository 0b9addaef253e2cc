"""The chunks of a stream in OpenAI's shape, checked and put together.

A count or a name that can't be right is unknown, not a failure: the answer itself still counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from core.errors import GenerationError
from core.messages import FinishReason, ToolCall, Usage, new_id
from core.providers.base import failed

MAX_COUNT = 10_000_000
"""Tokens of one call beyond which a count is no count: no model reads as many."""
MAX_NAME = 200

FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
"""What servers say, in our words."""


def _count(value: object) -> int | None:
    """Return a count of tokens, or None for what can't be one."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_COUNT else None


def _name(value: object) -> str | None:
    return value[:MAX_NAME] or None if isinstance(value, str) else None


def _object(value: object) -> object:
    return value if isinstance(value, Mapping) else None


Count = Annotated[int | None, BeforeValidator(_count)]
Name = Annotated[str | None, BeforeValidator(_name)]


@dataclass(frozen=True, slots=True)
class FunctionPiece:
    """A piece of a tool call's name and arguments."""

    name: str | None = None
    arguments: str | None = None


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a tool call."""

    index: int | None = None
    id: str | None = None
    function: FunctionPiece | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """What one choice adds to the answer."""

    content: str | None = None
    refusal: str | None = None
    """Text of a model that declines to answer in the schema that was asked for."""
    tool_calls: tuple[CallPiece, ...] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The one choice that we ask for; the chunk with the usage has none."""

    delta: Piece | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class PromptDetails:
    """Which part of the prompt the server's own cache took."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens, as the server counted them."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    prompt_tokens_details: Annotated[PromptDetails | None, BeforeValidator(_object)] = None


LooseCounts = Annotated[Counts | None, BeforeValidator(_object)]


@dataclass(frozen=True, slots=True)
class GroqPart:
    """What Groq adds; some of its models count tokens only here."""

    usage: LooseCounts = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of the stream; what we don't use is left out."""

    choices: tuple[Choice, ...] | None = None
    usage: LooseCounts = None
    model: Name = None
    system_fingerprint: Name = None
    x_groq: Annotated[GroqPart | None, BeforeValidator(_object)] = None
    load_s: float = 0.0
    """Seconds of loading the weights, where a server tells; not OpenAI's."""

    @property
    def counts(self) -> Counts | None:
        """Return the tokens, wherever the server tells them."""
        return self.usage or (self.x_groq.usage if self.x_groq else None)


SHAPE = TypeAdapter(Chunk)


def parse_chunk(value: object) -> Chunk:
    """Read a chunk: whatever JSON the server sent.

    Raises:
        GenerationError: it is not what a chunk is.
    """
    try:
        return SHAPE.validate_python(value)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise malformed(f"the server's answer is malformed at {where or 'a chunk'}") from error


def malformed(text: str) -> GenerationError:
    """Return the error for an answer that is not what was agreed."""
    return failed(GenerationError(text), "malformed")


@dataclass(slots=True)
class CallDraft:
    """A tool call in the making."""

    id: str
    name: str = ""
    arguments: str = ""


class Assembly:
    """An answer in the making."""

    def __init__(self) -> None:
        self.text = ""
        self.served_model: str | None = None
        self.fingerprint: str | None = None
        self.load_s = 0.0
        self.moments: list[float] = []
        """When each piece of the answer came."""
        self._counts = Counts()
        self._reason: str | None = None
        self._calls: list[CallDraft] = []
        self._open: dict[int, CallDraft] = {}
        """By the server's index."""

    @property
    def is_finished(self) -> bool:
        """Whether the server has said why it ended."""
        return self._reason is not None

    @property
    def usage(self) -> Usage:
        """The server's count; zero for a prompt, or for an answer that has text, is none."""
        has_answer = bool(self.text or self._calls)
        output = self._counts.completion_tokens
        cached = self._counts.prompt_tokens_details or PromptDetails()
        return Usage(
            input_tokens=self._counts.prompt_tokens or None,
            output_tokens=output or (None if has_answer else output),
            cached_tokens=cached.cached_tokens,
            cache_write_tokens=cached.cache_write_tokens,
        )

    def take(self, chunk: Chunk, moment: float) -> str:
        """Add a chunk; return its text."""
        self._counts = chunk.counts or self._counts
        self.served_model = self.served_model or chunk.model
        self.fingerprint = self.fingerprint or chunk.system_fingerprint
        self.load_s = self.load_s or chunk.load_s
        text = ""
        for choice in (chunk.choices or ())[:1]:
            delta = choice.delta or Piece()
            text = delta.content or delta.refusal or ""
            for piece in delta.tool_calls or ():
                self._add_call(piece)
            if text or delta.tool_calls:
                self.moments.append(moment)
            self._reason = choice.finish_reason or self._reason
        self.text += text
        return text

    def finish(self) -> FinishReason:
        """Say how the answer ended.

        Raises:
            GenerationError: the stream broke off, or its end is one we don't know.
        """
        if self._reason is None:
            raise malformed("the server's answer broke off; try again")
        reason = FINISH_REASONS.get(self._reason)
        if reason is None:
            raise malformed(f"the server ended its answer with {self._reason[:40]!r}")
        if not all(call.name for call in self._calls):
            raise malformed("the server's answer has a tool call without a name")
        if reason in ("stop", "tool_calls"):
            return "tool_calls" if self._calls else "stop"
        return reason

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Return the calls; one without arguments has none to give: an empty object."""
        return tuple(ToolCall(c.id, c.name, c.arguments or "{}") for c in self._calls)

    def _add_call(self, piece: CallPiece) -> None:
        """Add to the call at this index; some servers give every call the index 0, with new ids."""
        index, function = piece.index or 0, piece.function or FunctionPiece()
        draft = self._open.get(index)
        if draft is None or (piece.id and function.name and piece.id != draft.id):
            draft = CallDraft(piece.id or new_id())
            self._open[index] = draft
            self._calls.append(draft)
        draft.name = draft.name or function.name or ""
        draft.arguments += function.arguments or ""
