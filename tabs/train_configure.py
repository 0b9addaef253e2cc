"""The step Configure of the Train tab: a run's settings, as a form and as `run.yaml`."""

from dataclasses import dataclass

import gradio as gr

from core.errors import InputError
from tabs.bridge import QUIET, handler
from tabs.leaderboard_view import text_of
from tabs.train_configure_form import Form, build_form
from tabs.train_data import DataStep
from tabs.train_data_view import all_versions, bases, first_base
from tabs.train_parts import TrainParts, TrainPlace, Update
from training.config import TrainConfig
from training.run_checks import checks
from training.run_draft import read_draft, run_yaml, save_draft

COMMAND = "python -m training run run.yaml"
ESTIMATE = "python -m training estimate run.yaml"


@dataclass(frozen=True, slots=True)
class ConfigureStep:
    """The form, and what it makes."""

    form: Form
    yaml: gr.Code
    checks: gr.HTML


def build_configure(parts: TrainParts, place: TrainPlace, data: DataStep) -> ConfigureStep:
    """Lay out the step inside the current tab and wire its events."""
    with gr.Row(elem_id="train-configure"):
        with gr.Column(scale=3, min_width=300, elem_id="train-settings"):
            form = build_form()
        with gr.Column(scale=2, min_width=300, elem_id="train-file-side"):
            told = gr.HTML("", elem_id="train-checks")
            yaml = gr.Code(
                "", language="yaml", label="run.yaml", interactive=False, elem_id="train-yaml"
            )
            gr.Code(
                f"{ESTIMATE}\n{COMMAND}", language="shell", label="The same in a terminal",
                interactive=False, elem_id="train-command",
            )  # fmt: skip
            following = gr.Button("Estimate it", variant="primary", elem_id="train-to-estimate")
    step = ConfigureStep(form, yaml, told)
    _wire(ConfigureCallbacks(parts, place, step, data), following)
    return step


class ConfigureCallbacks:
    """Each asks first whether an administrator calls; hidden widgets protect nothing."""

    def __init__(
        self, parts: TrainParts, place: TrainPlace, step: ConfigureStep, data: DataStep
    ) -> None:
        self.place = place
        self.step = step
        self.data = data
        self._parts = parts

    def on_load(self, request: gr.Request) -> Update:
        """Show the settings as they were left, else the defaults."""
        if not self._parts.is_admin(request):
            return {self.place.config: ""}
        form, draft = self.step.form, read_draft(self._parts.home)
        if draft is None:
            first: Update = {form.entries["model"]: first_base(self._parts)}
            return {**self._offered(first), **self._unset("choose a dataset")}
        return {**self._offered(form.shown(draft)), **self._told(draft)}

    def on_dataset(self, request: gr.Request) -> Update:
        """Offer the datasets that there are by now."""
        self._parts.require_admin(request)
        known = [version.reference for version in all_versions(self._parts)]
        return {self.step.form.entries["dataset"]: gr.update(choices=known)}

    def on_change(self, values: Update, request: gr.Request) -> Update:
        """Show the settings that the form says, or what is wrong with them."""
        self._parts.require_admin(request)
        try:
            config = self.step.form.read(values)
        except InputError as error:
            return self._unset(str(error))
        save_draft(self._parts.home, config)
        return self._told(config)

    def on_preset(self, values: Update, request: gr.Request) -> Update:
        """Put a preset's values into the form."""
        form = self.step.form
        update = form.preset_values(text_of(values[form.preset]))
        return {**update, **self.on_change({**values, **update}, request)}

    def on_take(self, values: Update, request: gr.Request) -> Update:
        """Take over the dataset, the model and the window of the step Data, and go on here."""
        self._parts.require_admin(request)
        entries = self.step.form.entries
        taken: Update = {
            entries["dataset"]: values[self.data.dataset],
            entries["model"]: values[self.data.model],
            entries["max_length"]: values[self.data.max_length],
        }
        shown = self._offered(taken)
        told = self.on_change({**values, **taken}, request)
        return {**shown, **told, self.place.steps: gr.Tabs(selected="configure")}

    def _offered(self, update: Update) -> Update:
        """Return the widgets' values, with what there is to choose from."""
        entries = self.step.form.entries
        offered = dict(update)
        choices = {
            entries["model"]: bases(self._parts),
            entries["dataset"]: [(v.reference, v.reference) for v in all_versions(self._parts)],
        }
        for widget, names in choices.items():
            value = update.get(widget)
            is_known = any(value == name for _, name in names)
            offered[widget] = gr.update(choices=names, value=value if is_known else None)
        return offered

    def _told(self, config: TrainConfig) -> Update:
        parts, text = self._parts, run_yaml(config)
        found = checks(config, parts.home, parts.catalog, parts.audits)
        return {
            self.step.checks: parts.render("train_checks.html", problem="", checks=found),
            self.step.yaml: text,
            self.place.config: text,
        }

    def _unset(self, problem: str) -> Update:
        told = self._parts.render("train_checks.html", problem=problem, checks=())
        return {self.step.checks: told, self.step.yaml: "", self.place.config: ""}


def _wire(callbacks: ConfigureCallbacks, following: gr.Button) -> None:
    place, step, data = callbacks.place, callbacks.step, callbacks.data
    form = step.form
    told, widgets = [step.checks, step.yaml, place.config], list(form.widgets())
    gr.on(
        None, handler(callbacks.on_load), None, [*widgets, *told], **QUIET,
        api_name="train_settings",
    )  # fmt: skip
    place.dataset.change(
        handler(callbacks.on_dataset), None, form.entries["dataset"], **QUIET,
        api_name="train_offer",
    )  # fmt: skip
    # Text that is pasted or filled in makes no `input` event, but the field is left some time.
    left = [widget.blur for widget in form.entries.values() if isinstance(widget, gr.Textbox)]
    gr.on(
        [*(widget.input for widget in form.entries.values()), *left], handler(callbacks.on_change),
        form.widgets(), told, **QUIET, trigger_mode="always_last", api_name="train_configure",
    )  # fmt: skip
    form.preset.input(
        handler(callbacks.on_preset), form.widgets(), [*widgets, *told], **QUIET,
        api_name="train_preset",
    )  # fmt: skip
    data.next.click(
        handler(callbacks.on_take), {*form.widgets(), data.dataset, data.model, data.max_length},
        [*widgets, *told, place.steps], **QUIET, api_name="train_take",
    )  # fmt: skip
    following.click(
        None, None, place.steps, js="() => ({selected: 'estimate', __type__: 'update'})",
        api_name="train_to_estimate",
    )  # fmt: skip
