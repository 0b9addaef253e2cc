"""The step Data of the Train tab: bring examples, audit them, review what was found, split."""

from dataclasses import dataclass

import gradio as gr

from tabs.bridge import QUIET, handler
from tabs.train_data_audit import build_audit
from tabs.train_data_bring import build_bring
from tabs.train_data_finish import build_finish
from tabs.train_data_review import build_review
from tabs.train_parts import TrainParts, TrainPlace


@dataclass(frozen=True, slots=True)
class DataStep:
    """What the next step takes over."""

    dataset: gr.Dropdown
    model: gr.Dropdown
    max_length: gr.Textbox
    next: gr.Button


def build_data(parts: TrainParts, place: TrainPlace) -> DataStep:
    """Lay out the step inside the current tab and wire its events."""
    with gr.Column(elem_id="train-data"):
        bring = build_bring(parts, place)
        audit = build_audit(parts, place)
        review = build_review(parts, place, audit)
        finish = build_finish(parts, place, audit, review)

    def on_load(request: gr.Request) -> object:
        is_first = parts.is_admin(request) and not any((parts.home / "datasets").glob("*/v*"))
        return gr.update(open=is_first)

    gr.on(None, handler(on_load), None, bring.panel, **QUIET, api_name="train_begin")
    # A difference that is shown belongs to the dataset that it was asked for.
    audit.dataset.input(None, None, finish.changes, js="() => ''", api_name="train_forget")
    return DataStep(audit.dataset, audit.model, audit.max_length, finish.next)
