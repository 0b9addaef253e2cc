"""When a run is saved, and how a save that fails leaves what was saved before."""

import errno
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.checkpoints import Checkpoint, commit, part_of, rotate
from training.config import TrainConfig
from training.teller import Report

KEPT = 3
"""Newest checkpoints that stay, besides the best one."""
ROOM = 1.1
"""Free space asked for before a save, in sizes of the checkpoint before it."""


class Saving:
    """Saves one attempt of a run."""

    def __init__(self, folder: Path, config: TrainConfig, tell: Report) -> None:
        self._folder, self._config, self._tell = folder, config, tell
        self._plan = ""
        self._setting: Mapping[str, str] = {}
        self._last_s = time.monotonic()
        self._size_bytes = 0

    def belongs_to(self, plan: str, setting: Mapping[str, str]) -> None:
        """Name what the checkpoints belong to, for their manifests."""
        self._plan, self._setting = plan, setting

    def is_due(self, step: int) -> bool:
        """Say whether the run should be saved after this step, by time or by count."""
        every = self._config.checkpoint_every
        if every is not None and step % every == 0:
            return True
        return time.monotonic() - self._last_s >= self._config.checkpoint_every_s

    @contextmanager
    def checkpoint(self, step: int, accelerator: Any) -> Iterator[Path]:
        """Give a folder to write to; it counts when the block ends, and is gone if it fails.

        Raises:
            OSError: the disk is full or fails.
        """
        is_main = bool(accelerator.is_main_process)
        began_s = time.monotonic()
        part = self._folder / f".step-{step}.part"
        if is_main:
            self._check_room()
            part_of(self._folder, step)
        accelerator.wait_for_everyone()
        try:
            yield part
            accelerator.wait_for_everyone()
            if is_main:
                done = commit(part, step, self._plan, self._setting)
                self._report(done, time.monotonic() - began_s)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        accelerator.wait_for_everyone()
        self._last_s = time.monotonic()

    def rotate(self, spare: Collection[int | None]) -> None:
        """Delete the older checkpoints, but not those of the steps in `spare`."""
        rotate(self._folder, KEPT, [step for step in spare if step is not None])

    def failure(self, step: int, error: Exception) -> str:
        """Say why a save failed, and what to do."""
        free = shutil.disk_usage(self._folder.parent).free
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        if not isinstance(error, OSError) and free < self._size_bytes:
            reason = os.strerror(errno.ENOSPC)  # PyTorch says at which line of its own it failed.
        needs = f" of about {self._size_bytes / 1e6:.0f} MB" if self._size_bytes else ""
        return (
            f"the checkpoint of step {step}{needs} can't be written to {str(self._folder)!r} "
            f"({free / 1e6:.0f} MB free): {reason}; the one before it is untouched: "
            "make room and resume"
        )

    def _check_room(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self._folder).free < ROOM * self._size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _report(self, done: Checkpoint, took_s: float) -> None:
        self._size_bytes = done.manifest.size_bytes
        values = {
            "path": f"{self._folder.name}/{done.path.name}",
            "digest": done.manifest.digest,
            "size_mb": round(self._size_bytes / 1e6, 3),
            "took_s": round(took_s, 3),
        }
        self._tell("checkpoint", done.manifest.step, values)
