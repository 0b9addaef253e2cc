"""What a run has learnt, put in its place: `adapter/`, or `model/` for all weights."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.digests import folder_digest
from core.errors import StorageError
from training.checkpoints import MANIFEST, committed, sync_folder, verify
from training.config import TrainConfig

STATE = ("optimizer.pt", "scheduler.pt", "trainer_state.json", "scaler.pt", MANIFEST)
"""Files of a checkpoint that only training needs."""


class Learnt(NamedTuple):
    """Weights that are ready to be used."""

    path: Path
    digest: str


class Choice(NamedTuple):
    """The checkpoint that a run's result is taken from."""

    step: int
    wanted: int
    """The best one, or the last where nothing was evaluated."""
    lost: str | None = None
    """Why the wanted one can't be taken; None: it is."""


def choose(folder: Path, losses: Sequence[tuple[int, float]], last: int) -> Choice:
    """Return the step with the least evaluation loss whose checkpoint is whole, else the newest.

    `losses` are steps and losses of the evaluations; `last` is the last step that was done.

    Raises:
        StorageError: no checkpoint is whole.
    """
    ranked = [step for _, step in sorted((loss, step) for step, loss in losses)]
    wanted = ranked[0] if ranked else last
    reasons: dict[int, str] = {}
    for step in dict.fromkeys([wanted, *ranked, *reversed(committed(folder))]):
        try:
            verify(folder / f"step-{step}")
        except ValueError as error:
            reasons[step] = str(error)
        else:
            return Choice(step, wanted, reasons.get(wanted))
    raise StorageError(f"no checkpoint in {str(folder)!r} is whole: {reasons[wanted]}")


def put_in_place(folder: Path, checkpoint: Path, config: TrainConfig, tokenizer: Any) -> Learnt:
    """Copy the weights of a whole checkpoint to where a run's result is.

    Raises:
        StorageError: the checkpoint is damaged, or the disk is full.
    """
    target = folder / ("model" if config.method == "full" else "adapter")
    draft = folder / f".{target.name}.part"
    try:
        names = verify(checkpoint).files
    except ValueError as error:
        raise StorageError(f"checkpoint {str(checkpoint)!r} is damaged: {error}") from error
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        for name in names:
            if name not in STATE and not name.startswith("rng_state"):
                shutil.copyfile(checkpoint / name, draft / name)
        if config.method == "full":
            tokenizer.save_pretrained(draft)
        for path in draft.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
        sync_folder(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise StorageError(
            f"what was learnt can't be written to {str(target)!r}: {error.strerror}"
        ) from error
    return Learnt(target, folder_digest(target))
