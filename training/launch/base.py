"""Where workers run: what the supervisor asks of this machine, a cluster or a cloud.

Nothing of an executor has to be remembered: a worker is found again by its run and attempt, so
whoever asks may have been started after it. Every executor runs the same command, which goes on
where the run's last checkpoint is, and which one lock lets in only once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Presence = Literal["absent", "starting", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One attempt at one run."""

    folder: Path
    """The run's folder; its name is the run's."""
    attempt: int = 1
    """1 for the first worker, and so on."""
    processes: int = 1
    """Processes that train together, one for each GPU."""

    @property
    def run(self) -> str:
        """Return the run's name."""
        return self.folder.name


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """Whether there is a worker."""

    presence: Presence
    """`absent`: never started, or gone; `starting`: there, and not yet at work."""
    exit_code: int | None = None
    """Of a worker that is gone, negative for a signal; None where nobody saw it end."""


class Executor(Protocol):
    """One kind of place where workers run."""

    @property
    def slots(self) -> int:
        """Return how many workers may run at the same time."""
        ...

    def submit(self, order: Order) -> None:
        """Start a worker that outlives this process.

        Raises:
            TrainingError: it can't be started.
            UnavailableError: not now; retrying may help.
        """
        ...

    def status(self, order: Order) -> WorkerStatus:
        """Say whether there is a worker on the run; what it wrote before is visible afterwards.

        Raises:
            UnavailableError: nobody knows now.
        """
        ...

    def logs(self, order: Order, start: int = 0) -> bytes:
        """Return what the workers on the run printed, from byte `start` on."""
        ...

    def stop(self, order: Order, *, is_forced: bool = False) -> None:
        """Ask the worker to save and end; forced: end it at once. Without one nothing happens."""
        ...

    def list(self) -> tuple[str, ...]:
        """Return the runs that have a worker, in any state of theirs."""
        ...
