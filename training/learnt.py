"""What a run has learnt, put in its place: `adapter/`, or `model/` for all weights."""

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from core.digests import folder_digest
from core.errors import StorageError
from training.checkpoints import MANIFEST, sync_folder, verify
from training.config import TrainConfig

STATE = ("optimizer.pt", "scheduler.pt", "trainer_state.json", "scaler.pt", MANIFEST)
"""Files of a checkpoint that only training needs."""


class Learnt(NamedTuple):
    """Weights that are ready to be used."""

    path: Path
    digest: str


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
