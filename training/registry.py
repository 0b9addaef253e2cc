"""Adapter versions: copied from their runs, named, and never changed or removed.

    adapters/understudy-toolcall-v2/
        adapter_model.safetensors adapter_config.json run.yaml

A version counts once its row is in the store, and the row comes last. A folder is never replaced:
one without a row, which a kill has left or another database knows, keeps its number, and only the
same run's same adapter takes it over.
"""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from core.digests import folder_digest
from core.errors import AppError, InputError, NotFoundError, StorageError, TrainingError
from core.messages import JsonValue, new_id
from core.store import Store
from core.store.adapters import AdapterSource, StoredAdapter, StoredAdapters
from training.checkpoints import sync_folder
from training.config import TrainConfig
from training.events import Event, current, read_events
from training.recipes.saved import ADAPTER
from training.run_folder import RUN, RunSpec, read_run

NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")
MEASURED = ("trainable_parameters", "parameters", "examples", "eval_examples")
"""What a run tells of itself when it starts."""
LOST = ("best_step_lost",)
"""What a run tells of its end where its best checkpoint was lost and another one took its place."""


class Trained(NamedTuple):
    """A completed run's adapter, as its worker told of it."""

    spec: RunSpec
    digest: str
    base_digest: str
    figures: Mapping[str, JsonValue]


