"""What the store hands out: conversations with their messages, and how rows become them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, RowMapping, Table, select

from core.errors import StorageError
from core.messages import (
    Generation,
    GenerationParams,
    Message,
    ModelRef,
    Timings,
    ToolCall,
    Usage,
)
from core.reports import Reports
from core.store.tables import corrections, feedback, messages

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """One line of a visitor's list."""

    id: str
    title: str
    model: str
    updated_at: datetime
    message_count: int


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as it was stored, with what a person said about it."""

    id: str
    position: int
    """Grows within the conversation; withdrawn messages leave gaps."""
    message: Message
    generation: Generation | None
    created_at: datetime
    liked: bool | None = None
    reason: str = ""
    correction: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation with its visible messages, in order."""

    id: str
    title: str
    model: str
    created_at: datetime
    updated_at: datetime
    messages: tuple[StoredMessage, ...]

    @property
    def unanswered(self) -> bool:
        """Whether the last message waits for an answer: the app died, or is still answering."""
        return bool(self.messages) and self.messages[-1].message.role in ("user", "tool")

    def to_json_line(self) -> str:
        """Return the conversation as one line of JSONL in OpenAI's `messages` format."""
        line = {
            "id": self.id,
            "model": self.model,
            "messages": [stored.message.to_openai() for stored in self.messages],
            "feedback": [
                {
                    "message": index,
                    "liked": stored.liked,
                    "reason": stored.reason,
                    "correction": stored.correction,
                }
                for index, stored in enumerate(self.messages)
                if stored.liked is not None or stored.correction is not None
            ],
            "created_at": self.created_at.isoformat(),
        }
        return json.dumps(line, ensure_ascii=False)


def read_messages(connection: Connection, conversation_id: str) -> tuple[StoredMessage, ...]:
    """Return the visible messages of a conversation, with the newest verdict on each."""
    query = (
        select(messages)
        .filter_by(conversation_id=conversation_id, withdrawn_at=None)
        .order_by(messages.c.position)
    )
    rows = connection.execute(query).mappings().all()
    found = {row["id"]: stored_message(row) for row in rows}
    for row in _verdicts(connection, feedback, conversation_id):
        stored = found[row["message_id"]]
        found[stored.id] = replace(stored, liked=row["liked"], reason=row["reason"])
    for row in _verdicts(connection, corrections, conversation_id):
        stored = found[row["message_id"]]
        found[stored.id] = replace(stored, correction=row["text"])
    return tuple(found.values())


def _verdicts(connection: Connection, table: Table, conversation_id: str) -> Sequence[RowMapping]:
    """Return the verdicts on visible messages, oldest first, so that the newest is read last."""
    query = (
        select(table)
        .join(messages)
        .where(messages.c.conversation_id == conversation_id, messages.c.withdrawn_at.is_(None))
        .order_by(table.c.id)
    )
    return connection.execute(query).mappings().all()


def stored_message(row: RowMapping) -> StoredMessage:
    """Make a message from its row, without verdicts."""
    message = Message(
        role=row["role"],
        text=row["text"],
        tool_calls=tool_calls_of(row["tool_calls"]),
        tool_call_id=row["tool_call_id"],
    )
    facts = row["generation"]
    return StoredMessage(
        id=row["id"],
        position=row["position"],
        message=message,
        generation=None if facts is None else generation_from_facts(facts, message),
        created_at=row["created_at"],
    )


def generation_from_facts(facts: Mapping[str, Any], message: Message) -> Generation:
    """Read what `Generation.facts` wrote, for the message that the model said.

    Raises:
        StorageError: a key is missing or unknown.
    """
    names = {field.name for field in fields(Reports)}
    own = {key: value for key, value in facts.items() if key not in names}
    reports = {key: value for key, value in facts.items() if key in names}
    _check_keys(Generation, own)
    try:
        adapter, params = facts["adapter"], facts["params"]
        parts = {
            "model": _build(ModelRef, facts["model"]),
            "adapter": None if adapter is None else _build(ModelRef, adapter),
            "params": _build(GenerationParams, {**params, "stop": tuple(params["stop"])}),
            "usage": _build(Usage, facts["usage"]),
            "timings": _build(Timings, facts["timings"]),
            "reports": Reports.from_dict(reports) if reports else Reports(),
        }
        return Generation(**{**own, **parts}, text=message.text, tool_calls=message.tool_calls)
    except (KeyError, TypeError) as error:
        raise StorageError(f"a stored generation cannot be read: {error}") from error


def tool_calls_of(values: Sequence[Mapping[str, Any]]) -> tuple[ToolCall, ...]:
    """Read what `ToolCall.to_openai` wrote of each call."""
    return tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in values
    )


def _build(kind: type[Part], value: Mapping[str, Any]) -> Part:
    _check_keys(kind, value)
    return kind(**value)


def _check_keys(kind: type[Any], value: Mapping[str, Any]) -> None:
    unknown = sorted(set(value) - {field.name for field in fields(kind)})
    if unknown:
        raise StorageError(
            f"a stored {kind.__name__} has the unknown key {unknown[0]!r}; update Understudy"
        )
