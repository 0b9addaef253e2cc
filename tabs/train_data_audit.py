"""Train tab, Data: the dataset that is looked at, and its audit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import InputError
from evals.task_files import load_task
from tabs.bridge import QUIET, handler
from tabs.leaderboard_view import text_of
from tabs.train_data_view import (
    about_page,
    all_versions,
    audit_page,
    bases,
    first_base,
    work_page,
)
from tabs.train_parts import TrainParts, TrainPlace, Update, number_of
from training.datasets.versions import Version, find_version
from training.errand_folder import Errand, Order

LOOK_S = 1.0
"""How often a page asks how far an audit is, while one is at work."""
STOP = """
element.addEventListener('click', (event) => {
  if (event.target.closest('button[data-act="stop"]')) trigger('stop', {});
});
"""


@dataclass(frozen=True, slots=True)
class AuditWidgets:
    """The widgets of the section."""

    dataset: gr.Dropdown
    about: gr.HTML
    model: gr.Dropdown
    max_length: gr.Textbox
    against: gr.Dropdown
    go: gr.Button
    work: gr.HTML
    found: gr.HTML
    timer: gr.Timer
    seen: gr.State
    """Name of the audit that the page shows; when it changes, the review has other rows."""


def build_audit(parts: TrainParts, place: TrainPlace) -> AuditWidgets:
    """Lay out the section inside the current column and wire its events."""
    with gr.Row(elem_classes="train-form"):
        dataset = gr.Dropdown([], label="Dataset", elem_id="train-dataset", min_width=220)
    about = gr.HTML("", elem_id="train-about")
    gr.Markdown("### Audit", elem_classes="train-title")
    with gr.Row(elem_classes="train-form"):
        model = gr.Dropdown([], label="Model to be trained", elem_id="train-reader", min_width=190)
        max_length = gr.Textbox(
            value="1024", label="Window (tokens)", max_lines=1, max_length=9,
            elem_id="train-window", min_width=120,
        )  # fmt: skip
        against = gr.Dropdown(
            [], value=[], multiselect=True, label="Must not hold items of", elem_id="train-against",
            min_width=220,
        )  # fmt: skip
        go = gr.Button("Audit", variant="primary", elem_id="train-audit", min_width=110)
    work = gr.HTML("", elem_id="train-audit-work", js_on_load=STOP)
    found = gr.HTML("", elem_id="train-found")
    widgets = AuditWidgets(
        dataset=dataset, about=about, model=model, max_length=max_length, against=against, go=go,
        work=work, found=found, timer=gr.Timer(LOOK_S, active=False), seen=gr.State(""),
    )  # fmt: skip
    _wire(AuditCallbacks(parts, place, widgets), place, widgets)
    return widgets


class AuditCallbacks:
    """Each asks first whether an administrator calls; hidden widgets protect nothing."""

    def __init__(self, parts: TrainParts, place: TrainPlace, widgets: AuditWidgets) -> None:
        self._parts = parts
        self._place = place
        self._widgets = widgets

    def on_load(self, request: gr.Request) -> Update:
        """Choose the dataset that the address names, else the newest one."""
        w, parts = self._widgets, self._parts
        if not parts.is_admin(request):
            return {w.timer: gr.Timer(active=False)}
        asked = str(request.query_params.get("dataset", ""))[:200]
        versions = all_versions(parts)
        chosen = next((v for v in versions if asked in (v.reference, v.name)), None)
        if asked and chosen is None:
            gr.Warning(f"There is no dataset {asked[:80]!r} here.")
        chosen = chosen or next(iter(versions), None)
        return {
            **self._shown(None, versions),
            self._place.dataset: chosen.reference if chosen else "",
            w.model: gr.update(choices=bases(parts), value=first_base(parts)),
            w.against: gr.update(choices=list(parts.tasks()), value=[]),
        }

    def on_choose(self, dataset: str, request: gr.Request) -> str:
        """Show the dataset that was chosen."""
        self._parts.require_admin(request)
        return find_version(self._parts.home, text_of(dataset)).reference

    def on_dataset(self, dataset: str, request: gr.Request) -> Update:
        """Show the dataset that any step has chosen."""
        self._parts.require_admin(request)
        version = find_version(self._parts.home, dataset) if dataset else None
        return self._shown(version, all_versions(self._parts))

    def on_audit(
        self, dataset: str, model: str, max_length: str, against: object, request: gr.Request
    ) -> Update:
        """Begin an audit."""
        self._parts.require_admin(request)
        home, name = self._parts.home, text_of(model)
        version = find_version(home, text_of(dataset))
        if name not in self._parts.catalog.models:
            raise InputError(f"no model named {name[:80]!r}; choose one of the list")
        tasks = [text_of(task) for task in against] if isinstance(against, list) else []
        window = number_of(max_length, "the window", int)
        if window < 1:
            raise InputError(f"the window must be at least 1 token, got {window}")
        arguments = {
            "dataset": version.reference,
            "model": name,
            "max_length": window,
            "against": [str(load_task(task, home).dataset) for task in tasks],
        }
        self._parts.errands.ask(Order("audit", version.digest, arguments))
        return self._at_work(version)

    def on_stop(self, dataset: str, request: gr.Request) -> Update:
        """Stop the audit at work."""
        self._parts.require_admin(request)
        self._parts.errands.stop("audit")
        return self._at_work(find_version(self._parts.home, dataset))

    def on_tick(self, dataset: str, request: gr.Request) -> Update:
        """Show how far the audit is; once it is done, what it found."""
        if not self._parts.is_admin(request):
            return {self._widgets.timer: gr.Timer(active=False)}
        version = find_version(self._parts.home, dataset)
        shown = self._at_work(version)
        errand = self._parts.errands.newest("audit", version.digest)
        if errand is None or errand.status != "done":
            return shown
        return {**shown, **self._audited(version)}

    def _shown(self, version: Version | None, versions: list[Version]) -> Update:
        w = self._widgets
        chosen = version.reference if version else None
        names = [(f"{v.reference}, {v.rows:,} rows", v.reference) for v in versions]
        update: Update = {
            w.dataset: gr.update(choices=names, value=chosen),
            w.about: about_page(self._parts, version),
        }
        if version is None:
            empty = self._parts.render("train_audit.html", audit=None, version=None)
            return {**update, w.found: empty, w.work: "", w.seen: ""}
        return {**update, **self._at_work(version), **self._audited(version)}

    def _at_work(self, version: Version) -> Update:
        """Return the audit at work, of whatever dataset, else how this dataset's last one ended."""
        errand = self._parts.errands.newest("audit")
        is_working = errand is not None and errand.status == "working"
        if not is_working:
            errand = self._parts.errands.newest("audit", version.digest)
        return {
            self._widgets.work: work_page(self._parts, errand, _what(errand)),
            self._widgets.timer: gr.Timer(active=is_working),
        }

    def _audited(self, version: Version) -> Update:
        """Return the newest audit, and set the form as it was then."""
        w, audit = self._widgets, self._parts.audits.newest(version.digest)
        update: Update = {
            w.found: audit_page(self._parts, version, audit),
            w.seen: audit.folder.name if audit else "",
        }
        if audit is not None and audit.model in self._parts.catalog.models:
            update |= {w.model: audit.model, w.max_length: str(audit.max_length)}
        return update


