"""Who may touch what: a row of another visitor is the same as no row."""

import re
from datetime import datetime

from sqlalchemy import Connection, RowMapping, select, update

from core.errors import InputError, NotFoundError
from core.store.tables import conversations, messages

ID = re.compile(r"[0-9a-f]{32}")


def is_id(text: str) -> bool:
    """Say whether a text from outside can be one of our ids at all."""
    return ID.fullmatch(text) is not None


def owned_conversation(connection: Connection, visitor: str, conversation_id: str) -> RowMapping:
    """Return the visitor's conversation, locked until the transaction ends.

    Raises:
        NotFoundError: this visitor has no such conversation.
    """
    query = select(conversations).filter_by(id=conversation_id, visitor=visitor).with_for_update()
    row = connection.execute(query).mappings().one_or_none() if is_id(conversation_id) else None
    if row is None:
        raise NotFoundError(f"no conversation {conversation_id!r}; choose one from your list")
    return row


def check_answer(connection: Connection, visitor: str, message_id: str) -> None:
    """Check that a message is an answer that the visitor sees, and lock its conversation.

    Raises:
        InputError: the message is not from the assistant.
        NotFoundError: this visitor sees no such message.
    """
    query = (
        select(messages.c.role)
        .join(conversations)
        .where(messages.c.id == message_id, messages.c.withdrawn_at.is_(None))
        .where(conversations.c.visitor == visitor)
        .with_for_update(of=conversations)
    )
    role = connection.scalar(query) if is_id(message_id) else None
    if role is None:
        raise NotFoundError(f"no message {message_id!r}; reload the conversation")
    if role != "assistant":
        raise InputError(f"only answers can be rated or corrected; this message is from {role!r}")


def touch(connection: Connection, conversation_id: str, now: datetime) -> None:
    """Note the time of a conversation's newest activity."""
    connection.execute(update(conversations).filter_by(id=conversation_id).values(updated_at=now))
