"""The options of a chat: model, system prompt, parameters, tools."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr
from gradio.blocks import Block

from core.availability import availability_of
from core.catalog import Catalog, description_of, located, starting_model
from core.chats import ChatOptions
from core.errors import InputError
from core.messages import GenerationParams
from core.tool_json import tools_from_json
from tabs.bridge import handler

DEFAULTS = GenerationParams()


@dataclass(frozen=True, slots=True)
class OptionWidgets:
    """The widgets of the options."""

    model: gr.Dropdown
    system: gr.Textbox
    temperature: gr.Slider
    top_p: gr.Slider
    max_tokens: gr.Slider
    seed: gr.Textbox
    tools: gr.Textbox
    filter: gr.Checkbox

    def all(self) -> set[Block]:
        """Return the widgets, as inputs of an event."""
        return {getattr(self, field.name) for field in fields(self)}

    def read(self, values: Mapping[Any, Any]) -> ChatOptions:
        """Return the options that the browser sent.

        Raises:
            InputError: a value has the wrong type or is out of its range.
        """
        seed = str(values[self.seed] or "").strip()
        try:
            params = GenerationParams(
                temperature=float(values[self.temperature]),
                top_p=float(values[self.top_p]),
                max_tokens=int(values[self.max_tokens]),
                seed=int(seed) if seed else None,
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"an option is not a number: {error}") from error
        model, system = str(values[self.model] or ""), str(values[self.system] or "")
        tools = str(values[self.tools] or "")
        parsed = tools_from_json(tools) if tools.strip() else ()
        return ChatOptions(
            model=model,
            params=params,
            system=system,
            tools=parsed,
            filter=values[self.filter] is True,
        )


def model_choices(catalog: Catalog) -> list[tuple[str, str]]:
    """Return (label, id) of every model; the label says what is missing."""
    states = {name: availability_of(catalog, name) for name in catalog.ids()}
    return [(n if s.is_ready else f"{n} ({s.reason})", n) for n, s in states.items()]


def model_line(catalog: Catalog, name: str) -> str:
    """Return what the page says of the chosen model."""
    target = catalog.resolve(name)
    state = availability_of(catalog, name)
    status = "Ready." if state.is_ready else f"{state.reason[:1].upper()}{state.reason[1:]}."
    about = description_of(catalog, name)
    return f"{about} {status} Context: {target.model.context:,} tokens."


def defaults_of(catalog: Catalog, name: str) -> tuple[str, str]:
    """Return the system prompt and the tools that chats with this model start with."""
    model = starting_model(catalog, name)
    system = located(model.system).read_text(encoding="utf-8").strip() if model.system else ""
    tools = located(model.tools).read_text(encoding="utf-8").strip() if model.tools else ""
    return system, tools


def build_options(catalog: Catalog) -> OptionWidgets:
    """Lay out the model's choice and, folded away, everything else."""
    target = catalog.resolve(catalog.default_model)
    system, tools = defaults_of(catalog, target.id)
    with gr.Row(elem_id="model-row"):
        model = gr.Dropdown(
            model_choices(catalog), value=target.id, label="Model", elem_id="model",
            container=False, min_width=220, scale=0,
        )  # fmt: skip
        line = gr.Markdown(model_line(catalog, target.id), elem_id="model-line")
    with gr.Accordion("Options", open=False, elem_id="options"):
        widgets = OptionWidgets(
            model=model,
            system=gr.Textbox(system, label="System prompt", lines=2, elem_id="system"),
            temperature=gr.Slider(
                0.0, 2.0, DEFAULTS.temperature, step=0.05, label="Temperature",
                info="0 always takes the likeliest token.",
            ),
            top_p=gr.Slider(0.05, 1.0, DEFAULTS.top_p, step=0.05, label="Top-p"),
            max_tokens=gr.Slider(
                1, catalog.limits.new_tokens, DEFAULTS.max_tokens, step=1, label="Longest answer",
                info="In tokens.",
            ),
            seed=gr.Textbox("", label="Seed", max_lines=1, info="A whole number; empty draws one."),
            tools=gr.Textbox(
                tools, label="Tools", lines=4, max_lines=12, elem_id="tools",
                info="A JSON list in OpenAI's shape; empty offers none.",
            ),
            filter=gr.Checkbox(
                False, label="Cut announcements", elem_id="filter",
                info='Removes sentences like "Let me first analyze..." (English and Portuguese).',
            ),
        )  # fmt: skip

    def on_model(name: str) -> tuple[str, str, str]:
        return (model_line(catalog, name), *defaults_of(catalog, name))

    model.input(
        handler(on_model), model, [line, widgets.system, widgets.tools],
        api_name="describe_model", show_progress="hidden",
    )  # fmt: skip
    return widgets
