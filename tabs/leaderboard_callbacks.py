"""What happens when a visitor searches, chooses, opens a cell or a link, or downloads."""

from dataclasses import replace
from typing import Any, get_args

import gradio as gr

from core.errors import AppError, InputError
from evals.leaderboard_pareto import Against
from tabs.bridge import caller_of
from tabs.leaderboard_page import BoardScreen, BoardWidgets, LeaderboardParts, Update
from tabs.leaderboard_runs import sent
from tabs.leaderboard_view import (
    Sort,
    State,
    View,
    columns_of,
    one_of,
    outcome_of,
    page_of,
    text_of,
    view_of_link,
)

TAB = "leaderboard"


class BoardCallbacks:
    """Each makes a view of what the browser sent, and shows what the board has of it."""

    def __init__(self, parts: LeaderboardParts, widgets: BoardWidgets, tabs: gr.Tabs) -> None:
        self._parts = parts
        self._widgets = widgets
        self._tabs = tabs
        self._screen = BoardScreen(parts, widgets)

    def on_load(self, request: gr.Request) -> Update:
        """Open what the page's address names, else the whole board behind the first tab."""
        params = {str(name): str(value) for name, value in request.query_params.items()}
        is_admin = self._is_admin(request)
        if "leaderboard" not in params:
            return self._screen.show(View(), is_admin=is_admin, is_placed=False)
        selected: Update = {self._tabs: gr.Tabs(selected=TAB)}
        try:
            view = view_of_link(params)
            shown = self._screen.show(view, is_admin=is_admin, is_placed=False)
            return selected | shown | self._screen.chosen(view)
        except AppError as error:
            notice = f"This link can't be opened as it is: {error}."
            shown = self._screen.show(View(), is_admin=is_admin, notice=notice, is_placed=False)
            return selected | shown

    def on_change(self, values: Update, request: gr.Request) -> Update:
        """Show what the widgets ask for."""
        return self._screen.show(self._view(values), is_admin=self._is_admin(request))

    def on_open(self, view: View, event: gr.EventData, request: gr.Request) -> Update:
        """Open a task, a cell, or another page of items."""
        asked = sent(event)
        if "page" in asked:
            view = replace(view, page=page_of(asked["page"]))
        else:
            task, model = text_of(asked.get("task")), text_of(asked.get("model"))
            if not task:
                raise InputError("the event names no task")
            view = view.opened(task, model)
        return self._screen.show(view, is_admin=self._is_admin(request))

    def on_close(self, view: View, request: gr.Request) -> Update:
        """Close the open cell."""
        return self._screen.show(view.closed(), is_admin=self._is_admin(request))

    def on_refresh(self, view: View, request: gr.Request) -> Any:
        """Return the table of the same view, of what the run folders hold by now."""
        shown = self._screen.show(view, is_admin=self._is_admin(request), is_placed=False)
        return shown[self._widgets.table]

    def on_csv(self, view: View) -> str:
        """Return the table of the view as CSV."""
        return self._screen.csv(view)

    def _is_admin(self, request: gr.Request) -> bool:
        return caller_of(self._parts.access, request).is_admin

    def _view(self, values: Update) -> View:
        """Return the view that the widgets make of the one before.

        Raises:
            InputError: a value is of the wrong kind.
        """
        w, before = self._widgets, self._before(values)
        task, version = text_of(values[w.task]), text_of(values[w.version])
        view = View(
            task=task,
            version=version if task == before.task else "",
            search=text_of(values[w.search]),
            sort=one_of(values[w.sort], get_args(Sort), "sort"),
            state=one_of(values[w.state], get_args(State), "state"),
            columns=columns_of(values[w.columns]),
            axis=one_of(values[w.axis], get_args(Against), "axis"),
        )
        if (task, view.version) != (before.task, before.version or version):
            return view
        return self._with_cell(view, before, values)

    def _with_cell(self, view: View, before: View, values: Update) -> View:
        """Return the view with the cell that is open, filtered as the widgets say."""
        w = self._widgets
        if not before.model:
            return view
        against = text_of(values[w.against])
        chosen = replace(
            view,
            model=before.model,
            against=against,
            outcome=outcome_of(values[w.outcome]) if against else None,
            failure=text_of(values[w.failure]),
        )
        filters = (chosen.against, chosen.outcome, chosen.failure)
        same = filters == (before.against, before.outcome, before.failure)
        return replace(chosen, page=before.page if same else 1)

    def _before(self, values: Update) -> View:
        found: Any = values[self._widgets.view]
        return found if isinstance(found, View) else View()
