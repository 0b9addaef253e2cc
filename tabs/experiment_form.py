"""Making and ending experiments, for administrators."""

from dataclasses import dataclass, fields, replace
from typing import Any, get_args

import gradio as gr
from gradio.blocks import Block, BlockContext
from gradio.components import Component

from core.store.experiments import ALPHAS, FEWEST, MOST, SMALLEST_DELTA, Metric
from evals.arena.experiments import Asked
from tabs.bridge import QUIET, handler
from tabs.experiment_parts import (
    METRIC_CHOICES,
    PLAN_CHOICES,
    ExperimentParts,
    named,
    plan_of,
)
from tabs.leaderboard_view import one_of, text_of

Update = dict[Component | BlockContext, Any]
SURE = "An ended experiment takes no more items, and can't be opened again."


@dataclass(frozen=True, slots=True)
class EndWidgets:
    """The widgets that end an experiment."""

    end: gr.Button
    sure: gr.Row
    yes: gr.Button
    no: gr.Button

    def changed(self) -> list[Block]:
        """Return what the handlers change."""
        return [self.end, self.sure]


@dataclass(frozen=True, slots=True)
class ExperimentForm:
    """The widgets that describe a new experiment."""

    panel: gr.Accordion
    name: gr.Textbox
    arm_a: gr.Dropdown
    arm_b: gr.Dropdown
    metric: gr.Dropdown
    task: gr.Dropdown
    judge: gr.Dropdown
    rubric: gr.Dropdown
    plan: gr.Dropdown
    n: gr.Number
    alpha: gr.Number
    delta: gr.Number
    make: gr.Button

    def asked(self) -> set[Block]:
        """Return what describes the experiment, as inputs of an event."""
        return {getattr(self, field.name) for field in fields(self)} - {self.panel, self.make}

    def changed(self) -> list[Block]:
        """Return what the handlers change."""
        return [
            self.panel, self.name, self.arm_a, self.arm_b, self.task, self.judge, self.rubric,
        ]  # fmt: skip


def build_form() -> tuple[EndWidgets, ExperimentForm]:
    """Lay the widgets out, hidden until an administrator is known to look."""
    end = _end()
    with gr.Accordion(
        "Make an experiment", open=False, visible=False, elem_id="experiment-make"
    ) as panel:
        with gr.Row():
            name = gr.Textbox(
                label="Name", placeholder="small-against-big", max_lines=1, max_length=64,
                min_width=160, elem_id="experiment-name",
            )  # fmt: skip
            arm_a = gr.Dropdown([], label="Arm A", min_width=160, elem_id="experiment-arm-a")
            arm_b = gr.Dropdown([], label="Arm B", min_width=160, elem_id="experiment-arm-b")
        with gr.Row():
            decider = _decider()
        with gr.Row():
            plan = _plan()
        make = gr.Button(
            "Start the experiment", variant="primary", elem_id="experiment-go", min_width=160
        )
    form = ExperimentForm(
        panel=panel, name=name, arm_a=arm_a, arm_b=arm_b, make=make, **decider, **plan
    )
    _wire_choices(form, end)
    return end, form


def _end() -> EndWidgets:
    with gr.Row(elem_id="experiment-ending"):
        end = gr.Button(
            "End this experiment", size="sm", visible=False, elem_id="experiment-end",
            min_width=160,
        )  # fmt: skip
        with gr.Row(visible=False, elem_id="experiment-sure") as sure:
            gr.Markdown(SURE)
            yes = gr.Button("End it", variant="stop", size="sm", elem_id="experiment-end-yes")
            no = gr.Button("Keep it running", size="sm", elem_id="experiment-end-no")
    return EndWidgets(end, sure, yes, no)


def _decider() -> dict[str, Any]:
    """Lay out what decides; the names are those of `ExperimentForm`."""
    return {
        "metric": gr.Dropdown(
            list(METRIC_CHOICES), value="votes", label="Decided by", min_width=180,
            elem_id="experiment-metric",
        ),
        "task": gr.Dropdown(
            [], label="Task", visible=False, min_width=160, elem_id="experiment-task"
        ),
        "judge": gr.Dropdown(
            [], label="Judge", visible=False, min_width=160, elem_id="experiment-judge"
        ),
        "rubric": gr.Dropdown(
            [], label="Rubric", visible=False, min_width=160, elem_id="experiment-rubric"
        ),
    }  # fmt: skip


