"""Runs that are not complete: who waits, who is at work, and what a folder says is left to do."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.errors import AppError, InputError
from evals.leaderboard_files import json_object
from evals.leaderboard_items import rows_of
from evals.manifest import RunConfig

OrderStatus = Literal["queued", "starting", "running", "stopping", "failed", "interrupted"]
BUSY = ("queued", "starting", "running", "stopping")
RESUMABLE = ("interrupted", "stopped", "invalid")


@dataclass(frozen=True, slots=True)
class RunState:
    """One line of the list of runs."""

    run: str
    """Name of the run; of the order before the run has a folder."""
    model: str
    task: str
    status: str
    done: int = 0
    """Answers that came."""
    total: int = 0
    """Answers that are planned; 0: not known yet."""
    place: int | None = None
    """Place in the queue, from 1."""
    error: str = ""
    is_ours: bool = True
    """Whether this app carries it out; the command line may too."""

    @property
    def is_busy(self) -> bool:
        """Return whether it waits or is at work."""
        return self.status in BUSY

    @property
    def can_stop(self) -> bool:
        """Return whether a stop would reach it."""
        return self.is_ours and self.status in ("queued", "starting", "running")

    @property
    def can_resume(self) -> bool:
        """Return whether something of it is left to do."""
        return self.status in (*RESUMABLE, "failed")


@dataclass(slots=True)
class Order:
    """One run that somebody asked for."""

    id: str
    config: RunConfig
    run: str | None
    """The run, once it has a folder."""
    status: OrderStatus = "queued"
    done: int = 0
    total: int = 0
    error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def state(self, place: int | None) -> RunState:
        """Return the order as a line of the list."""
        return RunState(
            run=self.run or self.id,
            model=self.config.model,
            task=self.config.task,
            status=self.status,
            done=self.done,
            total=self.total,
            place=place,
            error=self.error,
        )


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a run's folder says of a run that has not completed."""

    config: RunConfig
    status: str
    done: int
    total: int
    created_at: str


def left_waiting(path: Path) -> list[Order]:
    """Return the orders that a former app left; a damaged file holds none."""
    try:
        listed = json.loads(path.read_bytes())
        orders = [Order(str(o["id"]), RunConfig(**o["config"]), None) for o in listed]
    except (OSError, ValueError, TypeError, KeyError, RecursionError, InputError):
        return []
    for order in orders:
        order.status = "interrupted"
    return orders


def read_unfinished(manifest: Path, summary: Path, generations: Path) -> Unfinished | None:
    """Return what is left to do of a run; None: nothing, or nothing that can be read."""
    try:
        about = json_object(manifest)
        found = json_object(summary) if summary.exists() else {}
        status = str(found.get("status") or "interrupted")
        if status not in (*RESUMABLE, "running") or about.get("mode") == "predictions":
            return None
        total = len(about["items"]) * int(about.get("repeats") or 1)
        is_dead = status in ("interrupted", "running")
        return Unfinished(
            config=RunConfig(str(about["model"]), str(about["task"])),
            status="interrupted" if is_dead else status,
            done=_answered(generations) if is_dead else total - int(found["missing"]),
            total=total,
            created_at=str(about.get("created_at")),
        )
    except (OSError, ValueError, TypeError, KeyError, AppError):
        return None


def _answered(generations: Path) -> int:
    """Return how many answers a run without a summary has."""
    rows: Mapping[Any, Any] = {
        (row.get("id"), row.get("repeat")): row.get("status") for row in rows_of(generations)
    }
    return sum(status == "ok" for status in rows.values())
