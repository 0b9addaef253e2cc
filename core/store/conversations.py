"""Conversations of visitors: what was said, what was liked, what was corrected.

Rows are only added; undo and retry mark messages as withdrawn. Only `delete` removes, and it
removes for good. A conversation that is another visitor's does not exist for this one.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, func, insert, select, update

from core.errors import InputError, NotFoundError
from core.messages import Generation, Message, new_id
from core.store import tables
from core.store.database import Store
from core.store.ownership import check_answer, owned_conversation, touch
from core.store.records import (
    Conversation,
    ConversationSummary,
    StoredMessage,
    read_messages,
    stored_message,
)
from core.store.text import clean_json, clean_text, title_of

MAX_REASON_LENGTH = 2000

conversations, messages = tables.conversations, tables.messages
feedback, corrections = tables.feedback, tables.corrections
traces, spans = tables.traces, tables.spans


class Conversations:
    """The conversations in a store; every method raises StorageError when it cannot be used."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, visitor: str, model: str, title: str) -> Conversation:
        """Start an empty conversation; the title is shortened as `title_of` does."""
        now = datetime.now(UTC)
        new = Conversation(
            id=new_id(),
            title=title_of(title),
            model=model,
            created_at=now,
            updated_at=now,
            messages=(),
        )
        values = {"id": new.id, "visitor": visitor, "title": new.title, "model": model}
        with self._store.write() as connection:
            connection.execute(
                insert(conversations).values(**values, created_at=now, updated_at=now)
            )
        return new

    def list(self, visitor: str) -> tuple[ConversationSummary, ...]:
        """Return a visitor's conversations, newest activity first."""
        count = (
            select(func.count())
            .where(messages.c.conversation_id == conversations.c.id)
            .where(messages.c.withdrawn_at.is_(None))
            .scalar_subquery()
        )
        chosen = conversations.c
        query = (
            select(
                chosen.id,
                chosen.title,
                chosen.model,
                chosen.updated_at,
                count.label("message_count"),
            )
            .where(chosen.visitor == visitor)
            .order_by(chosen.updated_at.desc(), chosen.id.desc())
        )
        with self._store.read() as connection:
            rows = connection.execute(query).mappings().all()
        return tuple(ConversationSummary(**row) for row in rows)

    def get(self, visitor: str, conversation_id: str) -> Conversation:
        """Return one conversation with its visible messages.

        Raises:
            NotFoundError: this visitor has no such conversation.
        """
        with self._store.read() as connection:
            row = owned_conversation(connection, visitor, conversation_id)
            visible = read_messages(connection, conversation_id)
        return Conversation(
            id=row["id"],
            title=row["title"],
            model=row["model"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            messages=visible,
        )

    def add(
        self,
        visitor: str,
        conversation_id: str,
        message: Message,
        generation: Generation | None = None,
    ) -> StoredMessage:
        """Append a finished message and return it as stored.

        The generation is the one that said this message; its text is not kept twice. NUL
        characters are left out and broken surrogates replaced: not every database stores them.

        Raises:
            NotFoundError: this visitor has no such conversation.
        """
        now = datetime.now(UTC)
        calls = clean_json([call.to_openai() for call in message.tool_calls])
        facts = clean_json(generation.facts()) if generation else None
        last = select(func.max(messages.c.position)).filter_by(conversation_id=conversation_id)
        with self._store.write() as connection:
            owned_conversation(connection, visitor, conversation_id)
            highest = connection.scalar(last)
            new = insert(messages).values(
                id=new_id(),
                conversation_id=conversation_id,
                position=0 if highest is None else highest + 1,
                role=message.role,
                text=clean_text(message.text),
                tool_calls=calls,
                tool_call_id=message.tool_call_id and clean_text(message.tool_call_id),
                generation=facts,
                created_at=now,
            )
            row = connection.execute(new.returning(messages)).mappings().one()
            touch(connection, conversation_id, now)
        return stored_message(row)

    def withdraw(self, visitor: str, conversation_id: str, from_position: int) -> None:
        """Hide the messages from a position on, for undo and retry; they are kept unseen.

        Raises:
            NotFoundError: this visitor has no such conversation.
        """
        now = datetime.now(UTC)
        with self._store.write() as connection:
            owned_conversation(connection, visitor, conversation_id)
            connection.execute(
                update(messages)
                .where(messages.c.conversation_id == conversation_id)
                .where(messages.c.position >= from_position)
                .where(messages.c.withdrawn_at.is_(None))
                .values(withdrawn_at=now)
            )
            touch(connection, conversation_id, now)

    def rate(self, visitor: str, message_id: str, liked: bool | None, reason: str = "") -> None:
        """Like or dislike an answer; None takes the verdict back. The newest counts.

        Raises:
            InputError: the reason has more than 2,000 characters, or this is no answer.
            NotFoundError: this visitor sees no such message.
        """
        if len(reason) > MAX_REASON_LENGTH:
            raise InputError(
                f"a reason has at most {MAX_REASON_LENGTH} characters, got {len(reason)}"
            )
        kept = "" if liked is None else clean_text(reason)
        with self._store.write() as connection:
            check_answer(connection, visitor, message_id)
            new = insert(feedback).values(message_id=message_id, liked=liked, reason=kept)
            connection.execute(new.values(created_at=datetime.now(UTC)))

    def correct(self, visitor: str, message_id: str, text: str) -> None:
        """Store what an answer should have been, beside the answer. The newest counts.

        Raises:
            InputError: the text is empty, or this is no answer.
            NotFoundError: this visitor sees no such message.
        """
        cleaned = clean_text(text)
        if not cleaned.strip():
            raise InputError("a correction cannot be empty; write what the answer should be")
        with self._store.write() as connection:
            check_answer(connection, visitor, message_id)
            new = insert(corrections).values(message_id=message_id, text=cleaned)
            connection.execute(new.values(created_at=datetime.now(UTC)))

    def delete(self, visitor: str, conversation_id: str) -> None:
        """Remove a conversation for good, and the texts in its traces.

        Raises:
            NotFoundError: this visitor has no such conversation.
        """
        of_conversation = select(messages.c.id).filter_by(conversation_id=conversation_id)
        its_traces = select(traces.c.id).filter_by(conversation_id=conversation_id)
        with self._store.write() as connection:
            owned_conversation(connection, visitor, conversation_id)
            for table in (feedback, corrections):
                connection.execute(delete(table).where(table.c.message_id.in_(of_conversation)))
            connection.execute(delete(messages).filter_by(conversation_id=conversation_id))
            connection.execute(delete(conversations).filter_by(id=conversation_id))
            # Traces first: one that ends now waits for this row, then leaves its texts out.
            blanked = update(traces).filter_by(conversation_id=conversation_id)
            connection.execute(blanked.values(is_blanked=True))
            texts = update(spans).where(spans.c.trace_id.in_(its_traces))
            connection.execute(texts.values(input=None, output=None))

    def export(self, visitor: str, conversation_ids: Sequence[str] | None = None) -> Iterator[str]:
        """Yield conversations as JSONL lines in OpenAI's `messages` format; None means all.

        Withdrawn messages and empty conversations are left out. A line's `feedback` refers to
        messages by their index in the line.

        Raises:
            NotFoundError: this visitor has no such conversation; raised before the first line.
        """
        if conversation_ids is None:
            conversation_ids = [summary.id for summary in self.list(visitor)]
        for each in conversation_ids:
            with self._store.read() as connection:
                owned_conversation(connection, visitor, each)
        return self._lines(visitor, conversation_ids)

    def _lines(self, visitor: str, conversation_ids: Sequence[str]) -> Iterator[str]:
        for each in conversation_ids:
            try:
                conversation = self.get(visitor, each)
            except NotFoundError:
                continue  # deleted while the export runs
            if conversation.messages:
                yield conversation.to_json_line()
