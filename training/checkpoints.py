"""Checkpoints that count only when whole: a manifest of digests, written and synced last, says so.

    checkpoints/step-120/{adapter_model.safetensors, optimizer.pt, ..., manifest.json}
    checkpoints/.step-130.part/     being written, or left by a kill; never counted
    checkpoints/step-110.damaged/   set aside; kept for whoever wants to know, never counted

Sources: Pillai et al. (OSDI 2014), what file systems promise; knowledge of what the libraries' own
savers lack (no fsync, no digests) is in `docs/decisions`.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import StorageError

MANIFEST = "manifest.json"
FORMAT = 1
STEP = re.compile(r"step-(\d+)")
PART = re.compile(r"\.step-\d+\.part")
TRASH = ".trash"
"""Ends the name of a checkpoint that is being deleted."""


@dataclass(frozen=True, slots=True)
class FileMark:
    """What a file must be."""

    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What makes a checkpoint whole, and what it belongs to."""

    step: int
    """Optimizer steps done."""
    plan: str
    """Digest of everything that the run's numbers follow from; another one can't go on from it."""
    setting: Mapping[str, str]
    """Versions, device, threads: what must be the same for the numbers to be exactly the same."""
    files: Mapping[str, FileMark]
    created_at: float
    """Seconds since 1970."""
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """`sha256:...` over the names and digests of the files."""
        text = "".join(f"{name} {mark.sha256}\n" for name, mark in sorted(self.files.items()))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    @property
    def size_bytes(self) -> int:
        """Return the size of all files together."""
        return sum(mark.size for mark in self.files.values())

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> "Manifest":
        """Read a manifest.

        Raises:
            ValueError: it is no manifest of this format.
        """
        try:
            files = {str(n): FileMark(int(m["size"]), m["sha256"]) for n, m in raw["files"].items()}
            if raw["format"] != FORMAT:
                raise ValueError(f"its format is {raw['format']!r}")
            manifest = Manifest(
                int(raw["step"]), raw["plan"], raw["setting"], files, float(raw["created_at"])
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it lacks or misstates {error}") from error
        if raw != manifest.to_dict():
            raise ValueError("it is not what was written")
        return manifest

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as JSON, with a seal over all of it."""
        told = {**asdict(self), "digest": self.digest}
        text = json.dumps(told, sort_keys=True)
        return {**told, "seal": hashlib.sha256(text.encode()).hexdigest()}


class Checkpoint(NamedTuple):
    """A whole checkpoint."""

    path: Path
    manifest: Manifest


class Damage(NamedTuple):
    """A checkpoint that was set aside, and why."""

    path: Path
    reason: str


def part_of(folder: Path, step: int) -> Path:
    """Return the empty folder that a checkpoint is written to before it counts."""
    part = folder / f".step-{step}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def commit(part: Path, step: int, plan: str, setting: Mapping[str, str]) -> Checkpoint:
    """Make what was written count: sync it, write its manifest, give it its name.

    Nothing changes if this step's checkpoint is there already.

    Raises:
        OSError: the disk is full or fails; what counted before still does.
    """
    target = part.parent / f"step-{step}"
    if target.exists():
        shutil.rmtree(part)
        return Checkpoint(target, read_manifest(target))
    files = {name: _synced(part / name) for name in _names(part)}
    manifest = Manifest(step, plan, dict(setting), files, time.time())
    with (part / MANIFEST).open("x", encoding="utf-8") as file:
        json.dump(manifest.to_dict(), file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(part)
    part.rename(target)
    sync_folder(target.parent)
    return Checkpoint(target, manifest)


def read_manifest(path: Path) -> Manifest:
    """Return a checkpoint's manifest.

    Raises:
        ValueError: there is none, or it can't be read; the text says which.
    """
    try:
        raw = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        return Manifest.from_dict(raw)
    except OSError as error:
        raise ValueError(f"{MANIFEST}: {error.strerror}") from error
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{MANIFEST} is damaged: {error}") from error


def verify(path: Path) -> Manifest:
    """Return the manifest of a checkpoint whose every file is what it must be.

    Raises:
        ValueError: it is not whole; the text says what is wrong.
    """
    manifest = read_manifest(path)
    for name, mark in manifest.files.items():
        try:
            size, digest = _measured(path / name)
        except OSError as error:
            raise ValueError(f"{name}: {error.strerror}") from error
        if size != mark.size:
            raise ValueError(f"{name} has {size} bytes instead of {mark.size}")
        if digest != mark.sha256:
            raise ValueError(f"{name} is not what was written: its digest differs")
    return manifest


def newest_valid(folder: Path) -> tuple[Checkpoint | None, tuple[Damage, ...]]:
    """Return the newest whole checkpoint; newer damaged ones are renamed `*.damaged`.

    Raises:
        StorageError: a damaged checkpoint can't be renamed.
    """
    damaged = []
    for step, path in sorted(_steps(folder), reverse=True):
        try:
            manifest = verify(path)
            if manifest.step != step:
                raise ValueError(f"{MANIFEST} is of step {manifest.step}")
        except ValueError as error:
            damaged.append(Damage(_set_aside(path), str(error)))
        else:
            return Checkpoint(path, manifest), tuple(damaged)
    return None, tuple(damaged)


def committed(folder: Path) -> tuple[int, ...]:
    """Return the steps of the checkpoints that have a manifest, ascending; none is verified."""
    return tuple(sorted(step for step, path in _steps(folder) if (path / MANIFEST).exists()))


def clear_parts(folder: Path) -> tuple[str, ...]:
    """Delete what a kill left half written or half deleted; return the names."""
    if not folder.is_dir():
        return ()
    found = [p for p in folder.iterdir() if PART.fullmatch(p.name) or p.name.endswith(TRASH)]
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return tuple(sorted(path.name for path in found))


def rotate(folder: Path, keep: int, spare: Collection[int] = ()) -> None:
    """Delete all but the `keep` newest checkpoints and those of the steps in `spare`."""
    for step in committed(folder)[:-keep]:
        if step in spare:
            continue
        path = folder / f"step-{step}"
        trash = folder / f".step-{step}{TRASH}"
        try:
            path.rename(trash)
        except OSError:
            continue
        shutil.rmtree(trash, ignore_errors=True)


def _steps(folder: Path) -> Iterator[tuple[int, Path]]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if (match := STEP.fullmatch(path.name)) and path.is_dir():
            yield int(match[1]), path


def _set_aside(path: Path) -> Path:
    for number in range(1, 1000):
        target = path.with_name(f"{path.name}.damaged" + (f"-{number}" if number > 1 else ""))
        if target.exists():
            continue
        try:
            return path.rename(target)
        except OSError as error:
            raise StorageError(
                f"damaged checkpoint {str(path)!r} can't be set aside: {error.strerror}"
            ) from error
    raise StorageError(f"{str(path.parent)!r} is full of damaged checkpoints; delete them")


def _names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def _synced(path: Path) -> FileMark:
    """Push a file to the disk, for everyone to read, and return what it is."""
    path.chmod(0o644)  # safetensors leaves its files to the owner alone
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return FileMark(*_measured(path))


def _measured(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk.

    Raises:
        OSError: the disk fails.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
