"""Leaderboard tab: models by tasks with intervals, the items behind each score, and runs."""

from typing import Any

import gradio as gr

from tabs.bridge import QUIET, handler
from tabs.leaderboard_callbacks import BoardCallbacks
from tabs.leaderboard_page import BoardWidgets, LeaderboardParts
from tabs.leaderboard_runs import RunCallbacks, build_runs, wire_runs
from tabs.leaderboard_view import AXES, COLUMNS, DEFAULT_COLUMNS, SORTS, STATES, View

LINKS = """
element.addEventListener('click', (event) => {
  const link = event.target.closest('a[data-act]');
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const asked = {...link.dataset};
  delete asked.act;
  if (link.dataset.act === 'close') { trigger('close', asked); } else { trigger('open', asked); }
});
let opened = '';
const follow = () => {
  const items = element.querySelector('[data-opened]');
  if (items && items.dataset.opened !== opened) element.scrollIntoView({block: 'nearest'});
  opened = items ? items.dataset.opened : '';
  const shown = element.querySelector('[data-place]');
  if (!shown || !shown.dataset.place) return;
  const theme = new URLSearchParams(location.search).get('__theme');
  const kept = theme ? '&__theme=' + encodeURIComponent(theme) : '';
  history.replaceState(history.state, '', shown.dataset.place + kept);
};
watch('value', follow);
"""
"""Links are followed within the page; a click with a key held opens them as any link."""
SAVE = """
(text) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob(['\\ufeff' + text], {type: 'text/csv;charset=utf-8'}));
  link.download = 'leaderboard.csv';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
"""


def build_leaderboard_tab(parts: LeaderboardParts, tabs: gr.Tabs) -> None:
    """Lay out the tab inside the current `gr.Blocks` and wire its events."""
    with gr.Column(elem_id="board"):
        notice = gr.Markdown(visible=False, elem_id="board-notice")
        with gr.Row(elem_id="board-controls"):
            controls = _controls()
        with gr.Row(elem_id="board-more"):
            columns = gr.CheckboxGroup(
                list(COLUMNS.items()), value=list(DEFAULT_COLUMNS), label="Columns",
                elem_id="board-columns",
            )  # fmt: skip
            csv = gr.Button("Download CSV", size="sm", elem_id="board-csv", min_width=110)
        csv_text = gr.Textbox(visible=False)
        table = gr.HTML("", elem_id="board-table", js_on_load=LINKS)
        with gr.Column(visible=False, elem_id="board-cell") as cell:
            with gr.Row(elem_id="board-cell-controls"):
                filters = _filters()
            items = gr.HTML("", elem_id="board-items", js_on_load=LINKS)
        with gr.Row(visible=False, elem_id="board-plots") as plots:
            drawn = _plots()
        runs = build_runs()
    widgets = BoardWidgets(
        view=gr.State(View()), notice=notice, table=table, plots=plots, cell=cell, items=items,
        columns=columns, **controls, **filters, **drawn,
    )  # fmt: skip
    callbacks = BoardCallbacks(parts, widgets, tabs)
    _wire_board(callbacks, widgets, tabs)
    csv.click(handler(callbacks.on_csv), widgets.view, csv_text, api_name="leaderboard_csv").then(
        None, csv_text, None, js=SAVE, api_name="leaderboard_save"
    )
    wire_runs(RunCallbacks(parts.panel, parts.pages, parts.access, runs), runs)
    runs.busy.change(
        handler(callbacks.on_refresh), widgets.view, table, **QUIET, api_name="leaderboard_refresh",
    )  # fmt: skip


def _controls() -> dict[str, Any]:
    """Lay out what the table is chosen by; the names are those of `BoardWidgets`."""
    return {
        "search": gr.Textbox(
            label="Search", placeholder="Model, digest, task or run", elem_id="board-search",
            max_length=300, min_width=180, max_lines=1,
        ),
        "task": _choice("Task", [("All tasks", "")], "", "board-task"),
        "version": _choice("Version", [], None, "board-version", visible=False),
        "sort": _choice("Order", list(SORTS.items()), "best", "board-sort"),
        "state": _choice("Show", list(STATES.items()), "all", "board-state"),
    }  # fmt: skip


def _filters() -> dict[str, Any]:
    """Lay out what the items of a cell are chosen by."""
    return {
        "against": _choice("Beside it", [("No other model", "")], "", "board-against"),
        "outcome": _choice("Items", [("all items", "")], "", "board-outcome", visible=False),
        "failure": _choice("Label", [("Any label or none", "")], "", "board-failure"),
    }


def _plots() -> dict[str, Any]:
    """Lay out the plots of a task."""
    with gr.Column(min_width=300):
        gr.Markdown("### Scores with 95% intervals")
        forest = gr.Plot(show_label=False, elem_id="board-forest")
    with gr.Column(min_width=300):
        gr.Markdown("### Quality against cost and speed")
        axis = gr.Radio(
            list(AXES.items()), value="cost", show_label=False, container=False,
            elem_id="board-axis",
        )  # fmt: skip
        front = gr.Plot(show_label=False, elem_id="board-front")
        unknown = gr.Markdown(visible=False, elem_id="board-unknown")
    return {"forest": forest, "axis": axis, "front": front, "unknown": unknown}


def _choice(
    label: str, choices: Any, value: Any, name: str, *, visible: bool = True
) -> gr.Dropdown:
    return gr.Dropdown(
        choices, value=value, label=label, elem_id=name, min_width=150, visible=visible
    )


def _wire_board(callbacks: BoardCallbacks, w: BoardWidgets, tabs: gr.Tabs) -> None:
    shown = w.changed()
    controls = (
        w.search, w.task, w.version, w.sort, w.state, w.columns, w.axis, w.against, w.outcome,
        w.failure,
    )  # fmt: skip
    gr.on(
        [w.search.submit, *(control.input for control in controls)], handler(callbacks.on_change),
        {w.view, *controls}, shown, **QUIET, trigger_mode="always_last",
        api_name="leaderboard_change",
    )  # fmt: skip
    for place, name in ((w.table, "leaderboard_open"), (w.items, "leaderboard_page")):
        place.open(handler(callbacks.on_open), w.view, shown, **QUIET, api_name=name)
    w.items.close(handler(callbacks.on_close), w.view, shown, **QUIET, api_name="leaderboard_close")
    gr.on(
        None, handler(callbacks.on_load), None, [*shown, tabs], **QUIET,
        api_name="leaderboard_load",
    )  # fmt: skip
