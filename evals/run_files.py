"""The folder of a run: manifest, generations, grades, summary, and the lock of who carries it out.

A line that is on disk with its line break counts; what a kill left of the last one is cut off.
"""

import json
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import NotFoundError, StorageError
from evals.lock import is_held
from evals.manifest import Key, Manifest
from evals.run_rows import Row, grade_from_dict, grade_line
from evals.sample import Grade

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}")
SYNC_S = 1.0
"""How often answers are forced to the disk; a kill loses none, a loss of power those since."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run on disk."""

    path: Path

    @property
    def run(self) -> str:
        """Return the run's name."""
        return self.path.name

    @property
    def generations_path(self) -> Path:
        """Return where the answers are."""
        return self.path / "generations.jsonl"

    def manifest(self) -> Manifest:
        """Read the manifest.

        Raises:
            StorageError: it can't be read.
        """
        return Manifest.from_dict(_object(self.path / "manifest.json"))

    def rows(self) -> list[Row]:
        """Return all attempts in the order in which they ended.

        Raises:
            StorageError: a whole line can't be read.
        """
        return [Row.from_dict(value) for value in _lines(self.generations_path)]

    def grades(self) -> list[Grade]:
        """Return the grades in the planned order; empty where nothing was graded yet."""
        return [grade_from_dict(value) for value in _lines(self.path / "grades.jsonl")]

    def write_grades(self, grades: Iterable[Grade]) -> None:
        """Put the grades in place of the old ones, whole or not at all."""
        write_whole(self.path / "grades.jsonl", b"".join(map(grade_line, grades)))

    def summary(self) -> dict[str, Any] | None:
        """Return the summary as its last writer left it; None before the first."""
        path = self.path / "summary.json"
        return _object(path) if path.exists() else None

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Put the summary in place of the old one, whole or not at all."""
        write_whole(self.path / "summary.json", _pretty(summary))

    def clear_summary(self) -> None:
        """Remove the summary of an earlier session: until this one ends there is no result."""
        with suppress(FileNotFoundError):
            (self.path / "summary.json").unlink()

    def status(self) -> str:
        """Return `running`, `interrupted` (its process died), or what the summary says."""
        if is_held(self.path):
            return "running"
        found = self.summary()
        return "interrupted" if found is None else str(found["status"])


class Writer:
    """Appends attempts to a run's generations; safe to share between threads."""

    def __init__(self, folder: RunFolder) -> None:
        self._lock = threading.Lock()
        self._path = folder.generations_path
        self._synced = time.monotonic()
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        _cut_torn_line(self._file)

    def append(self, rows: Sequence[Row]) -> None:
        """Write the rows together.

        Raises:
            StorageError: the disk is full or gone.
        """
        rest = memoryview(b"".join(row.to_line() for row in rows))
        with self._lock:
            try:
                while rest:
                    rest = rest[os.write(self._file, rest) :]
                if time.monotonic() - self._synced >= SYNC_S:
                    os.fsync(self._file)
                    self._synced = time.monotonic()
            except OSError as error:
                raise _unwritable(self._path, error) from error

    def close(self) -> None:
        """Force what was written to the disk."""
        os.fsync(self._file)
        os.close(self._file)


def runs_folder(home: Path) -> Path:
    """Return where the runs are."""
    return home / "evals"


def open_run(home: Path, run: str) -> RunFolder:
    """Return a run that exists.

    Raises:
        NotFoundError: there is none of this name.
    """
    folder = RunFolder(runs_folder(home) / run)
    if not RUN_NAME.fullmatch(run) or not (folder.path / "manifest.json").is_file():
        raise NotFoundError(
            f"no run named {run[:160]!r} in {str(runs_folder(home))!r}; "
            "see `python -m evals leaderboard`"
        )
    return folder


def create_run(home: Path, manifest: Manifest) -> RunFolder:
    """Make the folder of a run with its manifest, and force both to the disk.

    Raises:
        StorageError: the folder can't be written.
    """
    folder = RunFolder(runs_folder(home) / manifest.run)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder.path, error) from error
    write_whole(folder.path / "manifest.json", _pretty(manifest.to_dict()))
    return folder


def last_rows(rows: Iterable[Row]) -> dict[Key, Row]:
    """Return the attempt that counts for each answer: the last one."""
    return {row.key: row for row in rows}


def drop_partial_units(folder: RunFolder, units: Iterable[Sequence[Key]]) -> None:
    """Take out what was written of batches that were not written whole.

    Raises:
        StorageError: the file can't be written.
    """
    rows = folder.rows()
    present = {row.key for row in rows}
    partial = {key for unit in units if not present.issuperset(unit) for key in unit} & present
    if partial:
        kept = [row.to_line() for row in rows if row.key not in partial]
        write_whole(folder.generations_path, b"".join(kept))


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in its place so that a reader or a kill sees the old or the new one, no mixture.

    Raises:
        StorageError: it can't be written.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.draft")
    try:
        with draft.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _pretty(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(f"{str(path)!r} can't be read: {error}") from error
    if not isinstance(value, dict):
        raise StorageError(f"{str(path)!r} can't be read: it holds no object")
    return value


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        *lines, _ = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be read: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise StorageError(f"{str(path)!r}, line {number}, can't be read: {error}") from error
        if not isinstance(value, dict):
            raise StorageError(f"{str(path)!r}, line {number}, can't be read: no object")
        yield value


def _cut_torn_line(file: int) -> None:
    """Take away what a killed process has left of its last line."""
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.ftruncate(file, os.pread(file, size, 0).rfind(b"\n") + 1)


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{str(path)!r} can't be written: {error.strerror}")
