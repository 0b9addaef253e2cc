"""Experiments section: what is being decided, live for everybody; made and ended by an admin."""

from dataclasses import dataclass, fields
from typing import Any

import gradio as gr
from gradio.blocks import Block, BlockContext
from gradio.components import Component

from core.errors import NotFoundError
from core.store.experiments import Experiment
from tabs.bridge import QUIET, handler
from tabs.experiment_form import EndWidgets, ExperimentForm, FormCallbacks, build_form
from tabs.experiment_parts import ExperimentParts, rates_of
from tabs.leaderboard_view import text_of

Update = dict[Component | BlockContext, Any]
LOOK_S = 3.0
"""How often a page asks how a running experiment stands."""
NONE_YET = (
    "**No experiment yet.** An experiment has two arms and a plan that is fixed before its first "
    "item; an administrator makes one, everybody sees how it stands."
)


@dataclass(frozen=True, slots=True)
class ExperimentWidgets:
    """The widgets that looking at an experiment changes."""

    chosen: gr.Dropdown
    none_yet: gr.Markdown
    panel: gr.HTML
    shown: gr.State
    """The panel's HTML that the page shows."""
    rates: gr.Accordion
    timer: gr.Timer

    def changed(self) -> list[Block]:
        """Return what a new look changes."""
        return [getattr(self, field.name) for field in fields(self)]


def build_experiments(parts: ExperimentParts, section: gr.Tab) -> None:
    """Lay the section out inside the current `gr.Blocks`; it is read when `section` is opened."""
    with gr.Column(elem_id="experiments"):
        chosen = gr.Dropdown(
            [], label="Experiment", elem_id="experiment", visible=False, interactive=True
        )
        none_yet = gr.Markdown(NONE_YET, elem_id="experiment-none")
        panel = gr.HTML("", elem_id="experiment-panel")
        with gr.Accordion(
            "What your own machine costs", open=False, visible=False, elem_id="experiment-rates"
        ) as rates:
            with gr.Row():
                entered = [
                    gr.Textbox(label=label, max_lines=1, max_length=20, min_width=130, elem_id=name)
                    for label, name in (
                        ("US dollars per hour", "rate-hour"),
                        ("Watts", "rate-watts"),
                        ("US dollars per kWh", "rate-kwh"),
                    )
                ]
            gr.Markdown(
                "Used for arms that run on this machine and have no price, on the measured seconds "
                "of each request; kept nowhere. Leave empty what you don't know: the cost stays "
                "unknown.",
                elem_id="experiment-rates-note",
            )
        end, form = build_form()
    widgets = ExperimentWidgets(
        chosen, none_yet, panel, gr.State(""), rates, gr.Timer(LOOK_S, active=False)
    )
    _wire(parts, widgets, entered, section)
    _wire_form(parts, widgets, end, form, section)


class ExperimentCallbacks:
    """Each looks at the experiment anew; names that the browser sends are looked up."""

    def __init__(self, parts: ExperimentParts, widgets: ExperimentWidgets) -> None:
        self._parts = parts
        self._widgets = widgets

    def on_open(
        self, chosen: object, hour: object, watts: object, kwh: object, request: gr.Request
    ) -> Update:
        """Show the experiment that is chosen, else the one of the page's address, else the newest.

        Raises:
            NotFoundError: there is none of this name.
        """
        name = text_of(chosen) or text_of(request.query_params.get("experiment"))
        return self.show(name, (hour, watts, kwh))

    def on_tick(
        self, chosen: object, hour: object, watts: object, kwh: object, shown: str
    ) -> Update:
        """Show how the experiment stands now; a page that shows it already is left alone."""
        update = self.show(text_of(chosen), (hour, watts, kwh))
        if update[self._widgets.shown] == shown and update[self._widgets.timer].active:
            return {self._widgets.shown: shown}
        return update

    def show(self, name: str, rates: tuple[object, object, object]) -> Update:
        """Return the whole section; an empty name means the newest experiment.

        Raises:
            NotFoundError: there is none of this name.
        """
        w, found = self._widgets, self._parts.experiments.list()
        if not found:
            return self._empty()
        chosen = _chosen(found, name)
        panel = self._parts.panels.of(chosen.name, rates_of(chosen, rates))
        html = self._parts.pages.experiment(panel)
        names = [(_label(each), each.name) for each in found]
        return {
            w.chosen: gr.update(choices=names, value=chosen.name, visible=True),
            w.none_yet: gr.update(visible=False),
            w.panel: html,
            w.shown: html,
            w.rates: gr.update(visible=True),
            w.timer: gr.Timer(LOOK_S, active=chosen.is_running),
        }

    def _empty(self) -> Update:
        w = self._widgets
        return {
            w.chosen: gr.update(choices=[], value=None, visible=False),
            w.none_yet: gr.update(visible=True),
            w.panel: "",
            w.shown: "",
            w.rates: gr.update(visible=False),
            w.timer: gr.Timer(LOOK_S, active=False),
        }


def _chosen(found: tuple[Experiment, ...] | list[Experiment], name: str) -> Experiment:
    if not name:
        return found[0]
    for each in found:
        if each.name == name:
            return each
    raise NotFoundError(f"no experiment named {name!r}; choose one from the list")


def _label(experiment: Experiment) -> str:
    return experiment.name if experiment.is_running else f"{experiment.name} (ended)"


def _wire(
    parts: ExperimentParts, w: ExperimentWidgets, entered: list[gr.Textbox], section: gr.Tab
) -> None:
    callbacks, asked = ExperimentCallbacks(parts, w), [w.chosen, *entered]
    gr.on(
        [
            section.select, w.chosen.input,
            *(event for each in entered for event in (each.submit, each.blur)),
        ],
        handler(callbacks.on_open), asked, w.changed(), **QUIET, trigger_mode="always_last",
        api_name="experiment",
    )  # fmt: skip
    w.timer.tick(
        handler(callbacks.on_tick), [*asked, w.shown], w.changed(), **QUIET, trigger_mode="once",
        api_name="experiment_progress",
    )  # fmt: skip


def _wire_form(
    parts: ExperimentParts,
    w: ExperimentWidgets,
    end: EndWidgets,
    form: ExperimentForm,
    section: gr.Tab,
) -> None:
    """Connect what only an administrator may do."""
    callbacks = FormCallbacks(parts, end, form)
    shown = ExperimentCallbacks(parts, w)

    def on_make(values: Update, request: gr.Request) -> Update:
        """Make the experiment that the form describes, and show it."""
        made = callbacks.make(values, request)
        return {**shown.show(made, (None, None, None)), **callbacks.admin(made)}

    def on_end(chosen: object, request: gr.Request) -> Update:
        """End the chosen experiment for good."""
        ended = callbacks.end(chosen, request)
        return {**shown.show(ended, (None, None, None)), **callbacks.admin(ended)}

    page = [*w.changed(), *end.changed(), *form.changed()]
    form.make.click(handler(on_make), form.asked(), page, **QUIET, api_name="experiment_make")
    end.yes.click(handler(on_end), w.chosen, page, **QUIET, api_name="experiment_end")
    gr.on(
        [section.select, w.chosen.input], handler(callbacks.on_open), w.chosen,
        [*end.changed(), *form.changed()], **QUIET, api_name="experiment_admin",
    )  # fmt: skip
