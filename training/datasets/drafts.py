"""Writing dataset versions: a version appears whole or not at all.

It is written beside its place and moved there; what a killed process left is swept away later.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from core.errors import InputError, StorageError
from core.messages import JsonObject
from core.rows.refusals import Refusals
from training.datasets.example import Example
from training.datasets.versions import (
    MANIFEST,
    NUMBER,
    REFUSED,
    ROWS,
    Version,
    check_name,
    list_versions,
    sync_folder,
    write_synced,
)

SCRATCH = ".new-"
LEFT_BEHIND_S = 86_400
"""Age from which a folder of a version in the making is nobody's any more."""


class Draft:
    """Rows on their way to become a version; dropped unless it is committed."""

    def __init__(self, scratch: Path, home: Path, name: str) -> None:
        self.rows = 0
        self._scratch, self._home, self._name = scratch, home, name
        self._hash = hashlib.sha256()
        self._handle = (scratch / ROWS).open("wb")

    def add(self, example: Example) -> None:
        """Write one row.

        Raises:
            InputError: the row is not JSON that can be stored; nothing of it was written.
        """
        try:
            line = example.to_line().encode("utf-8")
        except (ValueError, TypeError) as error:
            raise InputError(f"the row can't be written as JSON: {error}") from error
        self._handle.write(line)
        self._hash.update(line)
        self.rows += 1

    def attach(self, name: str, texts: Iterable[str]) -> None:
        """Put another file beside the rows, a line a text."""
        write_synced(self._scratch / name, "".join(texts))

    def attach_refusals(self, refusals: Refusals) -> None:
        """Put beside the rows what was refused and why, if anything was."""
        if refusals.total:
            self.attach(REFUSED, [json.dumps(refusals.to_dict(), indent=1)])

    def commit(self, how: JsonObject, parent: str | None = None) -> Version:
        """Put the version in its place; return the one that is there if it has the same rows."""
        self._sync()
        digest = f"sha256:{self._hash.hexdigest()}"
        for known in list_versions(self._home, self._name):
            if known.digest == digest:
                return known
        place = self._home / "datasets" / self._name
        place.mkdir(parents=True, exist_ok=True)
        number = _next(place)
        while True:
            version = Version(
                folder=place / f"v{number}",
                name=self._name,
                version=f"v{number}",
                digest=digest,
                parent=parent,
                rows=self.rows,
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                how=how,
            )
            write_synced(self._scratch / MANIFEST, _text(version.to_dict()))
            try:
                os.rename(self._scratch, version.folder)
            except OSError:
                if not version.folder.exists():
                    raise
                number += 1  # Someone else was faster.
                continue
            sync_folder(place)
            return version

    def close(self) -> None:
        """Let go of the file."""
        self._handle.close()

    def _sync(self) -> None:
        self._handle.flush()
        os.fsync(self._handle.fileno())
        self._handle.close()


@contextmanager
def draft(home: Path, name: str) -> Iterator[Draft]:
    """Open a version to be written; whatever is not committed leaves nothing behind.

    Raises:
        InputError: the name can't be one.
        StorageError: the disk refuses.
    """
    check_name(name)
    folder = home / "datasets"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=folder))
        scratch.chmod(0o755)
        try:
            new = Draft(scratch, home, name)
            try:
                yield new
            finally:
                new.close()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"the dataset can't be written to {str(folder)!r}: {error.strerror or error}"
        ) from error


def write_version(
    home: Path, name: str, examples: Iterable[Example], how: JsonObject, parent: str | None = None
) -> Version:
    """Write a version of these examples.

    Raises:
        InputError: there are none, or the name can't be one.
        StorageError: the disk refuses; nothing is left behind.
    """
    with draft(home, name) as new:
        for example in examples:
            new.add(example)
        if not new.rows:
            raise InputError(f"no row is left for a version of {name!r}")
        return new.commit(how, parent)


def _sweep(folder: Path) -> None:
    """Remove what processes left behind that were killed while they wrote."""
    for scratch in folder.glob(f"{SCRATCH}*"):
        if time.time() - scratch.stat().st_mtime > LEFT_BEHIND_S:
            shutil.rmtree(scratch, ignore_errors=True)


def _next(place: Path) -> int:
    numbers = [int(match[1]) for f in place.iterdir() if (match := NUMBER.fullmatch(f.name))]
    return max(numbers, default=0) + 1


def _text(manifest: JsonObject) -> str:
    return json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