def _plan() -> dict[str, Any]:
    """Lay out the plan; the names are those of `ExperimentForm`."""
    return {
        "plan": gr.Dropdown(
            list(PLAN_CHOICES), value="always_valid", label="Plan", min_width=200,
            elem_id="experiment-plan",
        ),
        "n": gr.Number(
            200, label="Items", precision=0, minimum=FEWEST, maximum=MOST, visible=False,
            min_width=130, elem_id="experiment-n",
        ),
        "alpha": gr.Number(
            5, label="False winners, at most %", minimum=ALPHAS[0] * 100, maximum=ALPHAS[1] * 100,
            min_width=150, elem_id="experiment-alpha",
        ),
        "delta": gr.Number(
            10, label="Smallest difference of interest, points", minimum=SMALLEST_DELTA * 100,
            maximum=100, min_width=200, elem_id="experiment-delta",
        ),
    }  # fmt: skip


def _wire_choices(form: ExperimentForm, end: EndWidgets) -> None:
    """Show the fields that the choices need; no one's role is asked, nothing is told."""

    def on_metric(metric: object) -> tuple[Any, Any, Any]:
        judged = gr.update(visible=metric == "judge")
        return gr.update(visible=metric in ("task", "judge")), judged, judged

    def on_plan(plan: object) -> tuple[Any, Any]:
        is_fixed = plan == "fixed_n"
        return gr.update(visible=is_fixed), gr.update(visible=not is_fixed)

    def ask() -> Any:
        return gr.update(visible=True)

    def keep() -> Any:
        return gr.update(visible=False)

    form.metric.input(
        handler(on_metric), form.metric, [form.task, form.judge, form.rubric], **QUIET,
        api_name="experiment_metric",
    )  # fmt: skip
    form.plan.input(
        handler(on_plan), form.plan, [form.n, form.alpha], **QUIET, api_name="experiment_plan"
    )
    end.end.click(ask, None, end.sure, **QUIET, api_name="experiment_ask_end")
    end.no.click(keep, None, end.sure, **QUIET, api_name="experiment_keep")


class FormCallbacks:
    """Each asks first whether an administrator calls."""

    def __init__(self, parts: ExperimentParts, end: EndWidgets, form: ExperimentForm) -> None:
        self._parts = parts
        self._end = end
        self._form = form

    def on_open(self, chosen: object, request: gr.Request) -> Update:
        """Show an administrator what they may do; others see and are told nothing."""
        if not self._parts.is_admin(request):
            return {
                self._form.panel: gr.update(visible=False),
                self._end.end: gr.update(visible=False),
                self._end.sure: gr.update(visible=False),
            }
        return self._choices() | self.admin(text_of(chosen))

    def admin(self, chosen: str) -> Update:
        """Return the widgets of an administrator who looks at this experiment; empty: newest."""
        found = self._parts.experiments.list()
        looked = [each for each in found if each.name == chosen] or found[:1]
        is_running = any(each.is_running for each in looked)
        return {
            self._form.panel: gr.update(visible=True),
            self._form.name: "",
            self._end.end: gr.update(visible=is_running),
            self._end.sure: gr.update(visible=False),
        }

    def make(self, values: Update, request: gr.Request) -> str:
        """Make the experiment that the form describes; return its name.

        Raises:
            ForbiddenError: the caller is no administrator.
            InputError: it can't be carried out.
            ConflictError: there is one of this name.
        """
        self._parts.require_admin(request)
        f = self._form
        metric = one_of(values[f.metric], get_args(Metric), "metric")
        asked = Asked(
            name=text_of(values[f.name]).strip(),
            arm_a=text_of(values[f.arm_a]),
            arm_b=text_of(values[f.arm_b]),
            metric=metric,
            plan=plan_of(values[f.plan], values[f.n], values[f.alpha], values[f.delta]),
        )
        if metric in ("task", "judge"):
            asked = replace(asked, task=named(values[f.task]))
        if metric == "judge":
            asked = replace(asked, judge=named(values[f.judge]), rubric=named(values[f.rubric]))
        return self._parts.experiments.make(asked).name

    def end(self, chosen: object, request: gr.Request) -> str:
        """End an experiment; return its name.

        Raises:
            ForbiddenError: the caller is no administrator.
            NotFoundError: there is none of this name.
            ConflictError: it has ended already.
        """
        self._parts.require_admin(request)
        name = self._parts.experiments.end(text_of(chosen)).name
        self._parts.panels.forget(name)
        return name

    def _choices(self) -> Update:
        f, models, tasks = self._form, self._parts.models(), self._parts.tasks()
        return {
            f.arm_a: gr.update(choices=models),
            f.arm_b: gr.update(choices=models),
            f.judge: gr.update(choices=models),
            f.task: gr.update(choices=tasks),
            f.rubric: gr.update(choices=self._parts.rubrics()),
        }
