"""An errand's folder: what is asked, how far it is, what came of it."""

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from core.errors import StorageError
from core.messages import JsonObject, JsonValue, new_id

Kind = Literal["audit", "estimate", "export"]
Ending = Literal["done", "failed", "stopped"]
ENDINGS: tuple[Ending, ...] = get_args(Ending)
Status = Literal["working", "done", "failed", "stopped", "interrupted"]
ORDER, PROGRESS, OUT, LOG = "order.json", "progress.txt", "out.json", "log.txt"


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked."""

    kind: Kind
    subject: str
    """What it is about, by which it is found again: a dataset, a run's settings."""
    arguments: JsonObject = field(hash=False)


@dataclass(frozen=True, slots=True)
class Errand:
    """One errand, as its folder tells."""

    id: str
    order: Order
    status: Status
    started_at: float
    """Seconds since 1970."""
    progress: str = ""
    """How far it is, in words."""
    result: JsonObject = field(default_factory=dict, hash=False)
    """What it found; empty unless it is done."""
    error: str = ""
    """Why it failed or ended early."""


def new_name(order: Order) -> str:
    """Return a folder's name: errands of one kind and subject sort by time."""
    return f"{prefix(order.kind, order.subject)}{time.time_ns():020d}"


def prefix(kind: Kind, subject: str | None) -> str:
    """Return what the names of a kind's errands begin with, or those of one subject."""
    if subject is None:
        return f"{kind}-"
    return f"{kind}-{hashlib.sha256(subject.encode('utf-8', 'replace')).hexdigest()[:16]}-"


def write_order(folder: Path, order: Order) -> None:
    """Make the folder.

    Raises:
        OSError: the disk refuses.
    """
    folder.mkdir(parents=True)
    told = {"kind": order.kind, "subject": order.subject, "arguments": order.arguments}
    _write_whole(folder / ORDER, json.dumps(told, ensure_ascii=False))


def read_order(folder: Path) -> Order:
    """Return what is asked.

    Raises:
        StorageError: it can't be read.
    """
    try:
        told = json.loads((folder / ORDER).read_text(encoding="utf-8"))
        return Order(told["kind"], told["subject"], told["arguments"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{str(folder / ORDER)!r} can't be read: {error}") from error


def read_errand(folder: Path, *, is_working: bool) -> Errand:
    """Return the errand; `is_working`: a process was on it before this was called.

    Raises:
        StorageError: what is asked can't be read.
    """
    order, told = read_order(folder), _out(folder)
    ending = next((each for each in ENDINGS if each == told.get("status")), None)
    status: Status = ending or ("working" if is_working else "interrupted")
    result = told.get("result")
    return Errand(
        id=folder.name,
        order=order,
        status=status,
        started_at=int(folder.name.rpartition("-")[2]) / 1e9,
        progress=text_of(folder / PROGRESS),
        result=result if isinstance(result, dict) else {},
        error=str(told.get("error") or _last_words(folder, status)),
    )


def tell(folder: Path, progress: str) -> None:
    """Say how far an errand is; a full disk is no reason to end it."""
    with suppress(OSError):
        _write_whole(folder / PROGRESS, progress)


def finish(
    folder: Path, ending: Ending, result: Mapping[str, JsonValue] | None = None, error: str = ""
) -> None:
    """Say what came of an errand.

    Raises:
        OSError: the disk refuses.
    """
    told = {"status": ending, "result": result, "error": error}
    _write_whole(folder / OUT, json.dumps(told, ensure_ascii=False))


def has_ended(folder: Path) -> bool:
    """Say whether somebody has said what came of it."""
    return (folder / OUT).exists()


def text_of(path: Path) -> str:
    """Return a file that may not be there yet."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _last_words(folder: Path, status: Status) -> str:
    """Return the end of the log of a process that ended without saying why."""
    lines = text_of(folder / LOG).strip().splitlines() if status == "interrupted" else []
    return lines[-1][:300] if lines else ""


def _out(folder: Path) -> JsonObject:
    try:
        told = json.loads(text_of(folder / OUT) or "{}")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}-{new_id()[:8]}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
