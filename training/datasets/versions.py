"""Dataset versions: folders of rows that are written once and never changed.

`$UNDERSTUDY_HOME/datasets/NAME/VERSION/` holds `rows.jsonl` and `manifest.json`; `drafts.py` writes
them.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import InputError, NotFoundError, StorageError
from core.messages import JsonObject, JsonValue
from core.rows.json_lines import json_lines
from training.datasets.example import Example, example_of

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
NUMBER = re.compile(r"v([1-9][0-9]{0,8})")
ROWS, MANIFEST, REFUSED = "rows.jsonl", "manifest.json", "refused.json"
KEYS = ("name", "version", "digest", "parent", "rows", "created_at", "how")


@dataclass(frozen=True, slots=True)
class Version:
    """A dataset version on disk."""

    folder: Path
    name: str
    version: str
    """`v1`, `v2`, ..."""
    digest: str
    """`sha256:...` of `rows.jsonl`."""
    parent: str | None
    """Digest of the version that this one was made from."""
    rows: int
    created_at: str
    """ISO 8601, UTC."""
    how: JsonObject = field(hash=False)
    """The command that made it, and its arguments."""

    @property
    def reference(self) -> str:
        """`NAME@VERSION`, as a run names its dataset."""
        return f"{self.name}@{self.version}"

    @property
    def path(self) -> Path:
        """The rows."""
        return self.folder / ROWS

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the manifest."""
        return {
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "parent": self.parent,
            "rows": self.rows,
            "created_at": self.created_at,
            "how": self.how,
        }


def check_name(name: str) -> None:
    """Refuse what can't be the name of a dataset.

    Raises:
        InputError: it has other characters than lower-case letters, digits, - and _.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} can't be a dataset's name; use up to 64 of a-z, 0-9, - and _, "
            "beginning with a letter or digit"
        )


def find_version(home: Path, reference: str) -> Version:
    """Return `NAME@VERSION`, or the newest version of `NAME`.

    Raises:
        InputError: the name can't be one.
        NotFoundError: there is no such version; the text lists what there is.
        StorageError: its manifest can't be read.
    """
    name, _, wanted = reference.partition("@")
    check_name(name)
    known = list_versions(home, name)
    for version in reversed(known):
        if wanted in ("", version.version):
            return version
    listed = ", ".join(v.reference for v in known) or ", ".join(dataset_names(home)) or "none yet"
    raise NotFoundError(f"no dataset {reference[:80]!r}; there are: {listed}")


def list_versions(home: Path, name: str) -> tuple[Version, ...]:
    """Return a dataset's versions, oldest first.

    Raises:
        StorageError: a manifest can't be read.
    """
    place = home / "datasets" / name
    if not place.is_dir():
        return ()
    folders = [folder for folder in place.iterdir() if NUMBER.fullmatch(folder.name)]
    return tuple(_read(folder) for folder in sorted(folders, key=lambda f: int(f.name[1:])))


def dataset_names(home: Path) -> tuple[str, ...]:
    """Return the names of all datasets, sorted."""
    folder = home / "datasets"
    if not folder.is_dir():
        return ()
    return tuple(sorted(f.name for f in folder.iterdir() if NAME.fullmatch(f.name)))


def read_examples(path: Path) -> Iterator[Example]:
    """Yield the examples of a version's rows, one at a time.

    Raises:
        NotFoundError: there is no such file.
        StorageError: the file can't be read, or a line is no example: someone changed it.
    """
    for line in json_lines(path):
        try:
            if line.problem is not None:
                raise InputError(line.problem)
            yield example_of(line.value)
        except InputError as error:
            raise StorageError(f"{path.name}, line {line.number}: {error}") from error


def check_digest(version: Version) -> None:
    """Make sure that the rows are those that were written.

    Raises:
        StorageError: they are not, or can't be read.
    """
    try:
        with version.path.open("rb") as handle:
            digest = f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"
    except OSError as error:
        raise StorageError(f"{str(version.path)!r} can't be read: {error.strerror}") from error
    if digest != version.digest:
        raise StorageError(
            f"the rows of {version.reference} have changed since they were written: digest "
            f"{digest}, expected {version.digest}; import the dataset again"
        )


def refused_rows(version: Version) -> JsonObject:
    """Return what was refused when the version was made: `refused`, `reasons`, `examples`.

    Empty: nothing was, or the version was made of another one.
    """
    try:
        told = json.loads((version.folder / REFUSED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def write_synced(path: Path, text: str) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the folder's names are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(folder: Path) -> Version:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if set(manifest) != set(KEYS):
            raise ValueError(f"its keys must be {', '.join(KEYS)}")
        return Version(folder=folder, **manifest)
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"{str(path)!r} can't be read: {error}") from error
