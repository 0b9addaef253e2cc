"""The Chat tab's state and callbacks.

What the browser sends is never taken as history: every event reads the conversation from the
store, by the visitor's signed cookie.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from gradio.blocks import BlockContext
from gradio.components import Component

from core.access import Access
from core.catalog import Catalog
from core.chats import Chats, Frame, Person
from core.errors import AppError, InputError, NotFoundError
from core.messages import new_id
from core.store import Conversations, StoredMessage
from tabs.bridge import caller_of, handler
from tabs.chat_options import OptionWidgets
from tabs.chat_view import Entry, answer_text, in_the_making, lay_out, progress_text

INTERRUPTED = (
    "The last answer was interrupted, so it is missing here; everything before it is complete. "
    "Use Retry to ask again."
)
NO_COOKIE = "This browser refuses our cookie: conversations last until you close the page."
NOT_KEPT = "Storage is not persistent here: a restart of this Space erases all conversations."
EXPORT = "conversations/export"
PROGRESS = gr.Progress()
Update = dict[Component | BlockContext, Any]


@dataclass(frozen=True, slots=True)
class ChatState:
    """What one browser session remembers."""

    conversation_id: str | None = None
    guest: str = ""
    """Identity of a visitor whose browser refuses cookies; it ends with the page."""
    rated: str | None = None
    """Message that the feedback panel is about."""


@dataclass(frozen=True, slots=True)
class ChatParts:
    """What the tab works with."""

    catalog: Catalog
    chats: Chats
    conversations: Conversations
    access: Access
    is_persistent: bool


@dataclass(frozen=True, slots=True)
class ChatWidgets:
    """The widgets that events change."""

    state: gr.State
    chatbot: gr.Chatbot
    prompt: gr.Textbox
    conversations: gr.Radio
    export: gr.Button
    delete: gr.Button
    edit: gr.Button
    notice: gr.Markdown
    panel: gr.Column
    panel_title: gr.Markdown
    reason: gr.Textbox
    better: gr.Textbox
    options: OptionWidgets

    def changed(self) -> list[Component | BlockContext]:
        """Return what a new view of the conversation changes."""
        return [
            self.state,
            self.chatbot,
            self.prompt,
            self.conversations,
            self.export,
            self.delete,
            self.edit,
            self.notice,
            self.panel,
        ]

    def judged(self) -> list[Component | BlockContext]:
        """Return what opening the feedback panel changes."""
        return [self.state, self.panel, self.panel_title, self.reason, self.better]


class ChatCallbacks:
    """Each reads the store, acts, and returns what changes on the page."""

    def __init__(self, parts: ChatParts, widgets: ChatWidgets) -> None:
        self._parts = parts
        self._widgets = widgets

    def person(self, state: ChatState, request: gr.Request) -> Person:
        """Return who acts: the cookie's visitor, else the guest of this page."""
        caller = caller_of(self._parts.access, request)
        visitor = caller.visitor or f"guest-{state.guest or new_id()}"
        return Person(visitor, caller.is_admin)

    def screen(self, person: Person, state: ChatState, frame: Frame | None = None) -> Update:
        """Return the whole page for a conversation, with an answer in the making if there is one."""
        w, is_writing = self._widgets, frame is not None
        update: Update = {w.state: state}
        entries, verdicts, notice = [], [], self._standing_notice(state, person)
        if state.conversation_id:
            conversation = self._parts.conversations.get(person.visitor, state.conversation_id)
            page = lay_out(conversation)
            entries, verdicts = list(page.entries), list(page.verdicts)
            is_running = self._parts.chats.is_running(conversation.id)
            if conversation.unanswered and not is_running:
                notice = INTERRUPTED
        update[w.chatbot] = gr.update(
            value=entries + (in_the_making(frame) if frame else []), feedback_value=verdicts
        )
        update[w.notice] = gr.update(value=notice, visible=bool(notice))
        update[w.prompt] = gr.update(submit_btn=not is_writing, stop_btn=is_writing)
        update[w.conversations] = gr.update(
            choices=self._titles(person), value=state.conversation_id
        )
        is_open = state.conversation_id is not None
        update[w.delete] = gr.update(visible=is_open and not is_writing)
        update[w.edit] = gr.update(visible="assistant" in [e["role"] for e in entries])
        update[w.export] = gr.update(
            value="Export this one" if is_open else "Export all",
            link=f"{EXPORT}?id={state.conversation_id}" if is_open else EXPORT,
        )
        return update

    def _titles(self, person: Person) -> list[tuple[str, str]]:
        found = self._parts.conversations.list(person.visitor)
        return [(summary.title, summary.id) for summary in found]

    def _standing_notice(self, state: ChatState, person: Person) -> str:
        if person.visitor.startswith("guest-"):
            return NO_COOKIE
        return "" if self._parts.is_persistent else NOT_KEPT

    def on_load(self, state: ChatState, request: gr.Request) -> Update:
        """Open the page with the visitor's list; no conversation is open yet."""
        fresh = replace(state, guest=state.guest or new_id())
        return self.screen(self.person(fresh, request), fresh)

    def on_send(
        self, values: Update, request: gr.Request, progress: gr.Progress = PROGRESS
    ) -> Iterator[Update]:
        """Ask the model and show its answer as it comes."""
        w = self._widgets
        state, text = values[w.state], str(values[w.prompt] or "")
        person, options = self.person(state, request), w.options.read(values)
        frames = self._parts.chats.ask(person, state.conversation_id, options, text)
        yield from self._shown(person, state, frames, progress)

    def on_retry(
        self, values: Update, request: gr.Request, progress: gr.Progress = PROGRESS
    ) -> Iterator[Update]:
        """Answer the last question again, with the options as they are now."""
        state = values[self._widgets.state]
        person, options = self.person(state, request), self._widgets.options.read(values)
        frames = self._parts.chats.retry(person, opened(state), options)
        yield from self._shown(person, state, frames, progress)

    def on_undo(self, state: ChatState, request: gr.Request) -> Update:
        """Take the last question and its answer back; the question returns to the prompt."""
        person = self.person(state, request)
        question = self._parts.chats.undo(person, opened(state))
        update = self.screen(person, state)
        update[self._widgets.prompt] = gr.update(value=question)
        return update

    def on_stop(self, state: ChatState, request: gr.Request) -> None:
        """End the answer that is being written; what came is kept."""
        if state.conversation_id:
            self._parts.chats.stop(self.person(state, request), state.conversation_id)

    def on_open(self, state: ChatState, chosen: str | None, request: gr.Request) -> Update:
        """Open a conversation of the list."""
        changed = replace(state, conversation_id=chosen or None, rated=None)
        return self._closed_panel(self.screen(self.person(state, request), changed))

    def on_new(self, state: ChatState, request: gr.Request) -> Update:
        """Close the open conversation; the next message starts another."""
        return self.on_open(state, None, request)

    def on_delete(self, state: ChatState, request: gr.Request) -> Update:
        """Delete the open conversation for good."""
        person = self.person(state, request)
        self._parts.conversations.delete(person.visitor, opened(state))
        return self.on_open(state, None, request)

    def on_like(self, state: ChatState, data: gr.LikeData, request: gr.Request) -> Update:
        """Store the thumb at once, and ask for a reason and a better answer."""
        person = self.person(state, request)
        message_id = self._message_at(person, state, data.index)
        liked = data.liked if isinstance(data.liked, bool) else None
        self._parts.conversations.rate(person.visitor, message_id, liked)
        return self._panel(person, replace(state, rated=message_id))

    def on_edit(self, state: ChatState, request: gr.Request) -> Update:
        """Open the panel for the last answer."""
        person = self.person(state, request)
        conversation = self._parts.conversations.get(person.visitor, opened(state))
        answers = [m for m in conversation.messages if m.message.role == "assistant"]
        if not answers:
            raise InputError("there is no answer to edit yet")
        return self._panel(person, replace(state, rated=answers[-1].id))

    def on_save(
        self, state: ChatState, reason: str, better: str, request: gr.Request
    ) -> Update:
        """Store the reason, and the better answer if it differs."""
        person, kept = self.person(state, request), self._parts.conversations
        stored = self._rated(person, state)
        kept.rate(person.visitor, stored.id, stored.liked, reason)
        if better.strip() != answer_text(stored).strip():
            kept.correct(person.visitor, stored.id, better)
        return self._closed_panel(self.screen(person, replace(state, rated=None)))

    def on_close(self, state: ChatState, request: gr.Request) -> Update:
        """Close the panel; the thumb stays."""
        return self._closed_panel(self.screen(self.person(state, request), state))

    def _shown(
        self, person: Person, state: ChatState, frames: Iterator[Frame], progress: gr.Progress
    ) -> Iterator[Update]:
        """Yield the page for each frame, then the page with the stored answer."""
        w, base = self._widgets, list[Entry]()
        try:
            for frame in frames:
                if frame.conversation_id != state.conversation_id or not base:
                    state = replace(state, conversation_id=frame.conversation_id)
                    update = self.screen(person, state, frame)
                    update[w.prompt] = gr.update(value="", submit_btn=False, stop_btn=True)
                    base = update[w.chatbot]["value"][:-1]
                    yield update
                elif not frame.is_done:
                    yield {w.chatbot: gr.update(value=base + in_the_making(frame))}
                if frame.progress:
                    done, total = frame.progress.done, frame.progress.total
                    progress((done, total or None), desc=progress_text(frame.progress), unit="bytes")
        except AppError:
            yield self.screen(person, state)
            raise
        yield self.screen(person, state)

    def _message_at(self, person: Person, state: ChatState, index: object) -> str:
        """Return the stored message that an entry of the page belongs to."""
        page = lay_out(self._parts.conversations.get(person.visitor, opened(state)))
        if not isinstance(index, int) or not 0 <= index < len(page.message_ids):
            raise NotFoundError("this message is not there any more; reload the page")
        return page.message_ids[index]

    def _rated(self, person: Person, state: ChatState) -> StoredMessage:
        conversation = self._parts.conversations.get(person.visitor, opened(state))
        for stored in conversation.messages:
            if stored.id == state.rated:
                return stored
        raise NotFoundError("this message is not there any more; reload the page")

    def _panel(self, person: Person, state: ChatState) -> Update:
        w, stored = self._widgets, self._rated(person, state)
        thumb = {True: "You liked this answer.", False: "You disliked this answer.", None: ""}
        return {
            w.state: state,
            w.panel: gr.update(visible=True),
            w.panel_title: f"**{thumb[stored.liked] or 'This answer'}** Why? What would be better?",
            w.reason: stored.reason,
            w.better: answer_text(stored),
        }

    def _closed_panel(self, update: Update) -> Update:
        return {**update, self._widgets.panel: gr.update(visible=False)}


def opened(state: ChatState) -> str:
    """Return the id of the open conversation.

    Raises:
        InputError: none is open.
    """
    if state.conversation_id is None:
        raise InputError("no conversation is open; write a message first")
    return state.conversation_id
