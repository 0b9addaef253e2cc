"""Chat tab: talk to a model of the catalog; conversations are kept on the server."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from tabs.bridge import handler
from tabs.chat_callbacks import EXPORT, ChatCallbacks, ChatParts, ChatState, ChatWidgets
from tabs.chat_options import build_options

EXAMPLES = (
    "Seat Marie Curie at table 4.",
    "Please play Moonlight River by The Velvet Quartet.",
    "Ada Brown is vegan. Also, remind me at 19:30 to light the candles.",
    "What is the capital of France?",
)
PLACEHOLDER = "### The house desk is open\nAsk it to seat a guest, play a song, note a diet."


@dataclass(frozen=True, slots=True)
class Buttons:
    """The buttons that only start events."""

    new: gr.Button
    yes: gr.Button
    no: gr.Button
    sure: gr.Row
    save: gr.Button
    close: gr.Button


def build_chat_tab(parts: ChatParts) -> None:
    """Lay out the tab inside the current `gr.Blocks` and wire its events."""
    with gr.Row(elem_id="chat"):
        with gr.Column(scale=0, min_width=230, elem_id="chat-list"):
            new = gr.Button("New conversation", variant="primary", elem_id="new", size="md")
            conversations = gr.Radio(
                [], label="Conversations", elem_id="conversations", interactive=True
            )
            export = gr.Button("Export all", link=EXPORT, size="sm", elem_id="export")
            delete = gr.Button("Delete this one", size="sm", elem_id="delete", visible=False)
            with gr.Row(visible=False) as sure:
                yes = gr.Button("Delete for good", variant="stop", size="sm", elem_id="delete-yes")
                no = gr.Button("Keep", size="sm")
        with gr.Column(elem_id="chat-main"):
            options = build_options(parts.catalog)
            notice = gr.Markdown(visible=False, elem_id="notice")
            chatbot = _chatbot()
            with gr.Column(visible=False, elem_id="verdict") as panel:
                panel_title = gr.Markdown()
                reason = gr.Textbox(label="Reason", max_lines=3, elem_id="reason")
                better = gr.Textbox(label="Better answer", lines=3, max_lines=12, elem_id="better")
                with gr.Row():
                    save = gr.Button("Save", variant="primary", size="sm", elem_id="save-verdict")
                    close = gr.Button("Close", size="sm")
            prompt = gr.Textbox(
                placeholder="Message the desk",
                label="Message",
                show_label=False,
                container=False,
                submit_btn=True,
                stop_btn=False,
                autofocus=True,
                max_lines=8,
                elem_id="prompt",
            )
            edit = gr.Button("Edit last answer", size="sm", elem_id="edit", visible=False)
    widgets = ChatWidgets(
        state=gr.State(ChatState()),
        chatbot=chatbot,
        prompt=prompt,
        conversations=conversations,
        export=export,
        delete=delete,
        edit=edit,
        notice=notice,
        panel=panel,
        panel_title=panel_title,
        reason=reason,
        better=better,
        options=options,
    )
    _wire(ChatCallbacks(parts, widgets), widgets, Buttons(new, yes, no, sure, save, close))


def _chatbot() -> gr.Chatbot:
    return gr.Chatbot(
        show_label=False,
        elem_id="chatbot",
        height="min(62vh, 720px)",
        placeholder=PLACEHOLDER,
        examples=[{"text": text} for text in EXAMPLES],
        feedback_options=["Like", "Dislike"],
        buttons=["copy"],
        latex_delimiters=[],
        allow_tags=False,
        allow_file_downloads=False,
        layout="bubble",
    )


def _wire(callbacks: ChatCallbacks, w: ChatWidgets, buttons: Buttons) -> None:
    """Connect the events; none waits for another's turn."""
    asked, screen = {w.state, w.prompt, *w.options.all()}, w.changed()
    quiet: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden"}
    slow: dict[str, Any] = {"concurrency_limit": None, "show_progress_on": w.notice}
    send = handler(callbacks.on_send)
    w.prompt.submit(send, asked, screen, **slow, api_name="chat")
    example = w.chatbot.example_select(take_example, None, w.prompt, **quiet, api_name="example")
    example.then(send, asked, screen, **slow, api_name="chat_example")
    w.prompt.stop(handler(callbacks.on_stop), w.state, None, **quiet, api_name="stop")
    w.chatbot.retry(handler(callbacks.on_retry), asked, screen, **slow, api_name="retry")
    w.chatbot.undo(handler(callbacks.on_undo), w.state, screen, **quiet, api_name="undo")
    w.chatbot.like(handler(callbacks.on_like), w.state, w.judged(), **quiet, api_name="like")
    w.edit.click(handler(callbacks.on_edit), w.state, w.judged(), **quiet, api_name="edit")
    verdict = [w.state, w.reason, w.better]
    buttons.save.click(handler(callbacks.on_save), verdict, screen, **quiet, api_name="judge")
    buttons.close.click(handler(callbacks.on_close), w.state, screen, **quiet, api_name="close")
    listed = [w.state, w.conversations]
    w.conversations.input(handler(callbacks.on_open), listed, screen, **quiet, api_name="open")
    buttons.new.click(handler(callbacks.on_new), w.state, screen, **quiet, api_name="new")
    show, hide = gr.update(visible=True), gr.update(visible=False)
    w.delete.click(returning(show), None, buttons.sure, **quiet, api_name="ask_delete")
    buttons.no.click(returning(hide), None, buttons.sure, **quiet, api_name="keep")
    gone = buttons.yes.click(
        handler(callbacks.on_delete), w.state, screen, **quiet, api_name="delete"
    )
    gone.then(returning(hide), None, buttons.sure, **quiet, api_name="deleted")
    gr.on(triggers=None, fn=handler(callbacks.on_load), inputs=w.state, outputs=screen, **quiet, api_name="load")


def take_example(data: gr.SelectData) -> str:
    """Return the text of the example that was clicked."""
    return str(data.value["text"])


def returning(update: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Return a callback that makes this one change."""

    def change() -> dict[str, Any]:
        return update

    return change
