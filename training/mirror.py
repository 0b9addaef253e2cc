"""Copy a run's checkpoints to another place while it trains.

    python -m training.mirror copy RUN_FOLDER URL

A process of its own: a network that hangs holds up no step. It ends when the worker has ended and
everything is there. Only `mirror/` in the run's folder is written to. `python -m training jobs
restore` brings a run back from there.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from core.errors import AppError
from training.checkpoints import committed
from training.job_lock import held, is_held
from training.mirror_files import (
    Store,
    copy_checkpoint,
    copy_once,
    copy_results,
    forget,
    mirrored,
    missing,
    open_store,
)
from training.mirror_state import FOLDER, STATE, MirrorState
from training.run_folder import CHECKPOINTS

DONE, FAILED, USAGE = 0, 1, 2
LOOK_S = 1.0
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
GIVE_UP_S = 3600.0
"""How long a mirror that fails goes on trying after the worker has ended."""


def main(arguments: list[str]) -> int:
    """Do what is asked; return the exit code."""
    try:
        if arguments[:1] == ["copy"] and len(arguments) == 3:
            folder = Path(arguments[1]).resolve()
            (folder / FOLDER).mkdir(exist_ok=True)
            with held(folder / FOLDER):
                return Mirror(folder, open_store(arguments[2], folder.name)).run()
    except AppError as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    sys.stderr.write(f"{__doc__}\n")
    return USAGE


class Mirror:
    """Follows one run."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder, self._store = folder, store
        self._step: int | None = None
        self._error: str | None = None

    def run(self) -> int:
        """Copy until the worker has ended and everything is there; return the exit code."""
        wait_s, ended_s = FIRST_WAIT_S, None
        while True:
            is_last = not is_held(self._folder)
            self._error = self._try(self._copy)
            self._write()
            if is_last and self._error is None:
                return DONE
            if is_last:
                ended_s = ended_s or time.monotonic()
                if time.monotonic() - ended_s > GIVE_UP_S:
                    return FAILED
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s) if self._error else LOOK_S
            time.sleep(wait_s)

    def _copy(self) -> None:
        """Bring the store up to date, the newest checkpoint first."""
        there = mirrored(self._store)
        self._step = max(there, default=None)
        copy_once(self._folder, self._store)
        for step in missing(self._folder, there):
            try:
                copy_checkpoint(self._folder, self._store, step)
            except FileNotFoundError:
                continue  # the run has gone on and deleted it
            self._step = max(self._step or 0, step)
            self._write()
        copy_results(self._folder, self._store)
        forget(self._folder, self._store)

    def _try(self, copy: Callable[[], None]) -> str | None:
        """Return why it failed; stores raise whatever their libraries do."""
        try:
            copy()
        except Exception as error:  # noqa: BLE001  # the outer edge of a job of its own
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            return f"{type(error).__name__}: {error}"[:500]
        return None

    def _write(self) -> None:
        """Say how far the mirror is."""
        newer = [s for s in committed(self._folder / CHECKPOINTS) if s > (self._step or -1)]
        state = MirrorState(
            step=self._step,
            behind=len(newer),
            lag_s=round(self._age_s(newer[0]), 1) if newer else 0.0,
            error=self._error,
            at=time.time(),
        )
        draft = self._folder / FOLDER / f".{STATE}"
        draft.write_text(json.dumps(state.to_dict()), encoding="utf-8")
        draft.replace(draft.with_name(STATE))

    def _age_s(self, step: int) -> float:
        try:
            return time.time() - (self._folder / CHECKPOINTS / f"step-{step}").stat().st_mtime
        except OSError:
            return 0.0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
