"""The states of a job and which may follow which."""

from collections.abc import Mapping
from typing import Literal, get_args

from core.errors import InputError

Status = Literal[
    "queued",
    "starting",
    "running",
    "stopping",
    "stopped",
    "failed",
    "interrupted",
    "completed",
]
STATUSES: tuple[Status, ...] = get_args(Status)

FOLLOWS: Mapping[Status, tuple[Status, ...]] = {
    "queued": ("starting", "stopped", "failed"),
    "starting": ("running", "stopping", "completed", "failed", "interrupted"),
    "running": ("stopping", "completed", "failed", "interrupted"),
    "stopping": ("stopped", "completed", "failed", "interrupted"),
    "stopped": ("queued",),
    "failed": ("queued",),
    "interrupted": ("queued",),
    "completed": (),
}
"""What may follow each state.

`interrupted`: the worker died, or ended unasked, and said no reason. `stopping` may still end
otherwise: the worker may have been done, or die over its last save.
"""
ACTIVE: tuple[Status, ...] = ("queued", "starting", "running", "stopping")
"""States in which somebody has to look after the job."""
WORKING: tuple[Status, ...] = ("starting", "running", "stopping")
"""States in which there is a worker, or was a moment ago."""
RESUMABLE: tuple[Status, ...] = tuple(s for s in STATUSES if "queued" in FOLLOWS[s])


def moved(job: str, old: Status, new: Status) -> Status:
    """Return the new state of a job if it may follow the old one.

    Raises:
        InputError: it may not.
    """
    if new not in FOLLOWS[old]:
        allowed = ", ".join(FOLLOWS[old]) or "nothing"
        raise InputError(f"job {job!r} is {old} and can't become {new}; it can become: {allowed}")
    return new
