"""The step Version of the Train tab: what was learnt, under a name, ready to be used elsewhere."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from core.engines.gguf_files import QUANTISATIONS
from tabs.bridge import QUIET, handler
from tabs.leaderboard_view import one_of, text_of
from tabs.train_links import clicks, named
from tabs.train_parts import TrainParts, TrainPlace, Update
from tabs.train_result_view import find_view
from tabs.train_run_view import digest
from tabs.train_version_view import KIND_NAMES, Seen, VersionScreen
from training.exports import QUANTISED, ExportOrder

BUSY_S, IDLE_S = 1.0, 5.0
"""How often a page asks how the versions are: while an export is at work, and else."""


@dataclass(frozen=True, slots=True)
class VersionWidgets:
    """The widgets of the step."""

    listed: gr.HTML
    register: gr.Button
    found: gr.Column
    told: gr.HTML
    kind: gr.Dropdown
    quantisation: gr.Dropdown
    make: gr.Button
    repository: gr.Textbox
    push: gr.Button
    exported: gr.HTML
    timer: gr.Timer
    version: gr.State
    """Name of the version that is looked at."""
    seen: gr.State
    """What the page shows."""

    def changed(self) -> list[Block]:
        """Return what the handlers change."""
        return [
            self.listed, self.register, self.found, self.told, self.exported, self.timer,
            self.version, self.seen,
        ]  # fmt: skip


def build_version(parts: TrainParts, place: TrainPlace) -> None:
    """Lay out the step inside the current tab and wire its events."""
    widgets = lay_out_version()
    _wire(VersionCallbacks(parts, place, widgets), place, widgets)


def lay_out_version() -> VersionWidgets:
    """Lay out the step's widgets inside the current `gr.Blocks`."""
    with gr.Row(elem_id="train-version"):
        with gr.Column(scale=0, min_width=260, elem_id="train-version-list"):
            listed = gr.HTML("", js_on_load=clicks("open"))
            register = gr.Button("Register this run's adapter", visible=False, size="sm")
        with gr.Column(visible=False, elem_id="train-version-chosen") as found:
            told = gr.HTML("", elem_id="train-version-told", js_on_load=clicks())
            controls = _export_controls()
            exported = gr.HTML("", elem_id="train-exports", js_on_load=clicks("stop"))
    return VersionWidgets(
        listed=listed,
        register=register,
        found=found,
        told=told,
        **controls,
        exported=exported,
        timer=gr.Timer(IDLE_S, active=False),
        version=gr.State(""),
        seen=gr.State(Seen()),
    )


def _export_controls() -> dict[str, Any]:
    """Lay out what an export is asked for with; the names are those of `VersionWidgets`."""
    gr.Markdown("### Take it elsewhere")
    with gr.Row(elem_id="train-export-controls"):
        kind = gr.Dropdown(
            [(name, key) for key, name in KIND_NAMES.items()], value="adapter",
            label="Export", elem_id="train-export-kind", min_width=220,
        )  # fmt: skip
        quantisation = gr.Dropdown(
            list(QUANTISATIONS), value="F16", label="Matrices", visible=False,
            elem_id="train-export-quantisation", min_width=110,
        )  # fmt: skip
        make = gr.Button(
            "Make the files", variant="primary", elem_id="train-export-go", min_width=140
        )
    with gr.Row(elem_id="train-push-controls"):
        repository = gr.Textbox(
            label="Repository on the Hub", placeholder="OWNER/NAME", max_lines=1,
            max_length=200, elem_id="train-push-to", min_width=220,
        )  # fmt: skip
        push = gr.Button("Make and push", elem_id="train-push-go", min_width=140)
    return {
        "kind": kind,
        "quantisation": quantisation,
        "make": make,
        "repository": repository,
        "push": push,
    }


