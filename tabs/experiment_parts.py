"""What the Experiments section works with, and what it reads of values that the browser sent."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from core.access import Access
from core.errors import ForbiddenError, InputError
from core.store.experiments import Experiment, Plan
from evals.arena.costs import LocalRate
from evals.arena.experiments import Experiments
from evals.arena.items import item_tasks
from evals.arena.panel import Panel
from evals.judge.rubric_files import rubric_folders
from tabs.bridge import caller_of
from tabs.leaderboard_view import one_of, text_of
from tabs.vote_pages import VotePages

FRESH_S = 2.0
"""Age up to which a panel is shown again without a look."""
MOST_KEPT = 16
METRIC_CHOICES = (
    ("People's votes in battles", "votes"),
    ("Marks of a task", "task"),
    ("Thumbs in Chat", "thumbs"),
    ("A judge's votes", "judge"),
)
PLAN_CHOICES = (
    ("Look whenever you like", "always_valid"),
    ("One look, after a fixed number of items", "fixed_n"),
)


class Panels:
    """Panels as they were a moment ago, so that many viewers cost one look at the votes."""

    def __init__(
        self, experiments: Experiments, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` returns seconds."""
        self._experiments = experiments
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Panel]] = OrderedDict()

    def of(self, name: str, rates: Mapping[str, LocalRate]) -> Panel:
        """Return the panel, at most two seconds old, with costs by these rates.

        Raises:
            NotFoundError: there is no experiment of this name.
            StorageError: the store or a run can't be read.
        """
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or self._clock() - kept[0] >= FRESH_S:
                panel = self._experiments.panel(name)
                kept = self._kept[name] = self._clock(), panel
                self._kept.move_to_end(name)
                while len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)
        return kept[1].with_rates(rates)

    def forget(self, name: str) -> None:
        """Look anew the next time: the experiment itself has changed."""
        with self._lock:
            self._kept.pop(name, None)


@dataclass(frozen=True, slots=True)
class ExperimentParts:
    """What the section works with; shared by all sessions."""

    experiments: Experiments
    panels: Panels
    pages: VotePages
    access: Access
    home: Path
    models: Callable[[], list[tuple[str, str]]]
    """Label and id of everything that can be an arm."""

    def is_admin(self, request: gr.Request) -> bool:
        """Return whether the caller may make and end experiments."""
        return caller_of(self.access, request).is_admin

    def require_admin(self, request: gr.Request) -> None:
        """Refuse everybody else; hidden widgets protect nothing.

        Raises:
            ForbiddenError: the caller is no administrator.
        """
        if not self.is_admin(request):
            raise ForbiddenError("only an administrator may make or end an experiment")

    def tasks(self) -> list[str]:
        """Return the tasks that can decide an experiment."""
        return list(item_tasks(self.home))

    def rubrics(self) -> list[str]:
        """Return what a judge can vote by."""
        folders = rubric_folders(self.home)
        return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def plan_of(kind: object, n: object, alpha: object, delta: object) -> Plan:
    """Return the plan that a form describes; a fixed one has neither alpha nor, unsaid, a delta.

    Raises:
        InputError: it is no plan that can be carried out.
    """
    smallest = (number_of(delta, "the smallest difference") or 0.0) / 100
    if one_of(kind, ("fixed_n", "always_valid"), "plan") == "fixed_n":
        many = number_of(n, "the number of items")
        if many is None or many != int(many):
            raise InputError("a fixed plan needs the number of items, a whole number")
        return Plan("fixed_n", n=int(many), delta=smallest)
    share = number_of(alpha, "alpha")
    if share is None:
        raise InputError("a plan needs alpha, the share of false winners; 5 is usual")
    return Plan("always_valid", alpha=share / 100, delta=smallest)


def rates_of(experiment: Experiment, values: tuple[object, object, object]) -> dict[str, LocalRate]:
    """Return what a machine costs by what a person entered: dollars an hour, watts, dollars a kWh.

    Energy with one of its two numbers is still being typed, and left out.

    Raises:
        InputError: a value is no number of at least 0.
    """
    hour, watts, kwh = (number_of(value, "a rate") for value in values)
    if watts is None or kwh is None:
        watts = kwh = None
    if hour is None and watts is None:
        return {}
    rate = LocalRate(hour, watts, kwh)
    return {experiment.arm_a.model: rate, experiment.arm_b.model: rate}


def number_of(value: object, name: str) -> float | None:
    """Return a number that came over HTTP; None for an empty field.

    Raises:
        InputError: it is no number.
    """
    text = str(value).strip() if isinstance(value, str | int | float) else ""
    if value is None or value == "":
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise InputError(f"{name} must be a number, got {str(value)[:40]!r}")
    return number


def named(value: object) -> str | None:
    """Return a name that may be left out; None for an empty one."""
    return text_of(value) or None
