"""Train tab, Data: the review queue, where a person keeps, drops or rewrites what was found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import gradio as gr
from gradio.blocks import Block

from core.errors import InputError
from tabs.bridge import QUIET, handler
from tabs.leaderboard_runs import sent
from tabs.leaderboard_view import one_of, text_of
from tabs.train_data_audit import AuditWidgets
from tabs.train_data_queue import (
    By,
    ReviewView,
    chosen_rows,
    defect_choices,
    pages_of,
    plan_of,
    queue_of,
    row_after,
    who_choices,
)
from tabs.train_markup import last_answer, turns_of
from tabs.train_parts import TrainParts, TrainPlace, Update
from training.datasets.curating import Action
from training.datasets.findings import DEFECTS
from training.datasets.versions import find_version
from training.review import MAX_ANSWER, MAX_REASON, Review, ReviewRow, decided

CLICKS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-act]');
  if (!button || button.disabled) return;
  if (button.dataset.act === 'pick') trigger('pick', {row: button.dataset.row});
  if (button.dataset.act === 'page') trigger('turn', {page: button.dataset.page});
});
"""
ANSWER = "Answer (left as it is, Rewrite takes out announcements and personal data)"


@dataclass(frozen=True, slots=True)
class ReviewWidgets:
    """The widgets of the section."""

    panel: gr.Column
    by: gr.Radio
    defect: gr.Dropdown
    queue: gr.HTML
    one: gr.Column
    row: gr.HTML
    reason: gr.Textbox
    answer: gr.Textbox
    buttons: Mapping[Action, gr.Button]
    undo: gr.Button
    view: gr.State
    plan: gr.Markdown
    """What curating would do."""
    curate: gr.Button

    def changed(self) -> list[Block]:
        """Return what the handlers change."""
        return [
            self.panel, self.by, self.defect, self.queue, self.one, self.row, self.answer,
            self.undo, self.view, self.plan,
        ]  # fmt: skip


def build_review(parts: TrainParts, place: TrainPlace, audit: AuditWidgets) -> ReviewWidgets:
    """Lay out the section inside the current column and wire its events."""
    with gr.Column(visible=False, elem_id="train-review") as panel:
        gr.Markdown("### Review", elem_classes="train-title")
        with gr.Row(elem_classes="train-form"):
            by = gr.Radio([], label="Rows", elem_id="train-by", min_width=280)
            defect = gr.Dropdown([], label="With", elem_id="train-defect", min_width=160)
        with gr.Row(elem_id="train-desk"):
            with gr.Column(scale=2, min_width=240):
                queue = gr.HTML("", elem_id="train-queue", js_on_load=CLICKS)
            with gr.Column(scale=3, min_width=300, visible=False, elem_id="train-one") as one:
                row = gr.HTML("", elem_id="train-row")
                answer = gr.Textbox(
                    label=ANSWER, lines=2, max_lines=12, max_length=MAX_ANSWER,
                    elem_id="train-answer",
                )  # fmt: skip
                reason = gr.Textbox(
                    label="Reason", placeholder="Why? It stays with the row", max_lines=1,
                    max_length=MAX_REASON, elem_id="train-reason",
                )  # fmt: skip
                with gr.Row(elem_classes="train-actions"):
                    buttons: dict[Action, gr.Button] = {
                        "keep": gr.Button("Keep", size="sm", min_width=80, elem_id="train-keep"),
                        "drop": gr.Button("Drop", size="sm", min_width=80, elem_id="train-drop"),
                        "rewrite": gr.Button(
                            "Rewrite", size="sm", min_width=80, elem_id="train-rewrite"
                        ),
                    }
                    undo = gr.Button("Undo", size="sm", min_width=80, elem_id="train-undo")
        with gr.Row(elem_classes="train-end"):
            plan = gr.Markdown("", elem_id="train-plan", elem_classes="train-hint")
            curate = gr.Button(
                "Make the new version", variant="primary", elem_id="train-curate", min_width=190
            )
    widgets = ReviewWidgets(
        panel=panel, by=by, defect=defect, queue=queue, one=one, row=row, reason=reason,
        answer=answer, buttons=buttons, undo=undo, view=gr.State(ReviewView()), plan=plan,
        curate=curate,
    )  # fmt: skip
    _wire(ReviewCallbacks(parts, widgets), place, audit, widgets)
    return widgets


