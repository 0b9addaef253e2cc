"""Ratings section: the models by people's votes, or apart from them by a judge's."""

from dataclasses import dataclass, fields
from typing import Any, get_args

import gradio as gr
from gradio.blocks import Block, BlockContext
from gradio.components import Component

from core.store.battle_records import Source
from evals.arena.standings import Standings
from tabs.bridge import QUIET, handler
from tabs.leaderboard_view import one_of
from tabs.ratings_plots import matrix_plot, rating_plot
from tabs.vote_dataset import DatasetParts, build_dataset
from tabs.vote_pages import VotePages

Update = dict[Component | BlockContext, Any]
SOURCES: tuple[tuple[str, Source], ...] = (("People's votes", "person"), ("A judge's", "judge"))
"""Each is rated by itself; no view adds them up."""


@dataclass(frozen=True, slots=True)
class RatingsParts:
    """What the section works with; shared by all sessions."""

    standings: Standings
    pages: VotePages
    dataset: DatasetParts


@dataclass(frozen=True, slots=True)
class RatingsWidgets:
    """The widgets that the section changes."""

    table: gr.HTML
    plots: gr.Row
    intervals: gr.Plot
    matrix: gr.Plot

    def changed(self) -> list[Block]:
        """Return what a new look changes."""
        return [getattr(self, field.name) for field in fields(self)]


def build_ratings(parts: RatingsParts, section: gr.Tab) -> None:
    """Lay the section out inside the current `gr.Blocks`; it is read when `section` is opened."""
    with gr.Column(elem_id="ratings"):
        with gr.Row(elem_id="ratings-controls"):
            source = gr.Radio(
                list(SOURCES), value="person", show_label=False, container=False,
                elem_id="ratings-source",
            )  # fmt: skip
            length = gr.Checkbox(
                False, label="Take out the worth of a longer answer", container=False,
                elem_id="ratings-length",
            )  # fmt: skip
        table = gr.HTML("", elem_id="ratings-table")
        with gr.Row(visible=False, elem_id="ratings-plots") as plots:
            with gr.Column(min_width=300):
                gr.Markdown("### Ratings with 95% intervals")
                intervals = gr.Plot(show_label=False, elem_id="ratings-intervals")
            with gr.Column(min_width=300):
                gr.Markdown("### Battles that the row took from the column, %")
                matrix = gr.Plot(show_label=False, elem_id="ratings-matrix")
        build_dataset(parts.dataset, source, section)
    widgets = RatingsWidgets(table, plots, intervals, matrix)
    gr.on(
        [section.select, source.input, length.input], handler(on_look(parts, widgets)),
        [source, length], widgets.changed(), **QUIET,
        trigger_mode="always_last", api_name="ratings",
    )  # fmt: skip


def on_look(parts: RatingsParts, w: RatingsWidgets) -> Any:
    """Return the callback that shows the ratings as the votes are now."""

    def look(source: object, length: object) -> Update:
        chosen = one_of(source, get_args(Source), "source")
        found = parts.standings.of(chosen, length=length is True)
        intervals, matrix = rating_plot(found), matrix_plot(found.matrix)
        return {
            w.table: parts.pages.ratings(found, chosen),
            w.plots: gr.update(visible=intervals is not None),
            w.intervals: intervals,
            w.matrix: gr.update(value=matrix, visible=matrix is not None),
        }

    return look
