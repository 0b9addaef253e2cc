"""The runs of the Leaderboard tab: an administrator starts, watches, stops and resumes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block, BlockContext
from gradio.components import Component

from core.access import Access
from core.errors import ForbiddenError, InputError
from evals.eval_runs import EvalRuns
from evals.leaderboard_pending import RunState
from evals.manifest import RunConfig
from tabs.bridge import QUIET, caller_of, handler
from tabs.leaderboard_markup import LeaderboardPages
from tabs.leaderboard_view import text_of

Update = dict[Component | BlockContext, Any]
LOOK_S = 1.0
"""How often a page asks how far the runs are, while there are any."""
CLICKS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-run]');
  if (!button) return;
  const act = button.dataset.act === 'stop' ? 'stop' : 'resume';
  trigger(act, {run: button.dataset.run});
});
"""


@dataclass(frozen=True, slots=True)
class RunsPanel:
    """What can be run, and by what."""

    runs: EvalRuns
    models: Callable[[], list[tuple[str, str]]]
    """Label and id of each model."""
    tasks: Callable[[], tuple[str, ...]]
    first_model: str

    def first_task(self) -> str:
        """Return a task to begin with; a stand-in where there is none."""
        return next(iter(self.tasks()), "TASK")


@dataclass(frozen=True, slots=True)
class RunWidgets:
    """The widgets of the panel."""

    panel: gr.Accordion
    model: gr.Dropdown
    task: gr.Dropdown
    limit: gr.Textbox
    start: gr.Button
    listed: gr.HTML
    timer: gr.Timer
    shown: gr.State
    """The states that the page shows."""
    busy: gr.State
    """Names of the runs that wait or are at work; when they change, the leaderboard may have."""

    def changed(self) -> list[Block]:
        """Return what the handlers change."""
        return [self.panel, self.model, self.task, self.listed, self.timer, self.shown, self.busy]


def build_runs() -> RunWidgets:
    """Lay the panel out, hidden until an administrator is known to look."""
    with gr.Accordion("Runs", open=False, visible=False, elem_id="eval-runs") as panel:
        with gr.Row(elem_id="eval-start"):
            model = gr.Dropdown([], label="Model to run", elem_id="eval-model", min_width=180)
            task = gr.Dropdown([], label="Task to run", elem_id="eval-task", min_width=180)
            limit = gr.Textbox(
                label="Items", placeholder="all", max_lines=1, max_length=9, elem_id="eval-limit",
                min_width=110,
            )  # fmt: skip
            start = gr.Button("Start a run", variant="primary", elem_id="eval-go", min_width=120)
        listed = gr.HTML("", elem_id="eval-list", js_on_load=CLICKS)
    return RunWidgets(
        panel=panel,
        model=model,
        task=task,
        limit=limit,
        start=start,
        listed=listed,
        timer=gr.Timer(LOOK_S, active=False),
        shown=gr.State(None),
        busy=gr.State(()),
    )


class RunCallbacks:
    """Each asks first whether an administrator calls; hidden widgets protect nothing."""

    def __init__(
        self, panel: RunsPanel, pages: LeaderboardPages, access: Access, widgets: RunWidgets
    ) -> None:
        self._panel = panel
        self._pages = pages
        self._access = access
        self._widgets = widgets

    def is_admin(self, request: gr.Request) -> bool:
        """Return whether the caller may start runs and see them."""
        return caller_of(self._access, request).is_admin

    def on_load(self, request: gr.Request) -> Update:
        """Show the panel to an administrator, hide it from all others."""
        w = self._widgets
        if not self.is_admin(request):
            return {w.panel: gr.update(visible=False), w.timer: gr.Timer(active=False)}
        models, tasks = self._panel.models(), list(self._panel.tasks())
        states = self._panel.runs.states()
        busy = any(state.is_busy for state in states)
        is_new = not states and not self._panel.runs.has_any()
        return {
            **self._listed(states),
            w.panel: gr.update(visible=True, open=busy or is_new),
            w.model: gr.update(choices=models, value=self._panel.first_model),
            w.task: gr.update(choices=tasks, value=tasks[0] if tasks else None),
        }

    def on_start(self, model: str, task: str, limit: str, request: gr.Request) -> Update:
        """Queue a run."""
        self._require_admin(request)
        config = RunConfig(text_of(model), text_of(task), limit=_limit(limit))
        self._panel.runs.start(config)
        return self._listed(self._panel.runs.states())

    def on_stop(self, event: gr.EventData, request: gr.Request) -> Update:
        """Stop the run that was clicked, or take it out of the queue."""
        self._require_admin(request)
        self._panel.runs.stop(_run_of(event))
        return self._listed(self._panel.runs.states())

    def on_resume(self, event: gr.EventData, request: gr.Request) -> Update:
        """Queue what is left of the run that was clicked."""
        self._require_admin(request)
        self._panel.runs.resume(_run_of(event))
        return self._listed(self._panel.runs.states())

    def on_tick(self, shown: tuple[RunState, ...] | None, request: gr.Request) -> Update:
        """Show how far the runs are; a page that shows it already is left alone."""
        self._require_admin(request)
        states = self._panel.runs.states()
        return {self._widgets.shown: shown} if states == shown else self._listed(states)

    def _require_admin(self, request: gr.Request) -> None:
        if not self.is_admin(request):
            raise ForbiddenError("only an administrator may start, watch, stop or resume runs")

    def _listed(self, states: tuple[RunState, ...]) -> Update:
        w = self._widgets
        return {
            w.listed: self._pages.runs(states),
            w.timer: gr.Timer(active=any(state.is_busy for state in states)),
            w.shown: states,
            w.busy: tuple(state.run for state in states if state.is_busy),
        }


def wire_runs(callbacks: RunCallbacks, w: RunWidgets) -> None:
    """Connect the panel."""
    changed = w.changed()
    asked = [w.model, w.task, w.limit]
    w.start.click(handler(callbacks.on_start), asked, changed, **QUIET, api_name="eval_start")
    w.listed.stop(handler(callbacks.on_stop), None, changed, **QUIET, api_name="eval_stop")
    w.listed.resume(handler(callbacks.on_resume), None, changed, **QUIET, api_name="eval_resume")
    w.timer.tick(
        handler(callbacks.on_tick), w.shown, changed, **QUIET, trigger_mode="once",
        api_name="eval_progress",
    )  # fmt: skip
    gr.on(None, handler(callbacks.on_load), None, changed, **QUIET, api_name="eval_runs")


def sent(event: gr.EventData) -> Mapping[str, object]:
    """Return what the browser sent with an event, whatever it is."""
    found = event._data  # Gradio gives no other access to all of it.
    return found if isinstance(found, dict) else {}


def _run_of(event: gr.EventData) -> str:
    run = text_of(sent(event).get("run"))
    if not run:
        raise InputError("the event names no run")
    return run


def _limit(value: str) -> int | None:
    text = text_of(value).strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise InputError(f"items must be a whole number or empty, got {text[:40]!r}")
    return int(text)
