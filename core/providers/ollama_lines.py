"""The lines of an Ollama answer, checked and brought into the shape of OpenAI's chunks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from core.providers.chunks import (
    CallPiece,
    Choice,
    Chunk,
    Count,
    Counts,
    FunctionPiece,
    Name,
    Piece,
    malformed,
)

MAX_LOAD_NS = 24 * 3600 * 10**9


def _nanoseconds(value: object) -> int:
    """Return a duration, or 0 for what can't be one."""
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return value if 0 <= value <= MAX_LOAD_NS else 0


@dataclass(frozen=True, slots=True)
class Function:
    """A call's name and its arguments, an object."""

    name: str
    arguments: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; Ollama sends each whole, old servers without an id."""

    function: Function
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What a line adds to the answer."""

    content: str | None = None
    tool_calls: tuple[Call, ...] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the answer; what we don't use is left out."""

    model: Name = None
    message: Part | None = None
    done: bool = False
    done_reason: str | None = None
    """Only with `done`; servers of 2023 do not tell."""
    prompt_eval_count: Count = None
    eval_count: Count = None
    load_duration: Annotated[int, BeforeValidator(_nanoseconds)] = 0
    """Nanoseconds."""

    @property
    def call_count(self) -> int:
        """Return how many tool calls the line brings."""
        return len(self.message.tool_calls or ()) if self.message else 0


SHAPE = TypeAdapter(Line)


def parse_line(value: object) -> Line:
    """Read the JSON value of a line.

    Raises:
        GenerationError: it is not what a line is.
    """
    try:
        return SHAPE.validate_python(value)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise malformed(f"the server's answer is malformed at {where or 'a line'}") from error


def chunk_of(line: Line, calls: int) -> Chunk:
    """Return the line as a chunk; `calls` tool calls came before it."""
    part = line.message or Part()
    pieces = tuple(
        CallPiece(calls + number, call.id, FunctionPiece(call.function.name, _arguments(call)))
        for number, call in enumerate(part.tool_calls or ())
    )
    reason = (line.done_reason or "stop") if line.done else None
    return Chunk(
        choices=(Choice(Piece(content=part.content, tool_calls=pieces or None), reason),),
        usage=Counts(line.prompt_eval_count, line.eval_count) if line.done else None,
        model=line.model,
        load_s=line.load_duration / 1e9,
    )


def _arguments(call: Call) -> str:
    return json.dumps(call.function.arguments or {}, ensure_ascii=False)
