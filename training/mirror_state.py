"""Where a run's mirror is: `mirror/state.json`, which the mirror writes and all others read."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import TrainingError
from core.settings import PROJECT

FOLDER = "mirror"
"""Folder of the mirror's lock, state and log, within the run's."""
STATE, LOG = "state.json", "log.txt"
LATE = 2
"""Checkpoints that the mirror may be behind before it is told."""


@dataclass(frozen=True, slots=True)
class MirrorState:
    """What the mirror has."""

    step: int | None = None
    """Of the newest checkpoint that is there whole."""
    behind: int = 0
    """Checkpoints on this disk that are newer."""
    lag_s: float = 0.0
    """Age of the oldest of those, in seconds."""
    error: str | None = None
    """Why the last copy failed; None when it did not."""
    at: float = 0.0
    """When this was written, in seconds since 1970."""

    @property
    def text(self) -> str:
        """How far the mirror is, and why no further."""
        parts = ["nothing yet" if self.step is None else f"step {self.step}"]
        if self.behind:
            late = "checkpoint" if self.behind == 1 else "checkpoints"
            parts.append(f"{self.behind} {late} and {self.lag_s:,.0f} s behind")
        return ", ".join([*parts, *([] if self.error is None else [self.error])])

    def to_dict(self) -> dict[str, Any]:
        """Return what stands in `mirror/state.json`."""
        return asdict(self)


def mirror_state(folder: Path) -> MirrorState | None:
    """Return where the mirror of a run is; None when it has none, or none yet."""
    try:
        raw = json.loads((folder / FOLDER / STATE).read_text(encoding="utf-8"))
        return MirrorState(**raw)
    except (OSError, ValueError, TypeError):
        return None


class MirrorLink:
    """A run's mirror, as its worker sees it."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self._folder, self._url = folder, url

    def start(self) -> None:
        """Start the mirror's process if the run has one; a second one ends by itself.

        Raises:
            TrainingError: it can't be started.
        """
        if self._url is None:
            return
        command = [sys.executable, "-m", "training.mirror", "copy", str(self._folder), self._url]
        try:
            (self._folder / FOLDER).mkdir(exist_ok=True)
            with (self._folder / FOLDER / LOG).open("ab") as log:
                subprocess.Popen(
                    command,
                    cwd=PROJECT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise TrainingError(f"the mirror can't be started: {error.strerror}") from error

    def lateness(self, step: int) -> Mapping[str, Any] | None:
        """Return how far the mirror is behind if that is too far, else None."""
        if self._url is None:
            return None
        state = mirror_state(self._folder)
        if state is None or state.behind <= LATE:
            return None
        return {
            "mirrored": state.step,
            "behind": state.behind,
            "error": state.error,
            "newest": step,
        }
