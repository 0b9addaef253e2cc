"""The form of a run's settings: every field of `TrainConfig`, with its unit and what it means."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal

import gradio as gr
from gradio.blocks import Block

from core.errors import InputError
from tabs.leaderboard_view import text_of
from tabs.train_parts import Update, number_of
from training.config import METHODS, RECIPES, TrainConfig
from training.config_help import hints
from training.presets import PRESETS

Widget = gr.Dropdown | gr.Textbox | gr.Checkbox
Way = Literal["text", "whole", "number", "flag", "choice"]
FIELDS = {field.name: field for field in fields(TrainConfig)}


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of the form."""

    name: str
    """Of the field of `TrainConfig`."""
    label: str
    """With the unit, where there is one."""
    way: Way

    @property
    def is_optional(self) -> bool:
        """Return whether nothing is a value of its own: no limit, no mirror."""
        return FIELDS[self.name].default is None

    @property
    def default(self) -> Any:
        """Return what stands when nothing is said; None for a field that must be given."""
        default = FIELDS[self.name].default
        return None if default is MISSING else default


GROUPS: Mapping[str, tuple[Entry, ...]] = {
    "What is trained": (
        Entry("model", "Base model", "choice"),
        Entry("dataset", "Dataset", "choice"),
        Entry("recipe", "Recipe", "choice"),
        Entry("method", "Method", "choice"),
    ),
    "Adapter": (
        Entry("rank", "Rank", "whole"),
        Entry("alpha", "Alpha", "whole"),
        Entry("dropout", "Dropout (share, 0 to 1)", "number"),
    ),
    "Learning": (
        Entry("learning_rate", "Learning rate, at its peak", "number"),
        Entry("epochs", "Epochs (passes)", "number"),
        Entry("max_steps", "Steps in all", "whole"),
        Entry("batch_size", "Batch (examples per step)", "whole"),
        Entry("batch_tokens", "Batch instead (tokens per step)", "whole"),
        Entry("beta", "Beta, for dpo and kto", "number"),
        Entry("seed", "Seed", "whole"),
    ),
    "Memory and speed": (
        Entry("max_length", "Window (tokens per example)", "whole"),
        Entry("micro_tokens", "At once (tokens in memory)", "whole"),
        Entry("packing", "Packing", "flag"),
        Entry("gradient_checkpointing", "Gradient checkpointing", "flag"),
    ),
    "Evaluation and checkpoints": (
        Entry("eval_every", "Evaluate every (steps)", "whole"),
        Entry("patience", "Patience (evaluations)", "whole"),
        Entry("checkpoint_every_s", "Checkpoint every (seconds)", "number"),
        Entry("checkpoint_every", "Checkpoint also every (steps)", "whole"),
        Entry("mirror", "Mirror (fsspec URL)", "text"),
    ),
}
"""All fields but the preset, which stands above them."""
ENTRIES = tuple(entry for group in GROUPS.values() for entry in group)
CHOICES: Mapping[str, tuple[str, ...]] = {"recipe": RECIPES, "method": METHODS}
NONE = {"max_steps": "as epochs make", "batch_tokens": "not used", "eval_every": "a tenth of all",
        "patience": "never ends early", "checkpoint_every": "by time alone",
        "mirror": "no mirror"}  # fmt: skip
"""What an empty field means, where it has no number."""


@dataclass(frozen=True, slots=True)
class Form:
    """The widgets of the form."""

    preset: gr.Radio
    entries: Mapping[str, Widget]

    def widgets(self) -> set[Block]:
        """Return all of them, as inputs of an event."""
        return {self.preset, *self.entries.values()}

    def read(self, values: Update) -> TrainConfig:
        """Return the settings that the browser sent; an empty field says nothing.

        Raises:
            InputError: a value is wrong, or a field that must be given is empty.
        """
        raw = {entry: _read(entry, values[self.entries[entry.name]]) for entry in ENTRIES}
        # Where nothing is a value, an empty field says so; elsewhere it leaves preset and default.
        said = {e.name: v for e, v in raw.items() if v is not None or e.is_optional}
        preset = text_of(values[self.preset])
        return TrainConfig.from_dict({**said, "preset": preset} if preset else said)

    def shown(self, config: TrainConfig) -> Update:
        """Return the widgets' values of settings."""
        update: Update = {self.preset: config.preset or ""}
        told = config.to_dict()
        for entry in ENTRIES:
            update[self.entries[entry.name]] = _shown(entry, told[entry.name])
        return update

    def preset_values(self, preset: str) -> Update:
        """Return the values of a preset, and the defaults of what any preset sets.

        Raises:
            InputError: there is no such preset.
        """
        if preset and preset not in PRESETS:
            raise InputError(
                f"no preset named {preset[:40]!r}; choose one of: {', '.join(PRESETS)}"
            )
        under = PRESETS[preset].values if preset else {}
        touched = {name for each in PRESETS.values() for name in each.values}
        return {
            self.entries[entry.name]: _shown(entry, under.get(entry.name, entry.default))
            for entry in ENTRIES
            if entry.name in touched
        }


def build_form() -> Form:
    """Lay the form out inside the current column."""
    presets = [("none", ""), *((name, name) for name in PRESETS)]
    preset = gr.Radio(presets, value="", label="Preset", elem_id="train-preset")
    gr.Markdown(
        "\n".join(f"- **{name}**: {p.about} {p.source}." for name, p in PRESETS.items()),
        elem_classes="train-hint",
    )
    entries: dict[str, Widget] = {}
    for title, group in GROUPS.items():
        gr.Markdown(f"### {title}", elem_classes="train-title")
        with gr.Row(elem_classes="train-fields"):
            for entry in group:
                entries[entry.name] = _widget(entry)
    return Form(preset, entries)


def _widget(entry: Entry) -> Widget:
    about: dict[str, Any] = {
        "label": entry.label,
        "info": hints()[entry.name],
        "elem_id": f"train-set-{entry.name.replace('_', '-')}",
    }
    if entry.way == "flag":
        return gr.Checkbox(value=entry.default, **about)
    if entry.way == "choice":
        choices = list(CHOICES.get(entry.name, ()))
        return gr.Dropdown(choices, value=entry.default, min_width=220, **about)
    return gr.Textbox(
        value=_shown(entry, entry.default), placeholder=NONE.get(entry.name, "default"),
        max_lines=1, max_length=300, min_width=220, **about,
    )  # fmt: skip


def _read(entry: Entry, value: object) -> Any:
    """Return what a widget says; None: nothing."""
    if entry.way == "flag":
        if not isinstance(value, bool):
            raise InputError(f"{entry.name} must be true or false, got {str(value)[:40]!r}")
        return value
    text = text_of(value).strip()
    if not text:
        return None
    if entry.way in ("text", "choice"):
        return text
    return number_of(text, entry.name, int if entry.way == "whole" else float)


def _shown(entry: Entry, value: Any) -> Any:
    if entry.way in ("flag", "choice"):
        return value
    return "" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)
