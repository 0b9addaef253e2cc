"""Chat tab: talk to a model of the catalog; conversations are kept on the server."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from tabs.bridge import QUIET, handler
from tabs.chat_callbacks import ChatCallbacks
from tabs.chat_feedback import ChatFeedback
from tabs.chat_options import build_options
from tabs.chat_page import EXPORT, ChatParts, ChatState, ChatWidgets

EXAMPLES = (
    "Seat Marie Curie at table 4.",
    "Please play Moonlight River by The Velvet Quartet.",
    "Ada Brown is vegan. Also, remind me at 19:30 to light the candles.",
    "What is the capital of France?",
)
PLACEHOLDER = """### The house desk is open
It seats guests, notes diets, picks the music. Ask for something, or begin with one of these."""


@dataclass(frozen=True, slots=True)
class Buttons:
    """The buttons that only start events."""

    new: gr.Button
    yes: gr.Button
    no: gr.Button
    save: gr.Button
    close: gr.Button


def build_chat_tab(parts: ChatParts) -> None:
    """Lay out the tab inside the current `gr.Blocks` and wire its events."""
    with gr.Row(elem_id="chat"):
        with gr.Column(scale=0, min_width=230, elem_id="chat-list"):
            new = gr.Button("New conversation", elem_id="new", size="md")
            conversations = gr.Radio(
                [], label="Conversations", elem_id="conversations", interactive=True, visible=False
            )
            none_yet = gr.Markdown("Your conversations will be listed here.", elem_id="none-yet")
            with gr.Row(elem_id="list-actions"):
                export = gr.Button(
                    "Export all", link=EXPORT, size="sm", elem_id="export", visible=False
                )
                delete = gr.Button("Delete", size="sm", elem_id="delete", visible=False)
            with gr.Row(visible=False, elem_id="sure") as sure:
                yes = gr.Button("Delete for good", variant="stop", size="sm", elem_id="delete-yes")
                no = gr.Button("Keep it", size="sm", elem_id="delete-no")
        with gr.Column(elem_id="chat-main"):
            options = build_options(parts.traffic)
            notice = gr.Markdown(visible=False, elem_id="notice")
            chatbot = _chatbot()
            with gr.Column(visible=False, elem_id="verdict") as panel:
                panel_title = gr.Markdown(elem_id="verdict-title")
                reason = gr.Textbox(label="Reason", lines=1, max_lines=3, elem_id="reason")
                better = gr.Textbox(label="Better answer", lines=2, max_lines=8, elem_id="better")
                with gr.Row():
                    save = gr.Button("Save", variant="primary", size="sm", elem_id="save-verdict")
                    close = gr.Button("Close", size="sm", elem_id="close-verdict")
            prompt = _prompt()
            with gr.Row(elem_id="foot"):
                gr.Markdown("Enter sends, Shift+Enter starts a new line.", elem_id="hint")
                edit = gr.Button("Edit last answer", size="sm", elem_id="edit", visible=False)
    widgets = ChatWidgets(
        state=gr.State(ChatState()),
        chatbot=chatbot,
        prompt=prompt,
        conversations=conversations,
        none_yet=none_yet,
        export=export,
        delete=delete,
        sure=sure,
        edit=edit,
        notice=notice,
        panel=panel,
        panel_title=panel_title,
        reason=reason,
        better=better,
        options=options,
    )
    _wire_chat(ChatCallbacks(parts, widgets), widgets, Buttons(new, yes, no, save, close))
    _wire_feedback(ChatFeedback(parts, widgets), widgets, save, close)


def _chatbot() -> gr.Chatbot:
    return gr.Chatbot(
        show_label=False,
        label="Conversation",
        elem_id="chatbot",
        height="60vh",  # Until the stylesheet fits it into the page.
        placeholder=PLACEHOLDER,
        examples=[{"text": text} for text in EXAMPLES],
        feedback_options=["Like", "Dislike"],
        buttons=["copy"],
        latex_delimiters=[],
        allow_tags=False,
        allow_file_downloads=False,
        layout="bubble",
    )


def _prompt() -> gr.Textbox:
    return gr.Textbox(
        placeholder="Message the desk",
        label="Message",
        show_label=False,
        container=False,
        submit_btn="Send",
        stop_btn=False,
        autofocus=True,
        max_lines=8,
        elem_id="prompt",
    )


def _wire_chat(callbacks: ChatCallbacks, w: ChatWidgets, buttons: Buttons) -> None:
    """Connect the events of a conversation; leaving it ends the answer that is being written."""
    asked, screen = {w.state, w.prompt, *w.options.all()}, w.changed()
    send = handler(callbacks.on_send)
    sent = w.prompt.submit(send, asked, screen, **QUIET, api_name="chat")
    taken = w.chatbot.example_select(take_example, None, w.prompt, **QUIET, api_name="example")
    picked = taken.then(send, asked, screen, **QUIET, api_name="chat_example")
    retry = handler(callbacks.on_retry)
    retried = w.chatbot.retry(retry, asked, screen, **QUIET, api_name="retry")
    w.prompt.stop(handler(callbacks.on_stop), w.state, None, **QUIET, api_name="stop")
    w.chatbot.undo(handler(callbacks.on_undo), w.state, screen, **QUIET, api_name="undo")

    leaving: dict[str, Any] = {**QUIET, "cancels": [sent, picked, retried]}
    opening = [w.state, w.conversations]
    w.conversations.input(handler(callbacks.on_open), opening, screen, **leaving, api_name="open")
    buttons.new.click(handler(callbacks.on_new), w.state, screen, **leaving, api_name="new")
    delete = handler(callbacks.on_delete)
    buttons.yes.click(delete, w.state, screen, **leaving, api_name="delete")
    show, hide = returning(gr.update(visible=True)), returning(gr.update(visible=False))
    w.delete.click(show, None, w.sure, **QUIET, api_name="ask_delete")
    buttons.no.click(hide, None, w.sure, **QUIET, api_name="keep")
    gr.on(None, handler(callbacks.on_load), None, screen, **QUIET, api_name="load")


def _wire_feedback(
    feedback: ChatFeedback, w: ChatWidgets, save: gr.Button, close: gr.Button
) -> None:
    """Connect the thumbs and the panel that they open."""
    screen, judged, verdict = w.changed(), w.judged(), [w.state, w.reason, w.better]
    w.chatbot.like(handler(feedback.on_like), w.state, judged, **QUIET, api_name="like")
    w.edit.click(handler(feedback.on_edit), w.state, judged, **QUIET, api_name="edit")
    save.click(handler(feedback.on_save), verdict, screen, **QUIET, api_name="judge")
    close.click(handler(feedback.on_close), w.state, screen, **QUIET, api_name="close")


def take_example(data: gr.SelectData) -> str:
    """Return the text of the example that was clicked."""
    return str(data.value["text"])


def returning(update: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Return a callback that makes this one change."""

    def change() -> dict[str, Any]:
        return update

    return change
