"""The Chat tab's state, its widgets, and what they show of a conversation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import BlockContext
from gradio.components import Component

from core.access import Access
from core.chats import Chats, Person
from core.errors import InputError
from core.gateway.traffic import Traffic
from core.services import Services
from core.store import Conversation, Conversations
from tabs.bridge import person_of
from tabs.chat_options import OptionWidgets
from tabs.chat_view import ELSEWHERE, MISSING, Entry, lay_out, status_line

INTERRUPTED = (
    "The last answer was interrupted and is not here; everything before it is complete. "
    "Retry asks again; Undo takes the question back to the prompt."
)
UNANSWERED = "No answer: {}. Your message is kept: Retry asks again, Undo takes it back."
NO_COOKIE = "This browser refuses our cookie: conversations last until you close the page."
NOT_KEPT = "Storage is not persistent here: a restart of this Space erases all conversations."
EXPORT = "conversations/export"
STOPPABLE: Mapping[str, Any] = {"submit_btn": False, "stop_btn": "Stop"}
"""The prompt while an answer is being written."""
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

    traffic: Traffic
    chats: Chats
    conversations: Conversations
    access: Access
    is_persistent: bool

    @staticmethod
    def of(services: Services, access: Access) -> "ChatParts":
        """Return the parts of a running Understudy that the tab works with."""
        return ChatParts(
            traffic=services.gateway.traffic,
            chats=services.chats,
            conversations=services.conversations,
            access=access,
            is_persistent=services.settings.is_persistent,
        )


@dataclass(frozen=True, slots=True)
class ChatWidgets:
    """The widgets that events change."""

    state: gr.State
    chatbot: gr.Chatbot
    prompt: gr.Textbox
    conversations: gr.Radio
    none_yet: gr.Markdown
    export: gr.Button
    delete: gr.Button
    sure: gr.Row
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
            self.none_yet,
            self.export,
            self.delete,
            self.sure,
            self.edit,
            self.notice,
            self.panel,
        ]

    def judged(self) -> list[Component | BlockContext]:
        """Return what opening the feedback panel changes."""
        return [self.state, self.panel, self.panel_title, self.reason, self.better]


class ChatScreen:
    """Reads the store and says what the page shows; what the browser sends is never history."""

    def __init__(self, parts: ChatParts, widgets: ChatWidgets) -> None:
        self._parts = parts
        self._widgets = widgets

    def person(self, state: ChatState, request: gr.Request) -> Person:
        """Return who acts: the cookie's visitor, else the guest of this page."""
        return person_of(self._parts.access, request, state.guest)

    def show(self, person: Person, state: ChatState, problem: str = "") -> Update:
        """Return the whole page for what is stored, the feedback panel closed."""
        conversation = self._opened(person, state)
        page = lay_out(conversation) if conversation else None
        entries, notice = list(page.entries) if page else [], problem
        if conversation and conversation.unanswered:
            is_running = self._parts.chats.is_running(conversation.id)
            entries.append(status_line(ELSEWHERE if is_running else MISSING, is_pending=is_running))
            notice = problem or ("" if is_running else INTERRUPTED)
        notice = notice or self._standing_notice(person)
        w, verdicts = self._widgets, list(page.verdicts) if page else []
        return {
            **self._around(person, state),
            w.chatbot: gr.update(value=entries, feedback_value=verdicts),
            w.prompt: gr.update(submit_btn="Send", stop_btn=False),
            w.notice: gr.update(value=notice, visible=bool(notice)),
            w.delete: gr.update(visible=conversation is not None),
            w.edit: gr.update(visible=bool(verdicts)),
        }

    def show_first(self, person: Person, state: ChatState) -> Update:
        """Return what a visitor who has just come sees that a new one does not.

        No more than that: it may reach a slow browser after the visitor's first question.
        """
        w, titles = self._widgets, self._titles(person)
        update: Update = {w.state: state}
        if titles:
            update |= self._listed(titles) | {w.export: gr.update(visible=True)}
        if notice := self._standing_notice(person):
            update[w.notice] = gr.update(value=notice, visible=True)
        return update

    def show_writing(
        self, person: Person, state: ChatState, making: list[Entry]
    ) -> tuple[Update, list[Entry]]:
        """Return the whole page with an answer in the making, and the entries above it."""
        w, conversation = self._widgets, self._opened(person, state)
        above = list(lay_out(conversation).entries) if conversation else []
        update = self._around(person, state) | {
            w.chatbot: gr.update(value=above + making),
            w.prompt: gr.update(**STOPPABLE),
            w.notice: gr.update(visible=False),
            w.delete: gr.update(visible=False),
            w.edit: gr.update(visible=False),
        }
        return update, above

    def show_ended(self, person: Person, state: ChatState, problem: str = "") -> Update:
        """Return the whole page after an answer; what was opened meanwhile is left as it is."""
        w, update = self._widgets, self.show(person, state, problem)
        for widget in (w.state, w.panel, w.sure):
            del update[widget]
        return update

    def _opened(self, person: Person, state: ChatState) -> Conversation | None:
        if state.conversation_id is None:
            return None
        return self._parts.conversations.get(person.visitor, state.conversation_id)

    def _around(self, person: Person, state: ChatState) -> Update:
        """Return what is the same whether an answer is being written or not."""
        w, opened, titles = self._widgets, state.conversation_id, self._titles(person)
        return {
            w.state: state,
            **self._listed(titles, value=opened),
            w.export: gr.update(
                value="Export this one" if opened else "Export all",
                link=f"{EXPORT}?id={opened}" if opened else EXPORT,
                visible=bool(titles),
            ),
            w.sure: gr.update(visible=False),
            w.panel: gr.update(visible=False),
        }

    def _titles(self, person: Person) -> list[tuple[str, str]]:
        return [(c.title, c.id) for c in self._parts.conversations.list(person.visitor)]

    def _listed(self, titles: list[tuple[str, str]], **changes: Any) -> Update:
        """Return the list of conversations, or that there is none yet."""
        w = self._widgets
        return {
            w.conversations: gr.update(choices=titles, visible=bool(titles), **changes),
            w.none_yet: gr.update(visible=not titles),
        }

    def _standing_notice(self, person: Person) -> str:
        if person.visitor.startswith("guest-"):
            return NO_COOKIE
        return "" if self._parts.is_persistent else NOT_KEPT


def opened(state: ChatState) -> str:
    """Return the id of the open conversation.

    Raises:
        InputError: none is open.
    """
    if state.conversation_id is None:
        raise InputError("no conversation is open; write a message first")
    return state.conversation_id
