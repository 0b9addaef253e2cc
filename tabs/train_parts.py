"""The parts of the Train tab, made from the parts of a running Understudy."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import BlockContext
from gradio.components import Component
from jinja2 import Environment

from core.access import Access
from core.catalog import Catalog
from core.errors import ForbiddenError, InputError
from core.services import Services
from core.settings import PROJECT
from evals.task_files import list_tasks
from tabs.bridge import caller_of
from tabs.leaderboard_page import LeaderboardParts
from tabs.leaderboard_view import text_of
from tabs.templates import make_templates
from training.audits import Audits
from training.errands import Errands
from training.history import Histories
from training.jobs import Jobs
from training.review import Reviews

Update = dict[Component | BlockContext, Any]


@dataclass(frozen=True, slots=True)
class TrainParts:
    """What the tab's steps work with; shared by all sessions."""

    services: Services
    access: Access
    jobs: Jobs
    histories: Histories
    board: LeaderboardParts
    """The evaluations, for what the step Result measures."""
    errands: Errands
    audits: Audits
    reviews: Reviews
    pages: Environment
    """`assets/pages`, with the filters of `tabs/templates.py`."""

    @property
    def home(self) -> Path:
        """Return where datasets, audits and runs are."""
        return self.services.settings.home

    @property
    def catalog(self) -> Catalog:
        """Return the catalog."""
        return self.services.catalog

    def is_admin(self, request: gr.Request) -> bool:
        """Return whether the caller may see and do anything here."""
        return caller_of(self.access, request).is_admin

    def require_admin(self, request: gr.Request) -> None:
        """Refuse everybody else; hidden widgets protect nothing.

        Raises:
            ForbiddenError: the caller is no administrator.
        """
        if not self.is_admin(request):
            raise ForbiddenError("only an administrator may see and use training")

    def render(self, page: str, /, **values: object) -> str:
        """Return a page of `assets/pages` as HTML; every value is escaped."""
        return self.pages.get_template(page).render(**values)

    def tasks(self) -> tuple[str, ...]:
        """Return the names of the evaluations that a dataset can be checked against."""
        return list_tasks(self.home)


@dataclass(frozen=True, slots=True)
class TrainPlace:
    """What the steps of one page share: where they are, and what is looked at.

    A state that a step sets makes the others follow by its `change` event.
    """

    tabs: gr.Tabs
    """The app's; this tab's id is `train`."""
    steps: gr.Tabs
    """Ids: `data configure estimate run result version`."""
    dataset: gr.State
    """`NAME@VERSION` that Data shows; empty: there is none."""
    config: gr.State
    """Settings in YAML, as Configure has them; empty: they are not complete."""
    run: gr.State
    """Name of the run that Run, Result and Version show; empty: none is chosen yet."""


def make_train(services: Services, access: Access, board: LeaderboardParts) -> TrainParts:
    """Return the parts; nothing is read yet. Evaluations are the leaderboard's.

    Raises:
        StorageError: the home can't be written.
    """
    return TrainParts(
        services=services,
        access=access,
        jobs=Jobs.of(services.settings, services.store),
        histories=Histories(services.settings.home / "runs"),
        board=board,
        errands=Errands(services.settings),
        audits=Audits(services.settings.home),
        reviews=Reviews(),
        pages=make_templates(PROJECT / "assets" / "pages"),
    )


def number_of(value: object, name: str, kind: Callable[[str], float] = float) -> Any:
    """Return a number that somebody typed, whole with `kind` int.

    Raises:
        InputError: it is none.
    """
    text = text_of(value).strip()
    try:
        if not text.isascii() or "_" in text:
            raise ValueError
        return kind(text)
    except ValueError as error:
        words = "a whole number" if kind is int else "a number"
        raise InputError(f"{name} must be {words}, got {text[:40]!r}") from error