class ReviewCallbacks:
    """Each asks first whether an administrator calls; hidden widgets protect nothing."""

    def __init__(self, parts: TrainParts, widgets: ReviewWidgets) -> None:
        self._parts = parts
        self._widgets = widgets

    def on_seen(self, dataset: str, request: gr.Request) -> Update:
        """Show the review of the audit that the page shows now."""
        self._parts.require_admin(request)
        review = self._review(dataset)
        if review is None:
            return {self._widgets.panel: gr.update(visible=False)}
        counts = decided(review.rows())
        return self._shown(review, ReviewView("nobody" if counts["nobody"] else "all"))

    def on_filter(
        self, dataset: str, view: ReviewView, by: str, defect: str, request: gr.Request
    ) -> Update:
        """Show the rows of another kind."""
        review = self._open(dataset, request)
        who, what = one_of(by, get_args(By), "rows"), text_of(defect)
        if what and what not in DEFECTS:
            raise InputError(f"no finding named {what[:40]!r}")
        return self._shown(review, replace(view, by=who, defect=what, page=1, row=""))

    def on_pick(
        self, dataset: str, view: ReviewView, event: gr.EventData, request: gr.Request
    ) -> Update:
        """Show the row that was clicked."""
        review = self._open(dataset, request)
        row = review.rows()[_number(event, "row", len(review.rows()))]
        return self._shown(review, replace(view, row=row.id))

    def on_page(
        self, dataset: str, view: ReviewView, event: gr.EventData, request: gr.Request
    ) -> Update:
        """Show another page of the queue."""
        review = self._open(dataset, request)
        return self._shown(review, replace(view, page=max(1, _number(event, "page", 1_000_000))))

    def on_decide(self, action: Action) -> Callable[..., Update]:
        """Return what keeps, drops or rewrites the row that is looked at, and goes to the next."""

        def decide(
            dataset: str, view: ReviewView, reason: str, answer: str, request: gr.Request
        ) -> Update:
            review = self._open(dataset, request)
            decision: dict[str, Any] = {"id": view.row, "action": action, "reason": reason or ""}
            if action == "rewrite" and answer != last_answer(review.example(view.row)):
                decision["answer"] = answer
            following = row_after(chosen_rows(review.rows(), view), view.row)
            review.decide(decision)
            return self._shown(review, replace(view, row=following))

        return decide

    def on_undo(self, dataset: str, view: ReviewView, request: gr.Request) -> Update:
        """Forget what was decided on the row that is looked at."""
        review = self._open(dataset, request)
        review.undo(view.row)
        return self._shown(review, view)

    def _open(self, dataset: str, request: gr.Request) -> Review:
        self._parts.require_admin(request)
        review = self._review(dataset)
        if review is None:
            raise InputError("there is no audit of this dataset yet; audit it first")
        return review

    def _review(self, dataset: str) -> Review | None:
        if not dataset:
            return None
        version = find_version(self._parts.home, dataset)
        audit = self._parts.audits.newest(version.digest)
        return self._parts.reviews.of(version, audit) if audit is not None else None

    def _shown(self, review: Review, view: ReviewView) -> Update:
        w, rows = self._widgets, review.rows()
        chosen = chosen_rows(rows, view)
        view = replace(view, row=view.row or next((row.id for row in chosen), ""))
        view = replace(view, page=min(view.page, pages_of(chosen)))
        return {
            w.panel: gr.update(visible=bool(rows)),
            w.by: gr.update(choices=who_choices(rows), value=view.by),
            w.defect: gr.update(choices=defect_choices(rows), value=view.defect),
            w.queue: self._parts.render("train_review.html", **queue_of(rows, view)),
            w.view: view,
            w.plan: plan_of(rows),
            **self._one(review, rows, view),
        }

    def _one(self, review: Review, rows: Sequence[ReviewRow], view: ReviewView) -> Update:
        w = self._widgets
        row = next((row for row in rows if row.id == view.row), None)
        if row is None:
            return {w.one: gr.update(visible=False), w.row: ""}
        example = review.example(row.id)
        written = row.own.answer if row.own else None
        return {
            w.one: gr.update(visible=True),
            w.row: self._parts.render("train_row.html", row=row, turns=turns_of(example)),
            w.answer: last_answer(example) if written is None else written,
            w.undo: gr.update(interactive=row.own is not None),
        }


def _number(event: gr.EventData, name: str, end: int) -> int:
    """Return a number that the browser sent, from 0 and below `end`."""
    text = str(sent(event).get(name))[:12]
    if not text.isascii() or not text.isdigit() or int(text) >= end:
        raise InputError(f"{name} must be a whole number below {end}, got {text!r}")
    return int(text)


def _wire(
    callbacks: ReviewCallbacks, place: TrainPlace, audit: AuditWidgets, w: ReviewWidgets
) -> None:
    changed, at = w.changed(), [place.dataset, w.view]
    audit.seen.change(
        handler(callbacks.on_seen), place.dataset, changed, **QUIET, api_name="train_review"
    )
    gr.on(
        [w.by.input, w.defect.input], handler(callbacks.on_filter), [*at, w.by, w.defect], changed,
        **QUIET, api_name="train_filter",
    )  # fmt: skip
    w.queue.pick(handler(callbacks.on_pick), at, changed, **QUIET, api_name="train_pick")
    w.queue.turn(handler(callbacks.on_page), at, changed, **QUIET, api_name="train_page")
    for action, button in w.buttons.items():
        button.click(
            handler(callbacks.on_decide(action)), [*at, w.reason, w.answer], changed, **QUIET,
            api_name=f"train_{action}",
        )  # fmt: skip
    w.undo.click(handler(callbacks.on_undo), at, changed, **QUIET, api_name="train_undo")
