"""What the step Run shows: the list of runs, and the chosen one in full."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from core.errors import AppError
from evals.leaderboard_files import FileMemory
from tabs.leaderboard_view import text_of
from tabs.train_links import place_of
from tabs.train_parts import TrainParts
from tabs.train_run_figures import figures_of, in_order, notes_of, warning_text
from tabs.train_run_plots import POINTS
from training.config import TrainConfig
from training.history import History
from training.job_view import JobView
from training.mirror_state import mirror_state
from training.registry import Registry
from training.run_folder import RUN, read_run
from training.run_log import log_tail

MAX_LISTED = 60
"""Runs of the list; the command line has them all."""
LOG_LINES = 200
STRETCHES = 500
"""Of the curves: they are drawn anew when another one is full."""
DRAW_S = 3.0
"""How long the curves of a run at work stay as they are."""
REMEMBERED = 100
"""Runs whose settings stay in memory."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a page shows already, by digests; that is not sent again."""

    every_s: float = 0.0
    """How often the page asks."""
    listed: str = ""
    told: str = ""
    log: str = ""
    curves: tuple[object, ...] = ()
    """What they would be drawn anew for."""
    drawn_s: float = 0.0
    """When they were, by a clock of this process."""


class RunScreen:
    """Reads runs and says what a page shows of them; safe to share between threads."""

    def __init__(self, parts: TrainParts) -> None:
        self._parts = parts
        self._registry = Registry(parts.services.store, parts.home)
        self._configs: FileMemory[TrainConfig | None] = FileMemory(REMEMBERED)

    def asked(self, params: Mapping[str, str]) -> str:
        """Return the run that an address names, itself or by a version that it has made."""
        try:
            if "run" in params or "version" not in params:
                return text_of(params.get("run"))
            return self._registry.get(text_of(params["version"])).run
        except AppError:
            return ""

    def listed(self, views: Sequence[JobView], chosen: str) -> str:
        """Return the list of runs as HTML."""
        shown = in_order(views)[:MAX_LISTED]
        more = len(views) - len(shown)
        return self._parts.render("train_runs.html", views=shown, chosen=chosen, more=more)

    def told(self, view: JobView) -> str:
        """Return one run as HTML."""
        now = time.time()
        return self._parts.render(
            "train_run.html",
            place=place_of("run", run=view.job.id),
            job=view.job,
            facts=view.facts,
            config=self.config(view),
            is_resumable=view.is_resumable,
            figures=figures_of(view, mirror_state(view.folder), now),
            notes=notes_of(view, datetime.fromtimestamp(now, UTC)),
            warnings=[warning_text(event) for event in self._parts.histories.warnings(view.job.id)],
            adapter=view.adapter,
        )

    def config(self, view: JobView) -> TrainConfig | None:
        """Return a run's settings; None where they can't be read."""
        return self._configs.get((view.folder / RUN,), _config)

    def log(self, view: JobView) -> str:
        """Return the end of a run's log as HTML; empty while there is none."""
        text = log_tail(view.folder, LOG_LINES)
        return self._parts.render("train_log.html", text=text) if text else ""

    def history(self, run: str) -> History:
        """Return a run's curves and samples."""
        return self._parts.histories.look(run, POINTS)

    def drawn(self, seen: Seen, run: str, *, is_busy: bool) -> Seen:
        """Return what the page shows once its curves are up to date.

        Drawing is dear for a browser, so a run's curves are left as they are for a while.
        """
        stamp = (run, *self._parts.histories.stamp(run, STRETCHES)) if run else ()
        now_s = time.monotonic()
        is_early = is_busy and now_s - seen.drawn_s < DRAW_S and stamp[:1] == seen.curves[:1]
        if stamp == seen.curves or is_early:
            return seen
        return replace(seen, curves=stamp, drawn_s=now_s)


def digest(text: str) -> str:
    """Return enough of a digest to tell whether a page shows this text; empty for none."""
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def first_choice(views: Sequence[JobView], asked: str) -> str:
    """Return the run that a page opens with: the one asked for, else the list's first."""
    if any(view.job.id == asked for view in views):
        return asked
    return next((view.job.id for view in in_order(views)), "")


def _config(path: Path) -> TrainConfig | None:
    try:
        return read_run(path.parent).config
    except AppError:
        return None