class VersionCallbacks:
    """Each asks first whether an administrator calls; hidden widgets protect nothing."""

    def __init__(self, parts: TrainParts, place: TrainPlace, widgets: VersionWidgets) -> None:
        self._parts = parts
        self._place = place
        self._widgets = widgets
        self._screen = VersionScreen(parts)

    def on_load(self, request: gr.Request) -> Update:
        """Show the version that the address names, else the newest."""
        if not self._parts.is_admin(request):
            return {self._widgets.timer: gr.Timer(active=False)}
        asked = self._screen.find(str(request.query_params.get("version", "")))
        newest = next((stored.name for stored in self._screen.versions()), "")
        return self._shown(asked.name if asked else newest, "", Seen())

    def on_chosen(self, run: str, version: str, seen: Seen, request: gr.Request) -> Update:
        """Show the version of the run that was chosen in another step, if it has one."""
        self._parts.require_admin(request)
        found = self._screen.of_run(run)
        return self._shown(found.name if found else version, run, seen)

    def on_tick(self, run: str, version: str, seen: Seen, request: gr.Request) -> Update:
        """Show how versions and exports are; what the page shows already is left alone."""
        if not self._parts.is_admin(request):
            return {self._widgets.timer: gr.Timer(active=False)}
        return self._shown(version, run, seen)

    def on_open(self, run: str, seen: Seen, event: gr.EventData, request: gr.Request) -> Update:
        """Show the version that was clicked, and its run in the other steps."""
        self._parts.require_admin(request)
        stored = self._screen.get(named(event, "version"))
        its_run = stored.run if find_view(self._parts, stored.run) else run
        return {**self._shown(stored.name, its_run, seen), self._place.run: its_run}

    def on_register(self, run: str, seen: Seen, request: gr.Request) -> Update:
        """Make the chosen run's adapter a version."""
        self._parts.require_admin(request)
        stored = self._screen.registry.register(self._parts.jobs.show(text_of(run)).job.id)
        return self._shown(stored.name, run, seen)

    def on_kind(self, kind: str, request: gr.Request) -> Update:
        """Show the number formats where they make a difference."""
        self._parts.require_admin(request)
        return {self._widgets.quantisation: gr.update(visible=kind in QUANTISED)}

    def on_make(self, values: Update, request: gr.Request) -> Update:
        """Begin an export."""
        return self._begun(values, None, request)

    def on_push(self, values: Update, request: gr.Request) -> Update:
        """Begin an export that is put on the Hub."""
        return self._begun(values, text_of(values[self._widgets.repository]).strip(), request)

    def on_stop(self, run: str, version: str, seen: Seen, request: gr.Request) -> Update:
        """End the export that is at work."""
        self._parts.require_admin(request)
        self._parts.errands.stop("export")
        return self._shown(version, run, seen)

    def _begun(self, values: Update, push: str | None, request: gr.Request) -> Update:
        self._parts.require_admin(request)
        w, parts = self._widgets, self._parts
        stored = self._screen.get(str(values[w.version]))
        order = ExportOrder(
            adapter=stored.name,
            kind=text_of(values[w.kind]),
            quantisation=one_of(values[w.quantisation], QUANTISATIONS, "matrices"),
            push=push,
        )
        parts.errands.ask(order.errand(parts.services.settings, self._screen.results(stored)))
        return self._shown(stored.name, values[self._place.run], values[w.seen])

    def _shown(self, version: str, run: str, seen: Seen) -> Update:
        """Return what differs from what the page shows."""
        w, screen = self._widgets, self._screen
        stored, errand = screen.find(version), screen.working()
        listed = screen.listed(screen.versions(), version)
        told = screen.told(stored) if stored else ""
        exported = screen.exported(stored, errand) if stored else ""
        is_busy = errand is not None and errand.status == "working"
        now = Seen(
            every_s=BUSY_S if is_busy else IDLE_S,
            listed=digest(listed),
            told=digest(told),
            exported=digest(exported),
            can_register=screen.can_register(run),
        )
        update: Update = {w.seen: now, w.version: version}
        if now.every_s != seen.every_s:
            update[w.timer] = gr.Timer(now.every_s, active=True)
        if now.listed != seen.listed:
            update[w.listed] = listed
        if now.told != seen.told:
            update |= {w.told: told, w.found: gr.update(visible=stored is not None)}
        if now.exported != seen.exported:
            update[w.exported] = exported
        if now.can_register != seen.can_register:
            update[w.register] = gr.update(visible=now.can_register)
        return update


def _wire(callbacks: VersionCallbacks, place: TrainPlace, w: VersionWidgets) -> None:
    changed, shown = w.changed(), [place.run, w.version, w.seen]
    gr.on(None, handler(callbacks.on_load), None, changed, **QUIET, api_name="train_versions")
    place.run.change(
        handler(callbacks.on_chosen), shown, changed, **QUIET, api_name="train_version"
    )
    w.timer.tick(
        handler(callbacks.on_tick), shown, changed, **QUIET, trigger_mode="once",
        api_name="train_version_progress",
    )  # fmt: skip
    opened = [*changed, place.run]
    w.listed.open(
        handler(callbacks.on_open), [place.run, w.seen], opened, **QUIET,
        api_name="train_open_version",
    )  # fmt: skip
    w.register.click(
        handler(callbacks.on_register), [place.run, w.seen], changed, **QUIET,
        api_name="train_register",
    )  # fmt: skip
    w.kind.input(
        handler(callbacks.on_kind), w.kind, w.quantisation, **QUIET, api_name="train_export_kind"
    )
    asked: set[Block] = {*shown, w.kind, w.quantisation, w.repository}
    w.make.click(handler(callbacks.on_make), asked, changed, **QUIET, api_name="train_export")
    w.push.click(handler(callbacks.on_push), asked, changed, **QUIET, api_name="train_push")
    w.exported.stop(
        handler(callbacks.on_stop), shown, changed, **QUIET, api_name="train_export_stop"
    )
