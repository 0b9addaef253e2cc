"""Train tab, Data: the new version that a review makes, what changed, and the split."""

from dataclasses import dataclass

import gradio as gr

from core.errors import AppError, InputError
from tabs.bridge import QUIET, handler
from tabs.train_data_audit import AuditWidgets
from tabs.train_data_review import ReviewWidgets
from tabs.train_data_view import about_page, row_of
from tabs.train_parts import TrainParts, TrainPlace, Update, number_of
from training.config import MAX_SEED
from training.data_command import data_curate, read_decisions
from training.datasets.diff import diff
from training.datasets.splitting import split
from training.datasets.versions import Version, check_digest, find_version, list_versions

REWRITTEN, DROPPED = 10, 100
"""Rows of a difference that are shown."""


@dataclass(frozen=True, slots=True)
class FinishWidgets:
    """The widgets of the section."""

    changes: gr.HTML
    show: gr.Button
    share: gr.Textbox
    seed: gr.Textbox
    split: gr.Button
    next: gr.Button


def build_finish(
    parts: TrainParts, place: TrainPlace, audit: AuditWidgets, review: ReviewWidgets
) -> FinishWidgets:
    """Lay out the section inside the current column and wire its events."""
    show = gr.Button("Show what changed from its parent", size="sm", elem_id="train-show-changes")
    changes = gr.HTML("", elem_id="train-changes")
    gr.Markdown("### Split", elem_classes="train-title")
    gr.Markdown(
        "Whole groups (conversations) go to one side, for good: what a run is evaluated on, no run "
        "learns from.",
        elem_classes="train-hint",
    )
    with gr.Row(elem_classes="train-form"):
        share = gr.Textbox(
            value="0.1", label="Share to evaluate on", max_lines=1, max_length=9,
            elem_id="train-share", min_width=130,
        )  # fmt: skip
        seed = gr.Textbox(
            value="1", label="Seed", max_lines=1, max_length=10, elem_id="train-split-seed",
            min_width=90,
        )  # fmt: skip
        button = gr.Button("Split", elem_id="train-split", min_width=110)
    with gr.Row(elem_classes="train-end"):
        following = gr.Button(
            "Configure a run with it", variant="primary", elem_id="train-next", min_width=190
        )
    widgets = FinishWidgets(
        changes=changes, show=show, share=share, seed=seed, split=button, next=following
    )
    _wire(FinishCallbacks(parts, place, widgets), place, review, audit.about, widgets)
    return widgets


class FinishCallbacks:
    """Each asks first whether an administrator calls; hidden widgets protect nothing."""

    def __init__(self, parts: TrainParts, place: TrainPlace, widgets: FinishWidgets) -> None:
        self._parts = parts
        self._place = place
        self._widgets = widgets

    def on_curate(self, dataset: str, request: gr.Request) -> Update:
        """Make the version that rules and a person have decided on, and show what changed."""
        self._parts.require_admin(request)
        home = self._parts.home
        version = find_version(home, dataset)
        audit = self._parts.audits.newest(version.digest)
        if audit is None:
            raise InputError(f"there is no audit of {version.reference} yet; audit it first")
        own = audit.decisions if audit.decisions.exists() else None
        done = data_curate(self._parts.services.settings, version.reference, audit.folder, own)
        new = find_version(home, str(done["dataset"]))
        if new.digest == version.digest:
            raise InputError("nothing would change: no row is dropped or rewritten")
        return {
            self._place.dataset: new.reference,
            self._widgets.changes: self._changes(version, new),
        }

    def on_show(self, dataset: str, request: gr.Request) -> str:
        """Show what changed from the version that this one was made of."""
        self._parts.require_admin(request)
        version = find_version(self._parts.home, dataset)
        known = list_versions(self._parts.home, version.name)
        parent = next((v for v in known if v.digest == version.parent), None)
        if parent is None:
            raise InputError(f"{version.reference} was made of no other version")
        return self._changes(parent, version)

    def on_split(self, dataset: str, share: str, seed: str, request: gr.Request) -> str:
        """Split the version; the same share and seed again change nothing."""
        self._parts.require_admin(request)
        version = find_version(self._parts.home, dataset)
        check_digest(version)
        number = number_of(seed, "the seed", int)
        if not 0 <= number <= MAX_SEED:
            raise InputError(f"the seed must be 0 to {MAX_SEED}, got {number}")
        split(version, number_of(share, "the share"), number)
        return about_page(self._parts, version)

    def on_other(self, dataset: str, request: gr.Request) -> Update:
        """Offer the difference from the parent where there is one."""
        self._parts.require_admin(request)
        version = find_version(self._parts.home, dataset) if dataset else None
        has_parent = version is not None and version.parent is not None
        return {self._widgets.show: gr.update(visible=has_parent)}

    def _changes(self, before: Version, after: Version) -> str:
        found = diff(before, after)
        reasons = _reasons(after)
        pairs = [(row_of(was), row_of(now)) for was, now in found.rewritten[:REWRITTEN]]
        dropped = [(name, reasons.get(name, "unknown")) for name in found.dropped[:DROPPED]]
        return self._parts.render(
            "train_diff.html",
            before=before.reference,
            after=after.reference,
            diff=found,
            rewritten=pairs,
            dropped=dropped,
        )


def _reasons(version: Version) -> dict[str, str]:
    """Return why rows were dropped or rewritten when the version was made."""
    try:
        done = read_decisions(version.folder / "decisions.jsonl")
    except AppError:
        return {}
    return {decision.id: decision.reason for decision in done}


def _wire(
    callbacks: FinishCallbacks,
    place: TrainPlace,
    review: ReviewWidgets,
    about: gr.HTML,
    w: FinishWidgets,
) -> None:
    review.curate.click(
        handler(callbacks.on_curate), place.dataset, [place.dataset, w.changes],
        concurrency_limit=None, show_progress_on=w.changes, api_name="train_curate",
    )  # fmt: skip
    w.show.click(
        handler(callbacks.on_show), place.dataset, w.changes, concurrency_limit=None,
        api_name="train_changes",
    )  # fmt: skip
    w.split.click(
        handler(callbacks.on_split), [place.dataset, w.share, w.seed], about,
        concurrency_limit=None, api_name="train_split",
    )  # fmt: skip
    place.dataset.change(
        handler(callbacks.on_other), place.dataset, w.show, **QUIET, api_name="train_other"
    )
