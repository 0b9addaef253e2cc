"""The options of a chat: model, system prompt, parameters, tools."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from core.catalog import Catalog, located, starting_model
from core.chats import ChatOptions
from core.gateway.buckets import spoken
from core.gateway.traffic import Traffic
from core.model_states import ModelState, model_state, model_states
from core.tool_json import tools_from_json
from tabs.bridge import QUIET, handler
from tabs.chat_parameters import ParameterWidgets, build_parameters
from tabs.escape import as_text

REFRESH_S = 5.0
"""How often a page asks what the models are worth now."""
Shown = tuple[str, list[tuple[str, str]]] | None
"""What a page shows of the models; None before the first look."""


@dataclass(frozen=True, slots=True)
class OptionWidgets:
    """The widgets of the options."""

    model: gr.Dropdown
    system: gr.Textbox
    parameters: ParameterWidgets
    tools: gr.Textbox
    filter: gr.Checkbox

    def all(self) -> set[Block]:
        """Return the widgets, as inputs of an event."""
        return {self.model, self.system, *self.parameters.all(), self.tools, self.filter}

    def read(self, values: Mapping[Any, Any]) -> ChatOptions:
        """Return the options that the browser sent.

        Raises:
            InputError: a value has the wrong type or is out of its range.
        """
        model, system = str(values[self.model] or ""), str(values[self.system] or "")
        tools = str(values[self.tools] or "")
        parsed = tools_from_json(tools) if tools.strip() else ()
        return ChatOptions(
            model=model,
            params=self.parameters.read(values),
            system=system,
            tools=parsed,
            filter=values[self.filter] is True,
        )


def model_choices(traffic: Traffic) -> list[tuple[str, str]]:
    """Return (label, id) of every model; the label says what is missing or waited for."""
    return [(_label(state), state.id) for state in model_states(traffic)]


def model_line(traffic: Traffic, name: str) -> str:
    """Return what the page says of the chosen model, as it is now.

    Raises:
        ModelNotAllowedError: the catalog has no such id.
    """
    target, state = traffic.catalog.resolve(name), model_state(traffic, name)
    reason = state.reason.removeprefix(f"{name}: ").rstrip(".")
    missing = f"{reason[:1].upper()}{reason[1:]}."
    parts = [state.description, "Ready." if state.is_ready else as_text(missing)]
    if state.cooling_until is not None and "again in" not in reason:
        parts.append(f"{_free_again(state.cooling_until).capitalize()}.")
    if state.left_today:
        parts.append(f"Left: {state.left_today}.")
    if target.model.provider in ("endpoint", "ollama") and state.price:
        parts.append(f"Price: {as_text(state.price)}.")
    if state.engine:
        parts.append(f"Engine: {as_text(state.engine)}.")
    return " ".join([*parts, f"Context: {target.model.context:,} tokens."])


def _label(state: ModelState) -> str:
    if state.is_ready:
        return state.id
    waits = None if state.cooling_until is None else _free_again(state.cooling_until)
    return f"{state.id} ({waits or state.reason})"


def _free_again(moment: float) -> str:
    return f"free again in {spoken(max(1.0, moment - time.time()))}"


def defaults_of(catalog: Catalog, name: str) -> tuple[str, str]:
    """Return the system prompt and the tools that chats with this model start with."""
    model = starting_model(catalog, name)
    system = located(model.system).read_text(encoding="utf-8").strip() if model.system else ""
    tools = located(model.tools).read_text(encoding="utf-8").strip() if model.tools else ""
    return system, tools


def build_options(traffic: Traffic) -> OptionWidgets:
    """Lay out the model's choice and, folded away, everything else."""
    catalog = traffic.catalog
    target = catalog.resolve(catalog.default_model)
    system, tools = defaults_of(catalog, target.id)
    with gr.Row(elem_id="model-row"):
        model = gr.Dropdown(
            model_choices(traffic), value=target.id, label="Model", elem_id="model",
            container=False, min_width=220, scale=0,
        )  # fmt: skip
        line = gr.Markdown(model_line(traffic, target.id), elem_id="model-line")
    with gr.Accordion("Options", open=False, elem_id="options"):
        widgets = OptionWidgets(
            model=model,
            system=gr.Textbox(system, label="System prompt", lines=2, elem_id="system"),
            parameters=build_parameters(catalog.limits),
            tools=gr.Textbox(
                tools, label="Tools", lines=4, max_lines=12, elem_id="tools",
                info="A JSON list in OpenAI's shape; empty offers none.",
            ),
            filter=gr.Checkbox(
                False, label="Cut announcements", elem_id="filter",
                info='Removes sentences like "Let me first analyze..." (English and Portuguese).',
            ),
        )  # fmt: skip

    _wire_model(traffic, widgets, line)
    return widgets


def _wire_model(traffic: Traffic, w: OptionWidgets, line: gr.Markdown) -> None:
    """Keep what the page says of the models true: on a choice, and every few seconds."""

    def on_model(name: str) -> tuple[str, str, str]:
        return (model_line(traffic, name), *defaults_of(traffic.catalog, name))

    def on_tick(name: str, shown: Shown) -> tuple[Any, Any, Any]:
        now = (model_line(traffic, name), model_choices(traffic))
        if now == shown:
            return gr.skip(), gr.skip(), gr.skip()
        return now[0], gr.update(choices=now[1]), now

    def on_load(request: gr.Request) -> tuple[Any, ...]:
        """Choose the model that the address asks for, `?chat=MODEL@VERSION`."""
        name = request.query_params.get("chat")
        if name is None:
            return (gr.skip(), gr.skip(), gr.skip(), gr.skip())
        described = on_model(name)
        return (gr.update(choices=model_choices(traffic), value=name), *described)

    described = [line, w.system, w.tools]
    w.model.input(handler(on_model), w.model, described, **QUIET, api_name="describe_model")
    gr.on(None, handler(on_load), None, [w.model, *described], **QUIET, api_name="chat_with")
    shown = gr.State(None)
    gr.Timer(REFRESH_S).tick(
        handler(on_tick), [w.model, shown], [line, w.model, shown], **QUIET, api_name="model_states"
    )
