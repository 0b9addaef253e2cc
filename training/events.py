"""What happened in a run, one JSON object a line in `events.jsonl`; only its worker writes there.

    {"t": 1763722000.1, "kind": "step", "attempt": 2, "step": 41, "loss": 2.31, ...}

A resumed run repeats the steps after its checkpoint: of several events of one step, the one of the
highest attempt counts. A kill may tear the last line; readers skip it.
"""

import errno
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from core.errors import StorageError

NAME = "events.jsonl"
Kind = Literal[
    "started",
    "step",
    "eval",
    "checkpoint",
    "sample",
    "warning",
    "stopped",
    "failed",
    "completed",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
ENDS: tuple[Kind, ...] = ("stopped", "failed", "completed")
Event = Mapping[str, Any]


class EventLog:
    """The events of one attempt, appended as they happen."""

    def __init__(self, folder: Path) -> None:
        """Begin the next attempt of the run in this folder.

        Raises:
            StorageError: the file can't be written.
        """
        self._path = folder / NAME
        self.attempt = 1 + last_attempt(read_events(folder))
        try:
            self._file = os.open(
                self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644
            )
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                os.write(self._file, b"\n")
        except OSError as error:
            raise self._unwritable(error) from error

    def write(self, kind: Kind, step: int, **values: Any) -> None:
        """Append an event; all but steps are pushed to the disk.

        Raises:
            StorageError: the disk is full or fails.
        """
        head = {"t": round(time.time(), 3), "kind": kind, "attempt": self.attempt, "step": step}
        line = json.dumps({**head, **{k: _plain(v) for k, v in values.items()}}) + "\n"
        try:
            self._append(line.encode())
            if kind != "step":
                os.fsync(self._file)
        except OSError as error:
            raise self._unwritable(error) from error

    def _append(self, line: bytes) -> None:
        """Write a line whole or not at all."""
        size = os.fstat(self._file).st_size
        if os.write(self._file, line) < len(line):
            os.ftruncate(self._file, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _unwritable(self, error: OSError) -> StorageError:
        return StorageError(f"{str(self._path)!r} can't be written: {error.strerror}")


def read_events(folder: Path) -> Iterator[Event]:
    """Yield the events of a run, oldest first; nothing before its worker has begun."""
    try:
        with (folder / NAME).open("rb") as file:
            for line in file:
                if (event := parse(line)) is not None:
                    yield event
    except FileNotFoundError:
        return


def parse(line: bytes) -> Event | None:
    """Return the event of a line; None if it is torn."""
    if not line.endswith(b"\n"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    is_event = isinstance(event, dict) and {"kind", "step", "attempt"} <= event.keys()
    return event if is_event else None


def last_attempt(events: Iterable[Event]) -> int:
    """Return the number of the last attempt; 0 before the first."""
    return max((int(event["attempt"]) for event in events), default=0)


def current(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events without the steps that a later attempt did again, in order.

    Events that an attempt had written beyond the checkpoint that the next one resumed from are
    left out, so a curve drawn from the rest has one value per step.
    """
    kept = list(events)
    bound: dict[int, float] = {}
    lowest = math.inf
    for event in reversed(kept):
        if event["kind"] == "started":
            bound[int(event["attempt"])] = lowest
            lowest = min(lowest, float(event["step"]))
    for event in kept:
        limit = bound.get(int(event["attempt"]), math.inf)
        if event["kind"] not in ("step", "eval", "checkpoint") or event["step"] <= limit:
            yield event


@dataclass(frozen=True, slots=True)
class Ending:
    """How one attempt ended."""

    attempt: int
    kind: Literal["stopped", "failed", "completed", "killed"]
    """`killed`: it wrote no end; it was killed, or the machine died."""
    step: int
    """The last step that it finished."""
    error: str | None = None
    is_final: bool = False
    """Whether another attempt would fail the same way: wrong settings, data or model."""


def endings(events: Iterable[Event]) -> tuple[Ending, ...]:
    """Return how each attempt ended, the last included even if it is under way."""
    found: dict[int, Ending] = {}
    for event in events:
        number, step = int(event["attempt"]), int(event["step"])
        if event["kind"] in ENDS:
            found[number] = Ending(
                number, event["kind"], step, event.get("error"), bool(event.get("is_final", False))
            )
        elif number not in found or found[number].kind == "killed":
            found[number] = Ending(number, "killed", step)
    return tuple(found[number] for number in sorted(found))


def failed_twice_at(events: Iterable[Event]) -> int | None:
    """Return the step that the last two attempts both failed or were killed at; else None.

    Trying again would most likely end there again: a poisonous example, or too little memory.
    """
    last = endings(events)[-2:]
    if len(last) < 2 or any(ending.kind not in ("failed", "killed") for ending in last):
        return None
    return last[1].step if last[0].step == last[1].step else None


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: numbers that are none as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
