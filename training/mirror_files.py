"""A run's files in two places: this disk, and a store that outlives it, by an fsspec URL.

A checkpoint's manifest goes last, so what lies there without one does not count. Digests are
verified when a run comes back.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from core.errors import InputError, NotFoundError, StorageError
from training.checkpoints import MANIFEST, STEP, committed, read_manifest, verify
from training.run_folder import CHECKPOINTS, ROWS, RUN, SIDES

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

RESULTS = ("adapter", "model")
ONCE = (RUN, ROWS, *(f"dataset/{side}.ids" for side in SIDES))
"""Files that are written once."""
LISTED = 20
"""Runs of a mirror that an error names."""


@dataclass(frozen=True)
class Store:
    """One run's place in a store."""

    system: "AbstractFileSystem"
    root: str

    def path(self, name: str) -> str:
        """Return where a file of the run is."""
        return f"{self.root}/{name}"

    def size(self, name: str) -> int | None:
        """Return a file's bytes; None when it is not there."""
        self.system.invalidate_cache()
        try:
            return int(self.system.info(self.path(name))["size"])
        except FileNotFoundError:
            return None

    def put(self, source: Path, name: str) -> None:
        """Copy a file there.

        Raises:
            StorageError: another number of bytes arrived.
        """
        self.system.makedirs(str(PurePosixPath(self.path(name)).parent), exist_ok=True)
        self.system.put_file(str(source), self.path(name))
        if (size := self.size(name)) != source.stat().st_size:
            raise StorageError(f"{name} arrived with {size} of {source.stat().st_size} bytes")

    def get(self, name: str, target: Path) -> None:
        """Copy a file from there."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self.system.get_file(self.path(name), str(target))

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the files below a folder, relative to the run; none if it is not there."""
        self.system.invalidate_cache()
        found = self.system.find(self.path(folder))
        start = len(self.system._strip_protocol(self.root)) + 1
        return tuple(sorted(str(each)[start:] for each in found))

    def drop(self, folder: str) -> None:
        """Delete a folder; its manifest first, so that no half of it ever counts."""
        if self.size(f"{folder}/{MANIFEST}") is not None:
            self.system.rm_file(self.path(f"{folder}/{MANIFEST}"))
        self.system.rm(self.path(folder), recursive=True)


def open_store(url: str, run: str) -> Store:
    """Return a run's place in the store at a URL.

    Raises:
        InputError: there is no such kind of store, or its package is not installed.
    """
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise InputError(f"the mirror's URL can't be used: {error}") from error
    return Store(system, f"{path.rstrip('/')}/{run}")


def mirrored(store: Store) -> tuple[int, ...]:
    """Return the steps of the checkpoints that are there whole, ascending."""
    found = [PurePosixPath(name) for name in store.names(CHECKPOINTS)]
    steps = [STEP.fullmatch(name.parent.name) for name in found if name.name == MANIFEST]
    return tuple(sorted(int(step[1]) for step in steps if step is not None))


def missing(folder: Path, there: tuple[int, ...]) -> tuple[int, ...]:
    """Return the steps that only this disk has, newest first."""
    own = committed(folder / CHECKPOINTS)
    return tuple(sorted(set(own) - set(there), reverse=True))


def copy_once(folder: Path, store: Store) -> None:
    """Copy what is written once and not there yet: settings and rows."""
    for name in ONCE:
        path = folder / name
        if path.is_file() and store.size(name) != path.stat().st_size:
            store.put(path, name)


def copy_checkpoint(folder: Path, store: Store, step: int) -> None:
    """Copy a checkpoint, its manifest last.

    Raises:
        FileNotFoundError: it was deleted on the way; a newer one has come.
    """
    path = folder / CHECKPOINTS / f"step-{step}"
    try:
        names = read_manifest(path).files
    except ValueError as error:
        raise FileNotFoundError(str(error)) from error
    for name in (*names, MANIFEST):
        store.put(path / name, f"{CHECKPOINTS}/step-{step}/{name}")


def copy_results(folder: Path, store: Store) -> None:
    """Copy what happened so far, and what was learnt if the run is done."""
    for result in RESULTS:
        for path in sorted((folder / result).glob("*")):
            if store.size(f"{result}/{path.name}") != path.stat().st_size:
                store.put(path, f"{result}/{path.name}")
    for name in ("events.jsonl", "log.txt"):
        if (folder / name).is_file():
            _put_growing(folder / name, store, name)


def forget(folder: Path, store: Store) -> None:
    """Delete checkpoints there that this disk has given up for newer ones.

    A disk that was emptied gives up nothing: only steps older than one that both have are deleted.
    """
    own, there = set(committed(folder / CHECKPOINTS)), mirrored(store)
    shared = max(own & set(there), default=0)
    for step in there:
        if step not in own and step < shared:
            store.drop(f"{CHECKPOINTS}/step-{step}")


def restore(url: str, run: str, runs: Path) -> Path:
    """Bring a run back from its mirror to a disk that does not have it; return its folder.

    Damaged checkpoints are left out. The run can then be resumed.

    Raises:
        InputError: the disk has a run of this name, or the URL can't be used.
        NotFoundError: the mirror has no such run.
        StorageError: the disk or the store fails.
    """
    store, folder = open_store(url, run), runs / run
    if folder.exists():
        raise InputError(f"{str(folder)!r} is there already; resume it, or move it away")
    draft = runs / f".{run}.part"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        if store.size(RUN) is None:
            raise NotFoundError(f"the mirror has no run named {run!r}; {_there(url)}")
        for name in _wanted(store):
            store.get(name, draft / name)
        for step in committed(draft / CHECKPOINTS):
            _drop_damaged(draft / CHECKPOINTS / f"step-{step}")
        draft.rename(folder)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise StorageError(f"run {run!r} can't be brought back: {error}") from error
    return folder


def _there(url: str) -> str:
    """Return which runs a mirror has, in words."""
    store = open_store(url, "")
    try:
        found = store.system.ls(store.root.rstrip("/"), detail=False)
    except FileNotFoundError:
        found = []
    names = sorted(PurePosixPath(str(each)).name for each in found)
    return f"it has: {', '.join(names[:LISTED])}" if names else "it has none"


def _wanted(store: Store) -> Iterator[str]:
    whole = {f"step-{step}" for step in mirrored(store)}
    for name in store.names(""):
        parts = PurePosixPath(name).parts
        if parts[0] != CHECKPOINTS or (len(parts) > 1 and parts[1] in whole):
            yield name


def _drop_damaged(path: Path) -> None:
    try:
        verify(path)
    except ValueError:
        shutil.rmtree(path)


def _put_growing(path: Path, store: Store, name: str) -> None:
    """Copy a file that is being appended to: what it holds now."""
    content: Any = path.read_bytes()
    if store.size(name) != len(content):
        store.system.pipe_file(store.path(name), content)
