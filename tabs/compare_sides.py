"""Side by side: one prompt, two to four models, their answers and what differs."""

from typing import Any, NamedTuple

import gradio as gr

from core.model_states import model_states
from evals.arena.items import item_tasks
from evals.arena.sides import MOST_SIDES
from tabs.bridge import QUIET, handler
from tabs.chat_options import defaults_of, model_choices
from tabs.chat_parameters import build_parameters
from tabs.compare_callbacks import NO_TASK, CompareCallbacks
from tabs.compare_page import COUNTS, CompareWidgets, SideWidgets
from tabs.compare_parts import CompareParts
from tabs.compare_talk import FEWEST_SIDES, Talk


class Buttons(NamedTuple):
    """The buttons that only begin another comparison."""

    item: gr.Button
    new: gr.Button


def build_sides(parts: CompareParts, tabs: gr.Tabs) -> None:
    """Lay out the section inside the current `gr.Blocks` and wire its events."""
    widgets, buttons = lay_out(parts)
    callbacks = CompareCallbacks(parts, widgets, tabs)
    events = _wire_talk(callbacks, widgets)
    _wire_opening(callbacks, widgets, buttons, events, tabs)


def lay_out(parts: CompareParts) -> tuple[CompareWidgets, Buttons]:
    """Lay out the widgets inside the current `gr.Blocks`; nothing is wired."""
    with gr.Column(elem_id="compare"):
        count, task, buttons = _controls(parts)
        notice = gr.Markdown(visible=False, elem_id="compare-notice")
        shared = _shared(parts)
        with gr.Row(elem_id="compare-sides"):
            sides = _sides(parts)
        prompt = gr.Textbox(
            placeholder="Ask all of them", label="Prompt", show_label=False, container=False,
            submit_btn="Compare", stop_btn=False, max_lines=8, elem_id="compare-prompt",
            elem_classes="ask",
        )  # fmt: skip
        with gr.Row(elem_id="compare-foot"):
            retry = gr.Button("Retry", size="sm", elem_id="compare-retry", visible=False)
        result = gr.HTML("", elem_id="compare-result")
    widgets = CompareWidgets(
        state=gr.State(Talk()), notice=notice, count=count, task=task, sides=sides, prompt=prompt,
        retry=retry, result=result, **shared,
    )  # fmt: skip
    return widgets, buttons


def _controls(parts: CompareParts) -> tuple[gr.Radio, gr.Dropdown, Buttons]:
    with gr.Row(elem_id="compare-controls"):
        count = gr.Radio(
            list(COUNTS), value=COUNTS[0], label="Models", elem_id="compare-count", min_width=130,
            scale=0,
        )  # fmt: skip
        task = gr.Dropdown(
            NO_TASK + [(name, name) for name in item_tasks(parts.home)], value="",
            label="Prompt from a task", elem_id="compare-task", min_width=180, scale=0,
        )  # fmt: skip
        item = gr.Button("Random item", size="sm", elem_id="compare-item", min_width=120)
        new = gr.Button("New comparison", size="sm", elem_id="compare-new", min_width=140)
    return count, task, Buttons(item, new)


def _shared(parts: CompareParts) -> dict[str, Any]:
    """Lay out the options for all sides; the names are those of `CompareWidgets`."""
    catalog = parts.gateway.traffic.catalog
    system, tools = defaults_of(catalog, catalog.resolve(catalog.default_model).id)
    with gr.Accordion("Options for all", open=False, elem_id="compare-options"):
        return {
            "system": gr.Textbox(
                system, label="System prompt", lines=2, max_lines=8, elem_id="compare-system"
            ),
            "parameters": build_parameters(catalog.limits),
            "tools": gr.Textbox(
                tools, label="Tools", lines=4, max_lines=12, elem_id="compare-tools",
                info="A JSON list in OpenAI's shape; empty offers none.",
            ),
        }  # fmt: skip


def _sides(parts: CompareParts) -> tuple[SideWidgets, ...]:
    traffic = parts.gateway.traffic
    default = traffic.catalog.resolve(traffic.catalog.default_model).id
    others = [s.id for s in model_states(traffic) if s.is_ready and s.id != default]
    models, choices = [default, *others, *[default] * MOST_SIDES], model_choices(traffic)
    return tuple(_side(place, models[place], choices) for place in range(MOST_SIDES))


def _side(place: int, model: str, choices: list[tuple[str, str]]) -> SideWidgets:
    name = f"Model {place + 1}"
    is_shown = place < FEWEST_SIDES
    with gr.Column(min_width=260, visible=is_shown, elem_classes="cmp-side") as column:
        chosen = gr.Dropdown(choices, value=model, label=name, elem_id=f"compare-model-{place + 1}")
        with gr.Accordion("Own prompt and filter", open=False, elem_classes="cmp-own"):
            system = gr.Textbox(
                "", label=f"System prompt of model {place + 1}", lines=2, max_lines=8,
                info="Empty: the one for all.",
            )  # fmt: skip
            cut = gr.Checkbox(
                False, label="Cut announcements", info='Such as "Let me first analyze...".'
            )
        chatbot = gr.Chatbot(
            show_label=False, label=f"Answers of model {place + 1}", height=400, buttons=["copy"],
            latex_delimiters=[], allow_tags=False, allow_file_downloads=False, layout="bubble",
            elem_id=f"compare-talk-{place + 1}", elem_classes="talk",
            placeholder=f"{name} answers here.",
        )  # fmt: skip
    return SideWidgets(column, chosen, system, cut, chatbot)


def _wire_talk(callbacks: CompareCallbacks, w: CompareWidgets) -> list[Any]:
    """Connect what asks and stops; return the events that write."""
    asked, changed = w.asked(), w.talk()
    sent = w.prompt.submit(
        handler(callbacks.on_send), asked, changed, **QUIET, api_name="compare_send"
    )
    retried = w.retry.click(
        handler(callbacks.on_retry), asked, changed, **QUIET, api_name="compare_retry"
    )
    w.prompt.stop(handler(callbacks.on_stop), w.state, None, **QUIET, api_name="compare_stop")
    return [sent, retried]


def _wire_opening(
    callbacks: CompareCallbacks,
    w: CompareWidgets,
    buttons: Buttons,
    events: list[Any],
    tabs: gr.Tabs,
) -> None:
    """Connect what begins another comparison; it ends the one that is being written."""
    buttons.item.click(
        handler(callbacks.on_item), [w.state, w.task], w.opened(), **QUIET, cancels=events,
        api_name="compare_item",
    )  # fmt: skip
    buttons.new.click(
        handler(callbacks.on_new), w.state, w.talk(), **QUIET, cancels=events,
        api_name="compare_new",
    )  # fmt: skip
    w.count.input(
        handler(callbacks.on_count), w.count, [side.column for side in w.sides], **QUIET,
        api_name="compare_count",
    )  # fmt: skip
    gr.on(
        None, handler(callbacks.on_load), None, [*w.opened(), tabs], **QUIET,
        api_name="compare_load",
    )  # fmt: skip
