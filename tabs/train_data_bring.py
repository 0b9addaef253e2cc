"""Train tab, Data: bring examples from a file, or from what people did in this app."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from core.errors import AppError, InputError
from core.rows.records import READERS
from core.store import Store
from tabs.bridge import QUIET, handler
from tabs.escape import as_text
from tabs.leaderboard_view import one_of, text_of
from tabs.look import MAX_UPLOAD_BYTES
from tabs.train_markup import turns_of
from tabs.train_parts import TrainParts, TrainPlace, Update
from training.datasets.example import Kind, example_of
from training.datasets.formats import FORMATS
from training.datasets.from_logs import Source, StoreFeedback, import_source
from training.datasets.from_votes import StoreVotes
from training.datasets.importing import format_of, import_dataset, preview
from training.datasets.versions import Version

PREVIEWED = 5
FILE = "A file"


SOURCES: Mapping[str, Callable[[Store, Kind], Source]] = {
    "Likes and corrections": StoreFeedback,
    "Votes of people": StoreVotes,
}
"""What this app has seen itself; each makes examples of the three kinds, or says why it can't."""
KINDS: Mapping[str, Kind] = {
    "Answers to imitate: corrected, or liked": "sft",
    "Pairs: a better answer before a worse one": "preference",
    "Thumbs: single answers, good or bad": "unpaired",
}
ABOUT = (
    f"JSON Lines, CSV or Parquet, up to {MAX_UPLOAD_BYTES / 2**20:.0f} MB; larger files with "
    "`python -m training data import FILE --name NAME`."
)


@dataclass(frozen=True, slots=True)
class BringWidgets:
    """The widgets of the section."""

    panel: gr.Accordion
    source: gr.Radio
    file: gr.File
    about: gr.Markdown
    format: gr.Dropdown
    kind: gr.Radio
    name: gr.Textbox
    go: gr.Button
    preview: gr.HTML
    report: gr.Markdown


def build_bring(parts: TrainParts, place: TrainPlace) -> BringWidgets:
    """Lay out the section inside the current column and wire its events."""
    with gr.Accordion("Bring examples", open=False, elem_id="train-bring") as panel:
        source = gr.Radio(
            [FILE, *SOURCES], value=FILE, show_label=False, container=False, elem_id="train-source"
        )
        file = gr.File(
            label="File", file_types=list(READERS), height=110, elem_id="train-file"
        )  # fmt: skip
        about = gr.Markdown(ABOUT, elem_classes="train-hint")
        kind = gr.Radio(
            list(KINDS.items()), value="sft", label="As", visible=False, elem_id="train-kind"
        )
        with gr.Row(elem_classes="train-form"):
            format = gr.Dropdown(
                [("told from the rows", ""), *FORMATS], value="", label="Format",
                elem_id="train-format", min_width=150,
            )  # fmt: skip
            name = gr.Textbox(
                label="Name of the dataset", placeholder="a-z, 0-9, - and _", max_lines=1,
                max_length=64, elem_id="train-name", min_width=180,
            )  # fmt: skip
            go = gr.Button("Import", variant="primary", elem_id="train-import", min_width=110)
        shown = gr.HTML("", elem_id="train-preview")
    report = gr.Markdown(visible=False, elem_id="train-report", elem_classes="train-told")
    widgets = BringWidgets(
        panel=panel, source=source, file=file, about=about, format=format, kind=kind, name=name,
        go=go, preview=shown, report=report,
    )  # fmt: skip
    _wire(BringCallbacks(parts, place, widgets), place, widgets)
    return widgets