def _what(errand: Errand | None) -> str:
    about: Mapping[str, Any] = errand.order.arguments if errand else {}
    return f"Audit of {about.get('dataset')} for {about.get('model')}"


def _wire(callbacks: AuditCallbacks, place: TrainPlace, w: AuditWidgets) -> None:
    shown = [w.dataset, w.about, w.work, w.found, w.timer, w.seen, w.model, w.max_length]
    progress = [w.work, w.timer, w.found, w.seen, w.model, w.max_length]
    gr.on(
        None, handler(callbacks.on_load), None, [*shown, w.against, place.dataset], **QUIET,
        api_name="train_datasets",
    )  # fmt: skip
    w.dataset.input(
        handler(callbacks.on_choose), w.dataset, place.dataset, **QUIET, api_name="train_choose"
    )
    place.dataset.change(
        handler(callbacks.on_dataset), place.dataset, shown, **QUIET, api_name="train_dataset"
    )
    w.go.click(
        handler(callbacks.on_audit), [w.dataset, w.model, w.max_length, w.against],
        [w.work, w.timer], **QUIET, api_name="train_audit",
    )  # fmt: skip
    w.work.stop(
        handler(callbacks.on_stop), place.dataset, [w.work, w.timer], **QUIET,
        api_name="train_audit_stop",
    )  # fmt: skip
    w.timer.tick(
        handler(callbacks.on_tick), place.dataset, progress, **QUIET, trigger_mode="once",
        api_name="train_audit_progress",
    )  # fmt: skip
