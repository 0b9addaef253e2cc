"""A visitor's conversations with a model: ask, stop, retry, undo; nothing finished is lost.

The question is stored before the model is called, and the answer when it is finished or stopped.
A process that dies in between leaves a conversation that ends with its question, and says so.
"""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from core.errors import InputError
from core.gateway.gateway import Gateway
from core.messages import (
    Delta,
    Generation,
    GenerationParams,
    GenerationRequest,
    Message,
    Progress,
    Tool,
)
from core.store import Conversation, Conversations, StoredMessage

FRAME_S = 0.07
"""Least time between two frames of a streamed answer."""


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """How the model is asked, besides the message."""

    model: str
    params: GenerationParams
    system: str = ""
    tools: tuple[Tool, ...] = ()
    filter: bool = False
    """Cut meta-language out of the answers."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who chats: the visitor that owns the conversation, and whether as an admin."""

    visitor: str
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """What a page shows of an answer in the making."""

    conversation_id: str
    text: str = ""
    call_text: str = ""
    progress: Progress | None = None
    is_done: bool = False


class Chats:
    """Conversations, and the answers that are being written in this process."""

    def __init__(self, gateway: Gateway, conversations: Conversations) -> None:
        self._gateway = gateway
        self._conversations = conversations
        self._running: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def ask(
        self, person: Person, conversation_id: str | None, options: ChatOptions, text: str
    ) -> Generator[Frame, None, None]:
        """Store the message, and yield frames of the answer; closing it stops and keeps the rest.

        Raises:
            InputError: the message is empty, or an answer is already being written.
            AppError: whatever the gateway raises; the question stays stored.
        """
        if not text.strip():
            raise InputError("write a message first")
        question = Message("user", text)
        self._gateway.check(_request(person, options, (question,), None))
        if conversation_id is None:
            created = self._conversations.create(person.visitor, options.model, text)
            conversation_id = created.id
        with self._turn(person, conversation_id) as cancel:
            self._conversations.add(person.visitor, conversation_id, question)
            yield Frame(conversation_id)
            yield from self._answer(person, conversation_id, options, cancel)

    def retry(
        self, person: Person, conversation_id: str, options: ChatOptions
    ) -> Generator[Frame, None, None]:
        """Withdraw the last answer, if there is one, and answer the last question again.

        Raises:
            InputError: there is no question, or an answer is already being written.
            AppError: whatever the gateway raises; what it refuses at once withdraws nothing.
        """
        with self._turn(person, conversation_id) as cancel:
            conversation = self._conversations.get(person.visitor, conversation_id)
            question = _last_question(conversation)
            kept = tuple(_as_sent(m) for m in conversation.messages if m.position <= question)
            self._gateway.check(_request(person, options, kept, conversation_id))
            self._conversations.withdraw(person.visitor, conversation_id, question + 1)
            yield Frame(conversation_id)
            yield from self._answer(person, conversation_id, options, cancel)

    def undo(self, person: Person, conversation_id: str) -> str:
        """Withdraw the last question and its answer; return the question.

        Raises:
            InputError: there is no question, or an answer is being written.
        """
        with self._turn(person, conversation_id):
            conversation = self._conversations.get(person.visitor, conversation_id)
            position = _last_question(conversation)
            self._conversations.withdraw(person.visitor, conversation_id, position)
            return next(m.message.text for m in conversation.messages if m.position == position)

    def stop(self, person: Person, conversation_id: str) -> None:
        """End the answer that is being written, within one token; what came is kept."""
        self._conversations.get(person.visitor, conversation_id)
        with self._lock:
            cancel = self._running.get(conversation_id)
        if cancel:
            cancel.set()

    def is_running(self, conversation_id: str) -> bool:
        """Say whether an answer of this conversation is being written in this process."""
        with self._lock:
            return conversation_id in self._running

    @contextmanager
    def _turn(self, person: Person, conversation_id: str) -> Iterator[threading.Event]:
        """Hold the person's conversation for one change; yield the event that stops the answer."""
        self._conversations.get(person.visitor, conversation_id)
        cancel = threading.Event()
        with self._lock:
            if conversation_id in self._running:
                raise InputError("an answer is still being written; stop it or wait for it")
            self._running[conversation_id] = cancel
        try:
            yield cancel
        finally:
            with self._lock:
                del self._running[conversation_id]

    def _answer(
        self,
        person: Person,
        conversation_id: str,
        options: ChatOptions,
        cancel: threading.Event,
    ) -> Generator[Frame, None, None]:
        conversation = self._conversations.get(person.visitor, conversation_id)
        messages = tuple(_as_sent(stored) for stored in conversation.messages)
        request = _request(person, options, messages, conversation_id, cancel)
        stream = self._gateway.generate(request)
        draft = _Draft(conversation_id)
        try:
            for delta in stream:
                if draft.take(delta):
                    yield draft.frame()
        except GeneratorExit:
            # The page is gone: end the generation, and keep what it had said.
            cancel.set()
            for delta in stream:
                draft.take(delta)
            self._keep(person, draft)
            raise
        self._keep(person, draft)
        yield draft.frame(is_done=True)

    def _keep(self, person: Person, draft: "_Draft") -> None:
        generation = draft.generation
        assert generation is not None, "a gateway ends with a generation"
        message = Message("assistant", generation.text, generation.tool_calls)
        self._conversations.add(person.visitor, draft.conversation_id, message, generation)


class _Draft:
    """An answer in the making."""

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.generation: Generation | None = None
        self._text = ""
        self._call_text = ""
        self._progress: Progress | None = None
        self._shown = 0.0

    def take(self, delta: Delta) -> bool:
        """Add a delta; say whether it is time to show a frame."""
        if delta.restart:
            self._text = self._call_text = ""
        self._text += delta.text
        self._call_text += delta.call_text
        self._progress = delta.progress
        self.generation = delta.generation or self.generation
        now = time.monotonic()
        if now - self._shown < FRAME_S or delta.generation:
            return False
        self._shown = now
        return True

    def frame(self, *, is_done: bool = False) -> Frame:
        """Return what the page shows now."""
        return Frame(self.conversation_id, self._text, self._call_text, self._progress, is_done)


def _request(
    person: Person,
    options: ChatOptions,
    messages: tuple[Message, ...],
    conversation_id: str | None,
    cancel: threading.Event | None = None,
) -> GenerationRequest:
    system = (Message("system", options.system),) if options.system.strip() else ()
    return GenerationRequest(
        model=options.model,
        messages=system + messages,
        params=options.params,
        caller=person.visitor,
        tools=options.tools,
        filter=options.filter,
        is_admin=person.is_admin,
        trim_history=True,
        conversation_id=conversation_id,
        cancel=cancel or threading.Event(),
    )


def _as_sent(stored: StoredMessage) -> Message:
    """Return the message as the model sees it: corrected where a person corrected it."""
    if stored.correction is None:
        return stored.message
    return Message(stored.message.role, stored.correction)


def _last_question(conversation: Conversation) -> int:
    """Return the position of the last message of a person."""
    for stored in reversed(conversation.messages):
        if stored.message.role == "user":
            return stored.position
    raise InputError("there is no message to go back to")
