"""The step Run of the Train tab: runs are watched, stopped and resumed."""

from dataclasses import dataclass, replace

import gradio as gr
from gradio.blocks import Block

from tabs.bridge import QUIET, handler
from tabs.train_links import clicks, named
from tabs.train_parts import TrainParts, TrainPlace, Update
from tabs.train_run_plots import loss_plot, rates_plot
from tabs.train_run_view import RunScreen, Seen, digest, first_choice
from training.job_states import ACTIVE
from training.job_view import JobView

BUSY_S, IDLE_S = 1.0, 5.0
"""How often a page asks how the runs are: while one is active, and else."""


@dataclass(frozen=True, slots=True)
class RunWidgets:
    """The widgets of the step."""

    listed: gr.HTML
    chosen: gr.Column
    told: gr.HTML
    plots: gr.Row
    loss: gr.Plot
    rates: gr.Plot
    log: gr.HTML
    timer: gr.Timer
    seen: gr.State
    """What the page shows."""

    def changed(self) -> list[Block]:
        """Return what the handlers change."""
        return [
            self.listed, self.chosen, self.told, self.plots, self.loss, self.rates, self.log,
            self.timer, self.seen,
        ]  # fmt: skip


def build_run(parts: TrainParts, place: TrainPlace) -> None:
    """Lay out the step inside the current tab and wire its events."""
    widgets = lay_out_run()
    _wire(RunCallbacks(parts, place, widgets), place, widgets)


def lay_out_run() -> RunWidgets:
    """Lay out the step's widgets inside the current `gr.Blocks`."""
    with gr.Row(elem_id="train-run"):
        with gr.Column(scale=0, min_width=260, elem_id="train-run-list"):
            listed = gr.HTML("", js_on_load=clicks("open"))
        with gr.Column(visible=False, elem_id="train-run-chosen") as chosen:
            told = gr.HTML(
                "", elem_id="train-run-told", js_on_load=clicks("stop", "resume", "result")
            )
            with gr.Row(visible=False, elem_id="train-run-plots") as plots:
                loss = gr.Plot(show_label=False, elem_id="train-loss")
                rates = gr.Plot(show_label=False, elem_id="train-rates")
            log = gr.HTML("", elem_id="train-log", visible=False)
    return RunWidgets(
        listed=listed,
        chosen=chosen,
        told=told,
        plots=plots,
        loss=loss,
        rates=rates,
        log=log,
        timer=gr.Timer(IDLE_S, active=False),
        seen=gr.State(Seen()),
    )


class RunCallbacks:
    """Each asks first whether an administrator calls; hidden widgets protect nothing."""

    def __init__(self, parts: TrainParts, place: TrainPlace, widgets: RunWidgets) -> None:
        self._parts = parts
        self._place = place
        self._widgets = widgets
        self._screen = RunScreen(parts)

    def on_load(self, request: gr.Request) -> Update:
        """Choose the run that the address names, else the one that matters most now."""
        if not self._parts.is_admin(request):
            return self._ended()
        views = self._parts.jobs.list()
        chosen = first_choice(views, self._screen.asked(dict(request.query_params)))
        return {**self._shown(views, chosen, Seen()), self._place.run: chosen}

    def on_chosen(self, run: str, seen: Seen, request: gr.Request) -> Update:
        """Show the run that this step or another one has chosen."""
        self._parts.require_admin(request)
        return self._shown(self._parts.jobs.list(), run, seen)

    def on_tick(self, run: str, seen: Seen, request: gr.Request) -> Update:
        """Show how the runs are; who is no administrator any more is not asked again and again."""
        if not self._parts.is_admin(request):
            return self._ended()
        return self._shown(self._parts.jobs.list(), run, seen)

    def on_open(self, event: gr.EventData, request: gr.Request) -> str:
        """Choose the run that was clicked."""
        self._parts.require_admin(request)
        return self._parts.jobs.show(named(event, "run")).job.id

    def on_result(self, event: gr.EventData, request: gr.Request) -> tuple[str, gr.Tabs]:
        """Go on to the result of the run that was clicked."""
        return self.on_open(event, request), gr.Tabs(selected="result")

    def on_stop(self, seen: Seen, event: gr.EventData, request: gr.Request) -> Update:
        """Let the run that was clicked save and end, or take it out of the queue."""
        self._parts.require_admin(request)
        name = self._parts.jobs.stop(named(event, "run")).job.id
        return {**self._shown(self._parts.jobs.list(), name, seen), self._place.run: name}

    def on_resume(self, seen: Seen, event: gr.EventData, request: gr.Request) -> Update:
        """Queue what is left of the run that was clicked."""
        self._parts.require_admin(request)
        name = self._parts.jobs.resume(named(event, "run")).job.id
        return {**self._shown(self._parts.jobs.list(), name, seen), self._place.run: name}

    def _ended(self) -> Update:
        return {self._widgets.timer: gr.Timer(active=False)}

    def _shown(self, views: tuple[JobView, ...], run: str, seen: Seen) -> Update:
        """Return what differs from what the page shows."""
        w, screen = self._widgets, self._screen
        is_busy = any(view.job.status in ACTIVE for view in views)
        view = next((view for view in views if view.job.id == run), None)
        listed = screen.listed(views, run)
        told = screen.told(view) if view else ""
        log = screen.log(view) if view else ""
        now = screen.drawn(seen, run if view else "", is_busy=is_busy)
        now = replace(
            now,
            every_s=BUSY_S if is_busy else IDLE_S,
            listed=digest(listed),
            told=digest(told),
            log=digest(log),
        )
        update: Update = {w.seen: now}
        if now.every_s != seen.every_s:
            update[w.timer] = gr.Timer(now.every_s, active=True)
        if now.listed != seen.listed:
            update[w.listed] = listed
        if now.told != seen.told:
            update |= {w.told: told, w.chosen: gr.update(visible=view is not None)}
        if now.log != seen.log:
            update[w.log] = gr.update(value=log, visible=bool(log))
        if now.curves != seen.curves and view is not None:
            update |= self._curves(run)
        return update

    def _curves(self, run: str) -> Update:
        w, history = self._widgets, self._screen.history(run)
        loss = loss_plot(history)
        return {
            w.plots: gr.update(visible=loss is not None),
            w.loss: loss,
            w.rates: rates_plot(history),
        }


def _wire(callbacks: RunCallbacks, place: TrainPlace, w: RunWidgets) -> None:
    changed, shown = w.changed(), [place.run, w.seen]
    gr.on(
        None,
        handler(callbacks.on_load),
        None,
        [*changed, place.run],
        **QUIET,
        api_name="train_runs",
    )
    place.run.change(handler(callbacks.on_chosen), shown, changed, **QUIET, api_name="train_chosen")
    w.timer.tick(
        handler(callbacks.on_tick), shown, changed, **QUIET, trigger_mode="once",
        api_name="train_progress",
    )  # fmt: skip
    w.listed.open(handler(callbacks.on_open), None, place.run, **QUIET, api_name="train_open")
    w.told.result(
        handler(callbacks.on_result), None, [place.run, place.steps], **QUIET,
        api_name="train_see_result",
    )  # fmt: skip
    acted = [*changed, place.run]
    w.told.stop(handler(callbacks.on_stop), w.seen, acted, **QUIET, api_name="train_stop")
    w.told.resume(handler(callbacks.on_resume), w.seen, acted, **QUIET, api_name="train_resume")
