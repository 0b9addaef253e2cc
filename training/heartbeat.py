"""A sign of life beside a run: `heartbeat.json`, written whole every few seconds.

`beat_at` without `step_at` moving: the step hangs. Neither moving: the worker or the machine does.
"""

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

NAME = "heartbeat.json"
EVERY_S = 10.0


class Heartbeat:
    """Beats from a thread of its own while a block runs."""

    def __init__(self, folder: Path | None) -> None:
        """None: beat nowhere, as in all processes but the first."""
        self._folder = folder
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self.phase = "starting"
        """What the worker is at, in one word."""
        self.step = 0
        self.step_at = time.time()
        """When the last step was done, in seconds since 1970."""

    def __enter__(self) -> "Heartbeat":
        if self._folder is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            self._end.set()
            self._thread.join()
            self._beat()

    def stepped(self, step: int) -> None:
        """Note that a step is done."""
        self.step, self.step_at = step, time.time()

    def _run(self) -> None:
        self._beat()
        while not self._end.wait(EVERY_S):
            self._beat()

    def _beat(self) -> None:
        """Write the file; a full disk is for the checkpoints to complain about."""
        assert self._folder is not None
        told = {
            "pid": os.getpid(),
            "phase": self.phase,
            "step": self.step,
            "step_at": self.step_at,
            "beat_at": time.time(),
        }
        draft = self._folder / f".{NAME}"
        with suppress(OSError):
            draft.write_text(json.dumps(told), encoding="utf-8")
            draft.replace(self._folder / NAME)
