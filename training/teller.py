"""What an attempt tells: events, written by the main process alone."""

from collections.abc import Callable, Mapping
from typing import Any

from training.events import EventLog, Kind

Report = Callable[[Kind, int, Mapping[str, Any]], None]
"""Takes an event's kind, step and values."""


class Teller:
    """Writes the events of one attempt."""

    def __init__(self, log: EventLog | None) -> None:
        """None: write nothing, as in all processes but the first."""
        self._log = log
        self.step = 0
        """Step of the last event."""

    def __call__(self, kind: Kind, step: int, values: Mapping[str, Any]) -> None:
        """Write an event.

        Raises:
            StorageError: the disk is full or fails.
        """
        self.step = step
        if self._log is not None:
            self._log.write(kind, step, **values)
