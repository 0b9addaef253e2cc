"""The step Result of the Train tab: what a run has learnt, and whether it is any better."""

from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block

from core.errors import InputError
from evals.manifest import RunConfig
from tabs.bridge import QUIET, handler
from tabs.leaderboard_view import one_of, text_of
from tabs.train_links import clicks
from tabs.train_parts import TrainParts, TrainPlace, Update, number_of
from tabs.train_result_view import ResultScreen, Seen, find_view
from tabs.train_run_plots import loss_plot
from tabs.train_run_view import digest

BUSY_S, IDLE_S = 1.0, 5.0
"""How often a page asks how the evaluations are: while one is at work, and else."""


@dataclass(frozen=True, slots=True)
class ResultWidgets:
    """The widgets of the step."""

    none: gr.Markdown
    found: gr.Column
    told: gr.HTML
    loss: gr.Plot
    panel: gr.Column
    task: gr.Dropdown
    limit: gr.Textbox
    start: gr.Button
    evaluated: gr.HTML
    timer: gr.Timer
    seen: gr.State
    """What the page shows."""

    def changed(self) -> list[Block]:
        """Return what the handlers change."""
        return [
            self.none, self.found, self.told, self.loss, self.panel, self.task, self.evaluated,
            self.timer, self.seen,
        ]  # fmt: skip


def build_result(parts: TrainParts, place: TrainPlace) -> None:
    """Lay out the step inside the current tab and wire its events."""
    widgets = lay_out_result()
    _wire(ResultCallbacks(parts, widgets), place, widgets)


def lay_out_result() -> ResultWidgets:
    """Lay out the step's widgets inside the current `gr.Blocks`."""
    none = gr.Markdown("Choose a run in the step before.", elem_id="train-result-none")
    with gr.Column(visible=False, elem_id="train-result") as found:
        told = gr.HTML("", elem_id="train-result-told", js_on_load=clicks("version"))
        loss = gr.Plot(show_label=False, elem_id="train-result-loss", visible=False)
        with gr.Column(visible=False, elem_id="train-evaluation") as panel:
            gr.Markdown("### Base against trained, on the same items")
            with gr.Row(elem_id="train-evaluation-controls"):
                task = gr.Dropdown([], label="Task", elem_id="train-eval-task", min_width=180)
                limit = gr.Textbox(
                    label="Items", placeholder="all", max_lines=1, max_length=9, min_width=110,
                    elem_id="train-eval-limit",
                )  # fmt: skip
                start = gr.Button(
                    "Evaluate both", variant="primary", elem_id="train-eval-go", min_width=140
                )
            evaluated = gr.HTML("", elem_id="train-evaluated")
    return ResultWidgets(
        none=none,
        found=found,
        told=told,
        loss=loss,
        panel=panel,
        task=task,
        limit=limit,
        start=start,
        evaluated=evaluated,
        timer=gr.Timer(IDLE_S, active=False),
        seen=gr.State(Seen()),
    )


class ResultCallbacks:
    """Each asks first whether an administrator calls; hidden widgets protect nothing."""

    def __init__(self, parts: TrainParts, widgets: ResultWidgets) -> None:
        self._parts = parts
        self._widgets = widgets
        self._screen = ResultScreen(parts)

    def on_chosen(self, run: str, seen: Seen, request: gr.Request) -> Update:
        """Show what came of the run that was chosen."""
        self._parts.require_admin(request)
        return self._shown(run, seen)

    def on_tick(self, run: str, seen: Seen, request: gr.Request) -> Update:
        """Show how run and evaluations are; what the page shows already is left alone."""
        if not self._parts.is_admin(request):
            return {self._widgets.timer: gr.Timer(active=False)}
        return self._shown(run, seen)

    def on_version(self, request: gr.Request) -> gr.Tabs:
        """Go on to the version that the run has made."""
        self._parts.require_admin(request)
        return gr.Tabs(selected="version")

    def on_evaluate(
        self, run: str, seen: Seen, task: str, limit: str, request: gr.Request
    ) -> Update:
        """Queue a run of the base and one of what training made of it, on the same items."""
        self._parts.require_admin(request)
        view = find_view(self._parts, run)
        subject = None if view is None else self._screen.subject(view)
        if subject is None:
            raise InputError("no run is chosen that has made a version; choose a completed one")
        items = number_of(limit, "items", int) if text_of(limit).strip() else None
        name = one_of(task, self._parts.tasks(), "task")
        for model in (subject.adapted, subject.base):
            self._parts.board.panel.runs.start(RunConfig(model, name, limit=items))
        return self._shown(run, seen)

    def _shown(self, run: str, seen: Seen) -> Update:
        """Return what differs from what the page shows."""
        w, view = self._widgets, find_view(self._parts, run)
        if view is None:
            return {
                w.none: gr.update(visible=True), w.found: gr.update(visible=False), w.seen: Seen()
            }  # fmt: skip
        history = self._screen.history(run)
        told, subject = self._screen.told(view, history), self._screen.subject(view)
        states = self._screen.states(subject) if subject else ()
        evaluated = self._screen.evaluated(subject, states)
        every_s = BUSY_S if any(state.is_busy for state in states) else IDLE_S
        is_comparable = subject is not None
        now = Seen(every_s, run, is_comparable, digest(told), digest(evaluated))
        update: Update = {w.seen: now}
        if now.every_s != seen.every_s:
            update[w.timer] = gr.Timer(every_s, active=True)
        if now.told != seen.told:
            plot = loss_plot(history)
            update |= {w.told: told, w.loss: gr.update(value=plot, visible=plot is not None)}
        if now.evaluated != seen.evaluated:
            update[w.evaluated] = evaluated
        if (now.run, now.is_comparable) != (seen.run, seen.is_comparable):
            update |= self._around(is_comparable=is_comparable)
        return update

    def _around(self, *, is_comparable: bool) -> Update:
        w, tasks = self._widgets, list(self._parts.tasks())
        return {
            w.none: gr.update(visible=False),
            w.found: gr.update(visible=True),
            w.panel: gr.update(visible=is_comparable),
            w.task: gr.update(choices=tasks, value=tasks[0] if tasks else None),
        }


def _wire(callbacks: ResultCallbacks, place: TrainPlace, w: ResultWidgets) -> None:
    changed, shown = w.changed(), [place.run, w.seen]
    place.run.change(handler(callbacks.on_chosen), shown, changed, **QUIET, api_name="train_result")
    w.timer.tick(
        handler(callbacks.on_tick), shown, changed, **QUIET, trigger_mode="once",
        api_name="train_result_progress",
    )  # fmt: skip
    w.told.version(
        handler(callbacks.on_version), None, place.steps, **QUIET, api_name="train_see_version"
    )
    w.start.click(
        handler(callbacks.on_evaluate), [*shown, w.task, w.limit], changed, **QUIET,
        api_name="train_evaluate",
    )  # fmt: skip
