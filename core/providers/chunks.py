"""The chunks of an OpenAI-compatible stream, checked and put together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from core.errors import GenerationError
from core.messages import FinishReason, ToolCall, Usage, new_id

FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
"""What servers say, in our words."""


@dataclass(frozen=True, slots=True)
class FunctionPiece:
    """A piece of a tool call's name and arguments."""

    name: str | None = None
    arguments: str | None = None


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of a tool call."""

    index: int = 0
    id: str | None = None
    function: FunctionPiece = field(default_factory=FunctionPiece)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one choice adds to the answer."""

    content: str | None = None
    tool_calls: tuple[CallPiece, ...] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The one choice that we ask for; the chunk with the usage has none."""

    delta: Piece = field(default_factory=Piece)
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens, as the server counted them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of the stream; what we don't use is left out."""

    choices: tuple[Choice, ...] = ()
    usage: Counts | None = None


SHAPE = TypeAdapter(Chunk)


def parse_chunk(value: Any) -> Chunk:
    """Read a chunk as the client gives it: unchecked.

    Raises:
        GenerationError: it is not what a chunk is.
    """
    fields = value.to_dict(warnings=False) if hasattr(value, "to_dict") else value
    try:
        return SHAPE.validate_python(fields)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise GenerationError(
            f"the server's answer is malformed at {where or 'a chunk'}"
        ) from error


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
        self.usage = Usage(None, None)
        self.moments: list[float] = []
        """When each piece of the answer came."""
        self._reason: str | None = None
        self._calls: list[CallDraft] = []
        self._open: dict[int, CallDraft] = {}
        """By the server's index."""

    @property
    def is_finished(self) -> bool:
        """Whether the server has said why it ended."""
        return self._reason is not None

    def take(self, chunk: Chunk, moment: float) -> str:
        """Add a chunk; return its text."""
        if chunk.usage is not None:
            self.usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        text = ""
        for choice in chunk.choices[:1]:
            text = choice.delta.content or ""
            for piece in choice.delta.tool_calls or ():
                self._add_call(piece)
            if text or choice.delta.tool_calls:
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
            raise GenerationError("the server's answer broke off; try again")
        reason = FINISH_REASONS.get(self._reason)
        if reason is None:
            raise GenerationError(f"the server ended its answer with {self._reason[:40]!r}")
        if not all(call.name for call in self._calls):
            raise GenerationError("the server's answer has a tool call without a name")
        return "stop" if reason == "tool_calls" and not self._calls else reason

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Return the calls; one without arguments has none to give: an empty object."""
        return tuple(ToolCall(c.id, c.name, c.arguments or "{}") for c in self._calls)

    def _add_call(self, piece: CallPiece) -> None:
        """Add to the call at this index; some servers give every call the index 0, with new ids."""
        draft = self._open.get(piece.index)
        if draft is None or (piece.id and piece.function.name and piece.id != draft.id):
            draft = CallDraft(piece.id or new_id())
            self._open[piece.index] = draft
            self._calls.append(draft)
        draft.name = draft.name or piece.function.name or ""
        draft.arguments += piece.function.arguments or ""
