"""Structured answers, one pure step each: read, check, ask again.

The gateway's loop: `read_answer`; when it has errors, one more call with `re_ask`; when that has
errors too, a `GenerationError` with failure `malformed`.
"""

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from core.errors import InputError
from core.gateway.guard.schemas import check_schema, validate
from core.json_text import JsonFailure, JsonRead, canonical, parse_json
from core.messages import JsonObject, JsonValue, Message

__all__ = [
    "JsonFailure",
    "JsonRead",
    "Mismatch",
    "Structured",
    "as_model",
    "check_schema",
    "parse_json",
    "re_ask",
    "read_answer",
    "schema_of",
    "validate",
]

M = TypeVar("M", bound=BaseModel)

MAX_ERRORS = 10

MAX_QUOTED_CHARACTERS = 8_000
"""How much of a wrong answer the model is shown again."""
ASK_AGAIN = """\
Your answer could not be used:
{errors}
Answer again with the corrected JSON only: no explanation, no code fence."""


@dataclass(frozen=True, slots=True)
class Structured:
    """An answer that was to be JSON; it may be used when `errors` is empty."""

    value: JsonValue
    """None as well when nothing could be read."""
    text: str
    """Canonical JSON of the value; empty when nothing could be read."""
    raw_text: str
    """What the model wrote."""
    repaired: bool
    """Whether the model's text as it stood was no strict JSON."""
    repairs: tuple[str, ...]
    """See `JsonRead.repairs`; with `closed` the answer may have been cut."""
    errors: tuple[str, ...]
    """What is wrong, as `$.path: what`, at most 10."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why a value is no instance of a model."""

    errors: tuple[str, ...]
    """As `$.path: what`, at most 10."""


def read_answer(text: str, schema: JsonObject | None) -> Structured:
    """Read an answer as JSON, with repairs that are named, and check it against the schema.

    Raises:
        InputError: the schema, which must have passed `check_schema`, takes too many steps.
    """
    read = parse_json(text)
    if isinstance(read, JsonFailure):
        return Structured(None, "", text, False, (), (f"$: not JSON: {read.reason}",))
    errors = () if schema is None else validate(read.value, schema)
    return Structured(
        value=read.value,
        text=canonical(read.value),
        raw_text=text,
        repaired=read.repaired,
        repairs=read.repairs,
        errors=errors,
    )


def re_ask(
    messages: tuple[Message, ...], answer: str, errors: tuple[str, ...]
) -> tuple[Message, ...]:
    """Return the conversation that asks for a corrected answer: the wrong one, then its errors."""
    quoted = answer[:MAX_QUOTED_CHARACTERS].strip() or "(no answer)"
    listed = "\n".join(f"- {error}" for error in errors)
    return (
        *messages,
        Message("assistant", quoted),
        Message("user", ASK_AGAIN.format(errors=listed)),
    )


def schema_of(model: type[BaseModel]) -> JsonObject:
    """Return the JSON Schema that answers must follow to become instances of the model.

    Raises:
        InputError: the model has parts that JSON Schema or our bounds on it can't express.
    """
    try:
        schema: dict[str, JsonValue] = model.model_json_schema()
    except PydanticInvalidForJsonSchema as error:
        raise InputError(f"{model.__name__} has no JSON Schema: {error.message}") from error
    check_schema(schema)
    return schema


def as_model(value: JsonValue, model: type[M]) -> M | Mismatch:
    """Return the value as an instance of the model, which runs the model's own validators too."""
    try:
        return model.model_validate_json(canonical(value))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return Mismatch(
            tuple(f"{_path(item['loc'])}: {item['msg'][:200]}" for item in found[:MAX_ERRORS])
        )


def _path(steps: tuple[int | str, ...]) -> str:
    return "$" + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps)
