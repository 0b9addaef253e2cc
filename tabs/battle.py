"""Battle section: two models answer as A and B, the visitor votes, then their names are shown."""

from typing import Any

import gradio as gr

from core.outcomes import Outcome
from evals.arena.votes import REASONS
from tabs.battle_api import build_battle_api
from tabs.battle_callbacks import BattleCallbacks
from tabs.battle_parts import BattleParts
from tabs.battle_view import IDLE, SAID, BattleState, BattleWidgets
from tabs.bridge import QUIET, handler

OUTCOME_IDS: dict[Outcome, str] = {
    "model_a": "vote-a",
    "model_b": "vote-b",
    "tie": "vote-tie",
    "both_bad": "vote-bad",
}


def build_battle(parts: BattleParts) -> None:
    """Lay the section out inside the current `gr.Blocks` and wire its events."""
    with gr.Column(elem_id="battle"):
        top = _ask()
        asked = gr.Markdown(elem_id="battle-asked", visible=False)
        with gr.Row(elem_id="battle-sides", visible=False) as sides:
            shown = _side("a") | _side("b")
        status = gr.Markdown(IDLE, elem_id="battle-status")
        vote = _vote()
        with gr.Column(elem_id="battle-editor", visible=False) as editor:
            title = gr.Markdown(elem_id="battle-editor-title")
            better = gr.Textbox(
                label="Better answer", lines=3, max_lines=12, elem_id="battle-better"
            )
            with gr.Row():
                save = gr.Button("Save", variant="primary", size="sm", elem_id="battle-save")
                close = gr.Button("Close", size="sm", elem_id="battle-close")
        result = gr.HTML("", elem_id="battle-result", visible=False)
        tally = gr.Markdown(elem_id="battle-tally")
    item = top.pop("item")
    widgets = BattleWidgets(
        state=gr.State(BattleState()), asked=asked, sides=sides, status=status, editor=editor,
        editor_title=title, better=better, result=result, tally=tally, **top, **shown, **vote,
    )  # fmt: skip
    callbacks = BattleCallbacks(parts, widgets)
    _wire_battle(callbacks, widgets, item)
    _wire_editor(callbacks, widgets, save, close)
    build_battle_api(parts)


def _ask() -> dict[str, Any]:
    """Lay out what a battle is begun with; the names are those of `BattleWidgets`, and `item`."""
    prompt = gr.Textbox(
        label="Prompt", placeholder="What should both models answer?", lines=2, max_lines=10,
        elem_id="battle-prompt",
    )  # fmt: skip
    with gr.Row(elem_id="battle-controls"):
        task = gr.Dropdown(
            [("No task", "")], value="", label="Task", elem_id="battle-task", min_width=180
        )
        item = gr.Button("Random item", size="sm", elem_id="battle-item", min_width=110)
        begin = gr.Button(
            "Start a battle", variant="primary", elem_id="battle-begin", min_width=140
        )
        stop = gr.Button(
            "Stop", variant="stop", elem_id="battle-stop", visible=False, min_width=140
        )
    return {"prompt": prompt, "task": task, "item": item, "begin": begin, "stop": stop}


def _side(name: str) -> dict[str, Any]:
    """Lay out one side; the names are those of `BattleWidgets`."""
    with gr.Column(min_width=280, elem_id=f"battle-{name}", elem_classes="bt-side"):
        gr.Markdown(f"### {name.upper()}", elem_classes="bt-name")
        answer = gr.Markdown(
            "", elem_id=f"answer-{name}", elem_classes="bt-answer", latex_delimiters=[]
        )
        reveal = gr.HTML("", elem_id=f"reveal-{name}", visible=False)
        edit = gr.Button(
            f"Correct {name.upper()}", size="sm", elem_id=f"edit-{name}", visible=False
        )
    return {f"answer_{name}": answer, f"reveal_{name}": reveal, f"edit_{name}": edit}


def _vote() -> dict[str, Any]:
    """Lay out what one votes with; the names are those of `BattleWidgets`."""
    with gr.Row(elem_id="battle-votes", visible=False) as votes:
        buttons: dict[str, gr.Button] = {
            outcome: gr.Button(SAID[outcome], interactive=False, elem_id=name, min_width=120)
            for outcome, name in OUTCOME_IDS.items()
        }
    reasons = gr.CheckboxGroup(
        [(words.capitalize(), key) for key, words in REASONS], label="Why (optional)",
        elem_id="battle-reasons", visible=False,
    )  # fmt: skip
    return {"votes": votes, "reasons": reasons, **buttons}


def _wire_battle(callbacks: BattleCallbacks, w: BattleWidgets, item: gr.Button) -> None:
    page = w.changed()
    item.click(
        handler(callbacks.on_item), [w.state, w.task], [w.state, w.prompt, w.status], **QUIET,
        api_name="battle_item",
    )  # fmt: skip
    begun = gr.on(
        [w.begin.click, w.prompt.submit], handler(callbacks.on_begin), [w.state, w.prompt], page,
        **QUIET, trigger_mode="once", api_name="battle_start",
    )  # fmt: skip
    w.stop.click(
        handler(callbacks.on_stop), w.state, page, **QUIET, cancels=[begun], api_name="battle_stop"
    )
    for outcome, button in w.buttons().items():
        button.click(
            handler(callbacks.on_vote(outcome)), [w.state, w.reasons], page, **QUIET,
            api_name=f"battle_choose_{outcome}",
        )  # fmt: skip
    gr.on(None, handler(callbacks.on_load), None, page, **QUIET, api_name="battle_load")


def _wire_editor(
    callbacks: BattleCallbacks, w: BattleWidgets, save: gr.Button, close: gr.Button
) -> None:
    """Connect what corrects an answer after the vote."""
    shown = [w.state, w.editor, w.editor_title, w.better, w.status]
    edit = callbacks.on_edit
    w.edit_a.click(handler(edit("a")), w.state, shown, **QUIET, api_name="battle_edit_a")
    w.edit_b.click(handler(edit("b")), w.state, shown, **QUIET, api_name="battle_edit_b")
    save.click(
        handler(callbacks.on_save), [w.state, w.better], shown, **QUIET, api_name="battle_correct"
    )
    close.click(handler(callbacks.on_close), w.state, shown, **QUIET, api_name="battle_close")
