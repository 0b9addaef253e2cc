"""What happens when a visitor sends, stops, retries, takes back, opens or deletes."""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace

import gradio as gr

from core.chats import Frame, Person
from core.errors import AppError
from core.messages import new_id
from tabs.chat_page import (
    UNANSWERED,
    ChatParts,
    ChatScreen,
    ChatState,
    ChatWidgets,
    Update,
    opened,
)
from tabs.chat_view import in_the_making


class ChatCallbacks:
    """Each reads the store, acts, and returns what changes on the page."""

    def __init__(self, parts: ChatParts, widgets: ChatWidgets) -> None:
        self._parts = parts
        self._widgets = widgets
        self._screen = ChatScreen(parts, widgets)

    def on_load(self, request: gr.Request) -> Update:
        """Open the page with the visitor's list; no conversation is open yet."""
        fresh = ChatState(guest=new_id())
        return self._screen.show_first(self._screen.person(fresh, request), fresh)

    def on_send(self, values: Update, request: gr.Request) -> Iterator[Update]:
        """Ask the model and show its answer as it comes."""
        w = self._widgets
        state, text = values[w.state], str(values[w.prompt] or "")
        person, options = self._screen.person(state, request), w.options.read(values)
        frames = self._parts.chats.ask(person, state.conversation_id, options, text)
        yield from self._shown(person, state, frames, is_question=True)

    def on_retry(self, values: Update, request: gr.Request) -> Iterator[Update]:
        """Answer the last question again, with the options as they are now."""
        state = values[self._widgets.state]
        person, options = self._screen.person(state, request), self._widgets.options.read(values)
        frames = self._parts.chats.retry(person, opened(state), options)
        yield from self._shown(person, state, frames, is_question=False)

    def on_undo(self, state: ChatState, request: gr.Request) -> Update:
        """Take the last question and its answer back; the question returns to the prompt."""
        person = self._screen.person(state, request)
        question = self._parts.chats.undo(person, opened(state))
        update = self._screen.show(person, state)
        update[self._widgets.prompt] = gr.update(value=question, submit_btn="Send", stop_btn=False)
        return update

    def on_stop(self, state: ChatState, request: gr.Request) -> None:
        """End the answer that is being written; what came is kept."""
        if state.conversation_id:
            self._parts.chats.stop(self._screen.person(state, request), state.conversation_id)

    def on_open(self, state: ChatState, chosen: str | None, request: gr.Request) -> Update:
        """Open a conversation of the list."""
        changed = replace(state, conversation_id=chosen or None, rated=None)
        return self._screen.show(self._screen.person(state, request), changed)

    def on_new(self, state: ChatState, request: gr.Request) -> Update:
        """Close the open conversation; the next message starts another."""
        return self.on_open(state, None, request)

    def on_delete(self, state: ChatState, request: gr.Request) -> Update:
        """Delete the open conversation for good."""
        person = self._screen.person(state, request)
        self._parts.conversations.delete(person.visitor, opened(state))
        return self.on_open(state, None, request)

    def _shown(
        self,
        person: Person,
        state: ChatState,
        frames: Generator[Frame, None, None],
        *,
        is_question: bool,
    ) -> Iterator[Update]:
        """Yield the page for the first frame, the answer for each, and what was stored at the end.

        Closing this ends the answer. A question leaves the prompt once it is stored.
        """
        w, screen, above = self._widgets, self._screen, None
        with closing(frames):
            try:
                for frame in frames:
                    making = in_the_making(frame)
                    if above is None:
                        state = replace(state, conversation_id=frame.conversation_id, rated=None)
                        page, above = screen.show_writing(person, state, making)
                        if is_question:
                            page[w.prompt] = {**page[w.prompt], "value": ""}
                        yield page
                    elif not frame.is_done:
                        yield {w.chatbot: gr.update(value=above + making)}
            except AppError as error:
                # Before the first frame nothing was stored, and what was typed is still there.
                if above is not None:
                    yield screen.show_ended(person, state, UNANSWERED.format(error))
                raise
        yield screen.show_ended(person, state)