class Registry:
    """The adapter versions of one home; safe to share between threads and processes."""

    def __init__(self, store: Store, home: Path) -> None:
        self._stored = StoredAdapters(store)
        self._runs = home / "runs"
        self.folder = home / "adapters"
        """Holds the versions' folders."""

    def register(self, run: str) -> StoredAdapter:
        """Make a completed run's adapter a version, or return the one that was made before.

        From then on it may be used as `MODEL@VERSION`, in every process on this store.

        Raises:
            NotFoundError: there is no such run.
            InputError: it is not completed, or trained all weights.
            TrainingError: the adapter's files are not what the worker has written.
            StorageError: the disk is full, or the store can't be used now.
        """
        trained = read_trained(self._runs / run)
        if (known := self._stored.of_run(run)) is not None and known.digest == trained.digest:
            return known
        draft = self.folder / f".{new_id()}"
        try:
            _copy(self._runs / run, draft, trained.digest)
            return self._add(trained, draft)
        except OSError as error:
            raise StorageError(
                f"the adapter of run {run!r} can't be copied: {error.strerror} ({error.filename})"
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def list(self) -> tuple[StoredAdapter, ...]:
        """Return all versions, oldest first."""
        return self._stored.all()

    def get(self, name: str) -> StoredAdapter:
        """Return one version, by its name or as `MODEL@VERSION`.

        Raises:
            NotFoundError: there is none of this name, or it is another model's.
        """
        model, _, version = name.rpartition("@")
        stored = self._stored.get(version)
        if model and model != stored.model:
            raise NotFoundError(
                f"no adapter named {name[:80]!r}; {version!r} is of {stored.model!r}"
            )
        return stored

    def check(self, name: str) -> Path:
        """Return a version's folder if it is what was registered.

        Raises:
            NotFoundError: there is none of this name.
            StorageError: its files are missing, or not those that were registered.
        """
        stored = self.get(name)
        folder = self.folder / stored.name
        if folder_digest(folder) != stored.digest:
            raise StorageError(
                f"adapter {stored.name!r} is not what was registered: files in {str(folder)!r} "
                "have changed; put them back, or train it again"
            )
        return folder

    def register_if_any(self, run: str) -> None:
        """Make a completed run's adapter a version; of a run that trained all weights, nothing.

        Raises:
            AppError: as `register`.
        """
        if read_run(self._runs / run).config.method != "full":
            self.register(run)

    def _add(self, trained: Trained, draft: Path) -> StoredAdapter:
        """Give a complete copy its name and its row."""
        config, run = trained.spec.config, trained.spec.run
        purpose = purpose_of(config)
        stem = f"{slug(config.model)}-{purpose}"

        def make(number: int) -> StoredAdapter:
            target = self._placed(draft, stem, number)
            return StoredAdapter(
                name=target.name,
                model=config.model,
                purpose=purpose,
                number=int(target.name.rpartition("-v")[2]),
                digest=trained.digest,
                base_digest=trained.base_digest,
                size_bytes=(target / ADAPTER[0]).stat().st_size,
                run=run,
                dataset=config.dataset,
                dataset_digest=trained.spec.dataset_digest,
                figures=trained.figures,
                created_at=datetime.now(UTC),
            )

        return self._stored.add(AdapterSource(stem, run, trained.digest), make)

    def _placed(self, draft: Path, stem: str, number: int) -> Path:
        """Give a copy the first name from this number on that no other folder has.

        Raises:
            OSError: the disk fails.
        """
        while (place := self.folder / f"{stem}-v{number}").exists():
            if _is_same(place, draft):
                return place
            number += 1
        draft.rename(place)
        sync_folder(self.folder)
        return place


def read_trained(folder: Path) -> Trained:
    """Return what a completed run has made.

    Raises:
        NotFoundError: there is no run in the folder.
        InputError: it is not completed, or trained all weights.
    """
    spec = read_run(folder)
    if spec.config.method == "full":
        raise InputError(
            f"run {spec.run!r} trained all weights, so it made a model and no adapter; add its "
            "folder 'model' to the catalog's models"
        )
    events = list(current(read_events(folder)))
    if not events or events[-1]["kind"] != "completed":
        said = events[-1]["kind"] if events else "nothing yet"
        raise InputError(
            f"run {spec.run!r} is not completed (its last event: {said}); only a completed run's "
            "adapter becomes a version"
        )
    starts = [event for event in events if event["kind"] == "started"]
    base = str(starts[-1]["base_digest"])
    return Trained(spec, str(events[-1]["digest"]), base, training_figures(events))


def training_figures(events: "list[Event]") -> dict[str, JsonValue]:
    """Return what was measured while a run was trained; losses are per token, times in seconds."""
    steps = [event for event in events if event["kind"] == "step"]
    start = next((event for event in events if event["kind"] == "started"), {})
    end: Mapping[str, Any] = events[-1] if events else {}
    return {
        "steps": steps[-1]["step"] if steps else 0,
        "loss": steps[-1].get("loss") if steps else None,
        "eval_loss": end.get("eval_loss"),
        "best_step": end.get("best_step"),
        "tokens": sum(int(step.get("tokens") or 0) for step in steps),
        "memory_gb": max((float(step.get("memory_gb") or 0) for step in steps), default=None),
        **{name: start.get(name) for name in MEASURED},
        **{name: end[name] for name in LOST if name in end},
    }


def purpose_of(config: TrainConfig) -> str:
    """Return what a version is for, in one word: its preset, or else its recipe."""
    return slug(config.preset or config.recipe).replace("-", "")


def slug(text: str) -> str:
    """Return a text as a part of a version's name."""
    return NOT_IN_NAMES.sub("-", text.lower()).strip("-.") or "model"


def adapter_to_dict(stored: StoredAdapter, folder: Path) -> dict[str, JsonValue]:
    """Return a version as JSON; `id` is what chats and evaluations call it by."""
    row = asdict(stored)
    return {
        "id": f"{stored.model}@{stored.name}",
        **row,
        "created_at": stored.created_at.isoformat(),
        "path": str(folder / stored.name),
    }


def _is_same(place: Path, draft: Path) -> bool:
    """Say whether a folder holds the same run's same adapter."""
    try:
        runs = [(folder / RUN).read_bytes() for folder in (place, draft)]
        return runs[0] == runs[1] and folder_digest(place) == folder_digest(draft)
    except (OSError, AppError):
        return False


def _copy(run: Path, draft: Path, digest: str) -> None:
    """Copy a run's adapter and settings to the disk itself, to be read by all and written by none.

    Raises:
        TrainingError: the adapter is not what the worker has written.
    """
    draft.mkdir(parents=True)
    for path in (*sorted((run / "adapter").iterdir()), run / RUN):
        target = draft / path.name
        shutil.copyfile(path, target)
        target.chmod(0o444)
        with target.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(draft)
    if folder_digest(draft) != digest:
        raise TrainingError(
            f"{str(run / 'adapter')!r} is not what the run's worker has written: its digest is "
            f"not {digest}; resume the run, which writes it again"
        )
