"""The step Estimate of the Train tab: memory, time and cost of a run, measured before its start."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import InputError
from tabs.bridge import QUIET, handler
from tabs.leaderboard_view import text_of
from tabs.train_configure import ConfigureStep
from tabs.train_data_audit import LOOK_S, STOP
from tabs.train_data_view import work_page
from tabs.train_markup import duration
from tabs.train_parts import TrainParts, TrainPlace, Update, number_of
from training.config import TrainConfig
from training.errand_folder import Errand, Order
from training.estimate import cost_of
from training.job_new import NewRun, queue_run
from training.run_checks import Check, checks
from training.run_draft import config_of, run_yaml

ABOUT = (
    "Ten steps are done on this machine, the largest among them, and nothing of them is kept. "
    "Memory, time and cost are what they took."
)


@dataclass(frozen=True, slots=True)
class EstimateWidgets:
    """The widgets of the step."""

    go: gr.Button
    price: gr.Textbox
    work: gr.HTML
    found: gr.HTML
    name: gr.Textbox
    start: gr.Button
    timer: gr.Timer


def build_estimate(
    parts: TrainParts, place: TrainPlace, configure: ConfigureStep
) -> EstimateWidgets:
    """Lay out the step inside the current tab and wire its events."""
    with gr.Column(elem_id="train-estimate"):
        gr.Markdown(ABOUT, elem_classes="train-hint")
        with gr.Row(elem_classes="train-form"):
            price = gr.Textbox(
                label="Price of this machine (per hour)", placeholder="unknown", max_lines=1,
                max_length=12, elem_id="train-price", min_width=200,
            )  # fmt: skip
            go = gr.Button("Estimate", variant="primary", elem_id="train-probe", min_width=110)
        work = gr.HTML("", elem_id="train-probe-work", js_on_load=STOP)
        found = gr.HTML("", elem_id="train-estimated")
        gr.Markdown("### Start", elem_classes="train-title")
        with gr.Row(elem_classes="train-form"):
            name = gr.Textbox(
                label="Name of the run", placeholder="made of model, purpose and time",
                max_lines=1, max_length=100, elem_id="train-run-name", min_width=240,
            )  # fmt: skip
            start = gr.Button("Start the run", variant="primary", elem_id="train-start")
    widgets = EstimateWidgets(
        go=go, price=price, work=work, found=found, name=name, start=start,
        timer=gr.Timer(LOOK_S, active=False),
    )  # fmt: skip
    _wire(EstimateCallbacks(parts, place, configure, widgets))
    return widgets


class EstimateCallbacks:
    """Each asks first whether an administrator calls; hidden widgets protect nothing."""

    def __init__(
        self,
        parts: TrainParts,
        place: TrainPlace,
        configure: ConfigureStep,
        widgets: EstimateWidgets,
    ) -> None:
        self.place = place
        self.form = configure.form
        self.widgets = widgets
        self._parts = parts

    def on_config(self, config: str, price: str, request: gr.Request) -> Update:
        """Show what is known of the settings as they are now."""
        self._parts.require_admin(request)
        return self._shown(config, price)

    def on_tick(self, config: str, price: str, request: gr.Request) -> Update:
        """Show how far the measurement is."""
        if not self._parts.is_admin(request):
            return {self.widgets.timer: gr.Timer(active=False)}
        return self._shown(config, price)

    def on_estimate(self, values: Update, request: gr.Request) -> Update:
        """Begin to measure the run that the form says."""
        self._parts.require_admin(request)
        config = self.form.read(values)
        price = values[self.widgets.price]
        _price(price)
        text = run_yaml(config)
        self._parts.errands.ask(Order("estimate", text, {"config": config.to_dict()}))
        return {**self._shown(text, price), self.place.config: text}

    def on_stop(self, config: str, price: str, request: gr.Request) -> Update:
        """Stop the measurement at work."""
        self._parts.require_admin(request)
        self._parts.errands.stop("estimate")
        return self._shown(config, price)

    def on_start(self, values: Update, request: gr.Request) -> Update:
        """Queue the run that the form says; a run that was found not to fit is refused."""
        self._parts.require_admin(request)
        config = self.form.read(values)
        errand = self._parts.errands.newest("estimate", run_yaml(config))
        if errand is not None and errand.status == "done" and not errand.result["fits"]:
            raise InputError(
                "this run does not fit in the memory of this machine; change its settings as the "
                "estimate says, or estimate again when more is free"
            )
        against = [check.text for check in self._checks(config) if check.is_stop]
        if against:
            raise InputError(f"this run can't be carried out: {'; '.join(against)}")
        name = text_of(values[self.widgets.name]).strip() or None
        view = queue_run(self._parts.jobs, self._parts.catalog, NewRun(config, name))
        return {
            self.place.run: view.job.id,
            self.place.steps: gr.Tabs(selected="run"),
            self.widgets.name: "",
        }

    def _checks(self, config: TrainConfig) -> tuple[Check, ...]:
        parts = self._parts
        return checks(config, parts.home, parts.catalog, parts.audits)

    def _shown(self, config: str, price: str) -> Update:
        w, errands = self.widgets, self._parts.errands
        errand = errands.newest("estimate", config) if config else None
        busy = errands.newest("estimate")
        is_working = busy is not None and busy.status == "working"
        parts, known = self._parts, config_of(config) if config else None
        page = parts.render(
            "train_estimate.html",
            config=known,
            errand=errand,
            checks=self._checks(known) if known else (),
            **_figures(errand, price),
        )
        return {
            w.work: work_page(parts, *_work(busy if is_working else errand)),
            w.found: page,
            w.timer: gr.Timer(active=is_working),
            w.go: gr.update(interactive=bool(config) and not is_working),
            w.start: gr.update(interactive=bool(config)),
        }


def _work(errand: Errand | None) -> tuple[Errand | None, str]:
    """Return an errand, and what it is in words."""
    about: Any = errand.order.arguments["config"] if errand else {}
    return errand, f"Estimate of {about.get('model')} on {about.get('dataset')}"


def _figures(errand: Errand | None, price: str) -> dict[str, object]:
    """Return what the page says of an estimate in words."""
    told: Mapping[str, Any] = errand.result if errand is not None else {}
    took = told.get("duration_s")
    return {
        "duration": duration(took),
        "step": duration(told.get("step_s")),
        "cost": None if took is None else cost_of(took, _price(price)),
    }


def _price(price: object) -> float | None:
    """Return what the machine costs in an hour; None: nobody said.

    Raises:
        InputError: it is no number, or negative.
    """
    if not text_of(price).strip():
        return None
    value = float(number_of(price, "the price per hour"))
    if not 0 <= value < 1e9:
        raise InputError(f"the price per hour must be 0 or more, got {value}")
    return value


def _wire(callbacks: EstimateCallbacks) -> None:
    w, place = callbacks.widgets, callbacks.place
    at, form = [place.config, w.price], callbacks.form.widgets()
    shown = [w.work, w.found, w.timer, w.go, w.start]
    gr.on(
        [place.config.change, w.price.input, w.price.blur],
        handler(callbacks.on_config), at, shown, **QUIET,
        trigger_mode="always_last", api_name="train_estimated",
    )  # fmt: skip
    w.go.click(
        handler(callbacks.on_estimate), {*form, w.price}, [*shown, place.config], **QUIET,
        api_name="train_estimate",
    )  # fmt: skip
    w.work.stop(handler(callbacks.on_stop), at, shown, **QUIET, api_name="train_estimate_stop")
    w.timer.tick(
        handler(callbacks.on_tick), at, shown, **QUIET, trigger_mode="once",
        api_name="train_estimate_progress",
    )  # fmt: skip
    w.start.click(
        handler(callbacks.on_start), {*form, w.name}, [place.run, place.steps, w.name],
        **QUIET, api_name="train_start",
    )  # fmt: skip
