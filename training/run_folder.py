"""A run's folder: everything that the run is made of but the base model.

runs/RUN/run.yaml            settings, digests, versions: written once
dataset/             the rows, and which of them are for training and evaluation
events.jsonl log.txt lock heartbeat.json mirror/
checkpoints/step-N/
adapter/ or model/   what was learnt, at the end
"""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from core.catalog import Catalog, ModelEntry
from core.digests import folder_digest
from core.errors import InputError, NotFoundError, StorageError
from core.providers.local import folder_here
from training.checkpoints import sync_folder
from training.config import TrainConfig
from training.datasets.splitting import FOLDER as SPLITS
from training.datasets.versions import ROWS as VERSION_ROWS
from training.datasets.versions import find_version

RUN, ROWS = "run.yaml", "dataset/rows.jsonl"
CHECKPOINTS = "checkpoints"
SIDES = ("train", "eval")
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes")
"""What the numbers of a run depend on, besides our code."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What a run is made of, as `run.yaml` has it."""

    run: str
    """Its name, and its folder's."""
    config: TrainConfig
    dataset_digest: str
    """`sha256:...` of the rows."""
    base_digest: str | None
    """`sha256:...` of the base's files; None when they had yet to be downloaded."""
    versions: Mapping[str, str]
    """Of the libraries, when the run was made."""
    threads: int
    """Threads of the processor that one process computes with; the sums depend on it."""
    created_at: str
    """ISO 8601, UTC."""

    def to_dict(self) -> dict[str, Any]:
        """Return what stands in `run.yaml`."""
        return asdict(self)

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> "RunSpec":
        """Read what stands in `run.yaml`.

        Raises:
            InputError: a key is missing, unknown or wrong.
        """
        known = {field.name for field in fields(RunSpec)}
        if set(raw) != known:
            odd = sorted(set(raw) ^ known)
            raise InputError(f"{RUN} lacks or misnames {', '.join(map(str, odd))}")
        return RunSpec(**{**raw, "config": TrainConfig.from_dict(raw["config"])})


def create_run(home: Path, name: str, config: TrainConfig, catalog: Catalog) -> Path:
    """Make the folder of a run, ready to be started; return it.

    Raises:
        InputError: the name can't be one or is taken, or the model is not local or no model.
        NotFoundError: there is no such dataset, or no folder of the model.
        ModelNotAllowedError: the catalog has no such model.
        StorageError: the folder can't be written.
    """
    base = _checked_base(config.model, base_entry(catalog, config.model))
    found = find_rows(home, config.dataset)
    folder = _claimed(home, name)
    try:
        (folder / ROWS).parent.mkdir()
        digest = _brought(found, folder)
        spec = RunSpec(
            run=name,
            config=config,
            dataset_digest=digest,
            base_digest=folder_digest(base) if base is not None else None,
            versions=library_versions(),
            threads=threads_here(),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with (folder / RUN).open("x", encoding="utf-8") as file:
            yaml.safe_dump(spec.to_dict(), file, sort_keys=False)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StorageError(
            f"the run's folder {str(folder)!r} can't be written: {error.strerror}"
        ) from error
    return folder


def read_run(folder: Path) -> RunSpec:
    """Return what a run is made of.

    Raises:
        NotFoundError: there is no run in the folder.
        InputError: `run.yaml` can't be read.
    """
    try:
        raw = yaml.safe_load((folder / RUN).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"no run in {str(folder)!r}: it has no {RUN}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{str(folder / RUN)!r} can't be read: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("config"), dict):
        raise InputError(f"{str(folder / RUN)!r} is not a run's settings")
    return RunSpec.from_dict(raw)


def base_entry(catalog: Catalog, model: str) -> ModelEntry:
    """Return the catalog's entry of a base that can be trained on.

    Raises:
        ModelNotAllowedError: the catalog has no such model.
        InputError: it is an adapter, a chain, an ensemble, or runs elsewhere.
    """
    entry = catalog.resolve(model).model
    if model not in catalog.models or entry.provider != "local":
        local = ", ".join(name for name, e in catalog.models.items() if e.provider == "local")
        raise InputError(f"{model!r} is no model on this machine to train on; local: {local}")
    return entry


def _checked_base(model: str, entry: ModelEntry) -> Path | None:
    """Return the base's folder; None: it is yet to be downloaded."""
    folder = folder_here(entry)
    if folder is None or (entry.hub and not folder.is_dir()):
        return None
    if not folder.is_dir():
        raise NotFoundError(f"{model!r} has no folder {str(folder)!r}")
    if not (folder / "config.json").is_file():
        raise InputError(f"{str(folder)!r} holds no model {model!r}: it has no config.json")
    return folder


class FoundRows(NamedTuple):
    """Where a dataset is."""

    rows: Path
    splits: Path | None
    """Folder of the ids of either side, which may not exist; None: there can be none."""
    is_fixed: bool
    """Whether nobody changes the rows: a version's, and not a file of somebody's."""


def find_rows(home: Path, dataset: str) -> FoundRows:
    """Return a dataset's file of rows and its folder of splits.

    `splits/` is a dataset's if its rows are in `rows.jsonl` beside it; a file of another name has
    none.

    Raises:
        NotFoundError: there is no such version or file.
    """
    path = Path(dataset).expanduser()
    if path.is_file():
        return FoundRows(path, path.parent / SPLITS if path.name == VERSION_ROWS else None, False)
    if (path / VERSION_ROWS).is_file():
        return FoundRows(path / VERSION_ROWS, path / SPLITS, False)
    if path.suffix or "/" in dataset:
        raise NotFoundError(f"no dataset in {dataset!r}: give NAME@VERSION or a file of rows")
    found = find_version(home, dataset)
    return FoundRows(found.path, found.folder / SPLITS, True)


def file_digest(path: Path) -> str:
    """Return `sha256:...` of a file.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def library_versions() -> dict[str, str]:
    """Return the versions of what the numbers depend on."""
    return {library: version(library) for library in LIBRARIES}


def check_run_name(name: str) -> None:
    """Refuse what can't be the name of a run, and so of a folder.

    Raises:
        InputError: it has other characters, or too many.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} can't be a run's name; use up to 100 letters, digits, '.', '_' and '-'"
        )


def _claimed(home: Path, name: str) -> Path:
    check_run_name(name)
    folder = home / "runs" / name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError as error:
        raise InputError(f"there is a run named {name!r} already; choose another name") from error
    except OSError as error:
        raise StorageError(f"{str(folder)!r} can't be created: {error.strerror}") from error
    return folder


def _brought(found: FoundRows, folder: Path) -> str:
    """Put the rows into the run's folder and digest them.

    Rows that nobody changes are not copied where the disk allows a link.
    """
    target = folder / ROWS
    if not (found.is_fixed and _is_linked(found.rows, target)):
        shutil.copyfile(found.rows, target)
    for side in SIDES:
        if found.splits and (found.splits / f"{side}.ids").is_file():
            shutil.copyfile(found.splits / f"{side}.ids", target.parent / f"{side}.ids")
    return file_digest(target)


def _is_linked(rows: Path, target: Path) -> bool:
    try:
        os.link(rows.resolve(), target)
    except OSError:
        return False
    return True


def threads_here() -> int:
    """Return how many threads PyTorch would use here."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() and int(told) else len(os.sched_getaffinity(0))
