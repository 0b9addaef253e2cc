"""The widgets of how one completion is made: temperature, top-p, length and seed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr
from gradio.blocks import Block

from core.errors import InputError
from core.gateway.allow import Limits
from core.messages import GenerationParams

DEFAULTS = GenerationParams()


@dataclass(frozen=True, slots=True)
class ParameterWidgets:
    """One widget a parameter."""

    temperature: gr.Slider
    top_p: gr.Slider
    max_tokens: gr.Slider
    seed: gr.Textbox

    def all(self) -> set[Block]:
        """Return the widgets, as inputs of an event."""
        return {getattr(self, field.name) for field in fields(self)}

    def read(self, values: Mapping[Any, Any]) -> GenerationParams:
        """Return the parameters that the browser sent.

        Raises:
            InputError: a value has the wrong type or is out of its range.
        """
        seed = str(values[self.seed] or "").strip()
        try:
            return GenerationParams(
                temperature=float(values[self.temperature]),
                top_p=float(values[self.top_p]),
                max_tokens=int(values[self.max_tokens]),
                seed=int(seed) if seed else None,
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"an option is not a number: {error}") from error

    def shown(self, params: GenerationParams) -> dict[Any, Any]:
        """Return what makes the widgets show these parameters."""
        return {
            self.temperature: params.temperature,
            self.top_p: params.top_p,
            self.max_tokens: params.max_tokens,
            self.seed: "" if params.seed is None else str(params.seed),
        }


def build_parameters(limits: Limits) -> ParameterWidgets:
    """Lay out the widgets inside the current `gr.Blocks`."""
    return ParameterWidgets(
        temperature=gr.Slider(
            0.0, 2.0, DEFAULTS.temperature, step=0.05, label="Temperature",
            info="0 always takes the likeliest token.",
        ),
        top_p=gr.Slider(0.05, 1.0, DEFAULTS.top_p, step=0.05, label="Top-p"),
        max_tokens=gr.Slider(
            1, limits.new_tokens, DEFAULTS.max_tokens, step=1, label="Longest answer",
            info="In tokens.",
        ),
        seed=gr.Textbox("", label="Seed", max_lines=1, info="A whole number; empty draws one."),
    )  # fmt: skip
