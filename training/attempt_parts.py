"""What an attempt begins with: threads, the base's folder, the rows."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from core.catalog import located
from core.catalog_files import load_catalog
from core.digests import folder_digest
from core.errors import InputError, NotFoundError, StorageError
from core.providers.hub import fetch_snapshot
from core.settings import Settings
from training.config import TrainConfig
from training.datasets.example import Example
from training.datasets.versions import read_examples
from training.recipes.rows import Row, prepare
from training.run_folder import ROWS, SIDES, RunSpec, base_entry, file_digest


class Rows(NamedTuple):
    """A dataset in tokens."""

    train: tuple[Row, ...]
    eval: tuple[Row, ...]


def set_up(threads: int) -> int:
    """Make PyTorch compute the same way every time; return the number of processes."""
    import torch

    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    return int(os.environ.get("WORLD_SIZE", "1"))


def main_first(world: int) -> AbstractContextManager[Any]:
    """Let the main process through a block before the others."""
    if world == 1:
        return nullcontext()
    import torch
    from accelerate import PartialState

    context: AbstractContextManager[Any] = PartialState(
        cpu=not torch.cuda.is_available()
    ).main_process_first()
    return context


def base_folder(model: str, settings: Settings) -> Path:
    """Return the base's folder, downloading it if need be.

    Raises:
        NotFoundError: its folder is missing.
        UnavailableError: it can't be downloaded.
    """
    entry = base_entry(load_catalog(settings), model)
    if not entry.path:
        token = settings.environment.get("HF_TOKEN")
        return _fetched(str(entry.hub), str(entry.revision), token)
    folder = located(entry.path)
    if not folder.is_dir():
        raise NotFoundError(f"{model!r} has no folder {str(folder)!r}")
    return folder


def base_digest(folder: Path, spec: RunSpec) -> str:
    """Return the digest of the base's files.

    Raises:
        InputError: it is not the base that the run was made for.
    """
    digest = folder_digest(folder)
    if spec.base_digest not in (None, digest):
        raise InputError(
            f"the files of {spec.config.model!r} have changed since the run was made: digest "
            f"{digest}, expected {spec.base_digest}; start a new run"
        )
    return digest


def load_rows(folder: Path, spec: RunSpec, tokenizer: Any) -> Rows:
    """Return the run's rows in tokens: those of the train split, or all, and the eval split.

    Raises:
        InputError: the rows are not those the run was made for, or can't be trained on.
        StorageError: they can't be read.
    """
    path = folder / ROWS
    try:
        digest = file_digest(path)
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be read: {error.strerror}") from error
    if digest != spec.dataset_digest:
        raise InputError(
            f"the rows have changed since the run was made: digest {digest}, expected "
            f"{spec.dataset_digest}; start a new run"
        )
    return read_rows(path, path.parent, spec.config, tokenizer)


def read_rows(path: Path, splits: Path | None, config: TrainConfig, tokenizer: Any) -> Rows:
    """Return the rows of a file in tokens; `splits` may hold the ids of either side.

    Raises:
        InputError: they can't be trained on, or a split names examples that are not there.
        StorageError: they can't be read.
    """
    wanted = {side: _ids(splits / f"{side}.ids") if splits else None for side in SIDES}
    train, evaluation = wanted["train"], wanted["eval"]
    found: dict[str, list[Example]] = {side: [] for side in SIDES}
    for example in read_examples(path):
        if train is None or example.id in train:
            found["train"].append(example)
        elif evaluation is not None and example.id in evaluation:
            found["eval"].append(example)
    for side, ids in wanted.items():
        if ids is not None and len(found[side]) != len(ids):
            raise InputError(
                f"the {side} split names {len(ids)} examples and the rows have "
                f"{len(found[side])} of them; split the dataset again"
            )
    given = (found[side] for side in SIDES)
    return Rows(*(prepare(each, tokenizer, config.max_length, config.recipe) for each in given))


def _ids(path: Path) -> frozenset[str] | None:
    """Return a split's ids, one a line; None where there is no split."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be read: {error.strerror}") from error
    return frozenset(line for line in lines if line)


def _fetched(hub: str, revision: str, token: str | None) -> Path:
    """Download a base; what was downloaded before is not asked for again."""
    steps: Iterator[Any] = fetch_snapshot(hub, revision, token)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Path = end.value
            return found