class BringCallbacks:
    """Each asks first whether an administrator calls; hidden widgets protect nothing."""

    def __init__(self, parts: TrainParts, place: TrainPlace, widgets: BringWidgets) -> None:
        self._parts = parts
        self._place = place
        self._widgets = widgets

    def on_source(self, source: str, request: gr.Request) -> Update:
        """Show what the source needs."""
        self._parts.require_admin(request)
        w, is_file = self._widgets, source == FILE
        of_file = (w.file, w.about, w.format, w.preview)
        return {
            **{widget: gr.update(visible=is_file) for widget in of_file},
            w.kind: gr.update(visible=not is_file),
            w.report: gr.update(visible=False),
        }

    def on_file(self, values: Update, request: gr.Request) -> Update:
        """Show what the first rows would be, and propose a name for a dataset without one."""
        self._parts.require_admin(request)
        w, file = self._widgets, values[self._widgets.file]
        if file is None:
            return {w.preview: "", w.report: gr.update(visible=False)}
        try:
            path, wanted = checked_file(file), text_of(values[w.format]) or None
            rows = [_shown(row) for row in preview(path, wanted, PREVIEWED)]
            found = wanted or format_of(path)
        except AppError as error:
            return {w.preview: "", w.report: gr.update(value=as_line(str(error)), visible=True)}
        return {
            w.preview: self._parts.render("train_preview.html", rows=rows, format=found),
            w.name: text_of(values[w.name]) or name_from(path),
            w.report: gr.update(visible=False),
        }

    def on_import(self, values: Update, request: gr.Request) -> Update:
        """Import the file, or what people did; the new version is what the page shows next."""
        self._parts.require_admin(request)
        w, name = self._widgets, text_of(values[self._widgets.name]).strip()
        source = text_of(values[w.source])
        try:
            version, told = (
                self._from_file(values, name)
                if source == FILE
                else self._from_inside(source, values, name)
            )
        except AppError as error:
            return {w.report: gr.update(value=as_line(str(error)), visible=True)}
        return {
            w.report: gr.update(value=told, visible=True),
            w.panel: gr.update(open=False),
            self._place.dataset: version.reference,
        }

    def _from_file(self, values: Update, name: str) -> tuple[Version, str]:
        file = values[self._widgets.file]
        if file is None:
            raise InputError("choose a file first")
        wanted = text_of(values[self._widgets.format]) or None
        report = import_dataset(self._parts.home, checked_file(file), name, wanted)
        told = told_of(report.version, report.refused, report.is_unchanged)
        notes = "".join(f" {as_line(note)}." for note in report.notes)
        return report.version, f"{told} Read as {report.format}.{notes}"

    def _from_inside(self, source: str, values: Update, name: str) -> tuple[Version, str]:
        if source not in SOURCES:
            raise InputError(f"source must be one of {', '.join((FILE, *SOURCES))}")
        kind = one_of(values[self._widgets.kind], get_args(Kind), "kind")
        made = SOURCES[source](self._parts.services.store, kind)
        report = import_source(self._parts.home, name, made)
        return report.version, told_of(report.version, report.refused, report.is_unchanged)


def checked_file(file: object) -> Path:
    """Return an uploaded file that may be read.

    Raises:
        InputError: it is too large, or of another kind.
    """
    if not isinstance(file, str):
        raise InputError("choose a file first")
    path = Path(file)
    if path.suffix.lower() not in READERS:
        raise InputError(f"choose a file that ends with one of: {', '.join(READERS)}")
    size = path.stat().st_size
    if size > MAX_UPLOAD_BYTES:
        raise InputError(
            f"the file has {size / 2**20:.0f} MB, a browser may send "
            f"{MAX_UPLOAD_BYTES / 2**20:.0f}; import it with "
            "python -m training data import FILE --name NAME"
        )
    return path


def name_from(path: Path) -> str:
    """Return a name for the dataset of a file; empty if its own has nothing that may be in one."""
    return re.sub(r"[^a-z0-9]+", "-", path.stem.lower())[:64].strip("-")


def told_of(version: Version, refused: int, is_unchanged: bool) -> str:
    """Return what came of an import, as Markdown; a version's name is nobody's text."""
    rows = f"{version.rows:,} row{'' if version.rows == 1 else 's'}"
    left = f", {refused:,} refused" if refused else ""
    before = "These rows were there already: " if is_unchanged else ""
    return f"{before}**{version.reference}** has {rows}{left}."


def as_line(text: str) -> str:
    """Return an error's text as Markdown that shows it as it is."""
    return as_text(f"{text[:1].upper()}{text[1:]}")


def _shown(row: Mapping[str, Any]) -> dict[str, object]:
    turns = [] if row["row"] is None else turns_of(example_of(row["row"]))
    return {"place": row["place"], "reason": row["reason"], "turns": turns}


def _wire(callbacks: BringCallbacks, place: TrainPlace, w: BringWidgets) -> None:
    w.source.input(
        handler(callbacks.on_source), w.source,
        [w.file, w.about, w.format, w.preview, w.kind, w.report], **QUIET, api_name="train_source",
    )  # fmt: skip
    gr.on(
        [w.file.change, w.format.input], handler(callbacks.on_file), {w.file, w.format, w.name},
        [w.preview, w.name, w.report], concurrency_limit=None, api_name="train_preview",
    )  # fmt: skip
    w.go.click(
        handler(callbacks.on_import), {w.source, w.file, w.format, w.kind, w.name},
        [w.report, w.panel, place.dataset], concurrency_limit=None, api_name="train_import",
    )  # fmt: skip
