"""What happens when a visitor likes, dislikes or edits an answer."""

from dataclasses import replace

import gradio as gr

from core.chats import Person
from core.errors import InputError, NotFoundError
from core.store import StoredMessage
from tabs.chat_page import ChatParts, ChatScreen, ChatState, ChatWidgets, Update, opened
from tabs.chat_view import answer_text, lay_out

TITLES = {
    True: "You like this answer. What is good about it?",
    False: "You dislike this answer. What is wrong with it?",
    None: "What should this answer have been?",
}


class ChatFeedback:
    """The thumbs, and the panel that asks for a reason and a better answer."""

    def __init__(self, parts: ChatParts, widgets: ChatWidgets) -> None:
        self._conversations = parts.conversations
        self._widgets = widgets
        self._screen = ChatScreen(parts, widgets)

    def on_like(self, state: ChatState, data: gr.LikeData, request: gr.Request) -> Update:
        """Store the thumb at once, and ask for a reason and a better answer."""
        person = self._screen.person(state, request)
        message_id = self._message_at(person, state, data.index)
        liked = data.liked if isinstance(data.liked, bool) else None
        self._conversations.rate(person.visitor, message_id, liked)
        return self._panel(person, replace(state, rated=message_id))

    def on_edit(self, state: ChatState, request: gr.Request) -> Update:
        """Open the panel for the last answer."""
        person = self._screen.person(state, request)
        conversation = self._conversations.get(person.visitor, opened(state))
        answers = [m for m in conversation.messages if m.message.role == "assistant"]
        if not answers:
            raise InputError("there is no answer to edit yet")
        return self._panel(person, replace(state, rated=answers[-1].id))

    def on_save(self, state: ChatState, reason: str, better: str, request: gr.Request) -> Update:
        """Store the reason, and the better answer if it differs."""
        person = self._screen.person(state, request)
        stored = self._rated(person, state)
        if stored.liked is not None and reason.strip() != stored.reason:
            self._conversations.rate(person.visitor, stored.id, stored.liked, reason.strip())
        if better.strip() != answer_text(stored).strip():
            self._conversations.correct(person.visitor, stored.id, better)
        return self._screen.show(person, replace(state, rated=None))

    def on_close(self, state: ChatState, request: gr.Request) -> Update:
        """Close the panel; the thumb stays."""
        return self._screen.show(self._screen.person(state, request), replace(state, rated=None))

    def _message_at(self, person: Person, state: ChatState, index: object) -> str:
        """Return the stored message that an entry of the page belongs to."""
        page = lay_out(self._conversations.get(person.visitor, opened(state)))
        if not isinstance(index, int) or not 0 <= index < len(page.message_ids):
            raise NotFoundError("there is no such answer here; reload the page")
        return page.message_ids[index]

    def _rated(self, person: Person, state: ChatState) -> StoredMessage:
        conversation = self._conversations.get(person.visitor, opened(state))
        for stored in conversation.messages:
            if stored.id == state.rated:
                return stored
        raise NotFoundError("there is no such answer here; reload the page")

    def _panel(self, person: Person, state: ChatState) -> Update:
        w, stored = self._widgets, self._rated(person, state)
        return {
            w.state: state,
            w.panel: gr.update(visible=True),
            w.panel_title: TITLES[stored.liked],
            w.reason: gr.update(value=stored.reason, visible=stored.liked is not None),
            w.better: answer_text(stored),
        }
