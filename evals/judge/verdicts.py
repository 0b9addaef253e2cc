"""Verdicts: what a judge said in one call, appended to `verdicts.jsonl` as they come.

A verdict is found again by a key over everything that was asked, so that none is asked twice and
none stands for another question. Calls without a verdict are kept too, and asked again.
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.errors import StorageError
from core.messages import JsonObject, JsonValue

VERDICTS_FILE = "verdicts.jsonl"
Status = Literal["ok", "unparsed", "refused", "error"]
"""`unparsed`: the judge replied, but with no verdict; `refused`: this call is impossible, such as
one that is too long; `error`: there was no reply."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One call to a judge; without a verdict unless its status is `ok`."""

    key: str
    id: str
    repeat: int
    order: tuple[str, ...]
    """Dimensions in the order asked; for two answers their models in the order shown."""
    call: int
    status: Status
    marks: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Dimension to mark, 0 to 2."""
    winner: str | None = None
    """For two answers: `model_a`, `model_b`, `tie` or `both_bad`."""
    reason: str = ""
    """What the judge gave as its reason; where the status is not `ok`, what went wrong."""
    model: str | None = None
    """Id of the model that answered."""
    digest: str | None = None
    """Its weights, where the runtime tells."""
    params: JsonObject = field(default_factory=dict, hash=False)
    cost_usd: float | None = None

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the verdict as JSON."""
        return {
            "key": self.key,
            "id": self.id,
            "repeat": self.repeat,
            "order": list(self.order),
            "call": self.call,
            "status": self.status,
            "marks": dict(self.marks),
            "winner": self.winner,
            "reason": self.reason,
            "model": self.model,
            "digest": self.digest,
            "params": self.params,
            "cost_usd": self.cost_usd,
        }

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> "Verdict":
        """Read what `to_dict` wrote.

        Raises:
            KeyError, TypeError: a key is missing or unknown.
        """
        return Verdict(**{**value, "order": tuple(value["order"])})


class VerdictFile:
    """The verdicts of one file, in memory and on disk; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one; a last line that a kill cut off is dropped.

        Raises:
            StorageError: it can't be read.
        """
        self.path = path
        self._lock = threading.Lock()
        self._known: dict[str, Verdict] = {}
        try:
            lines = path.read_bytes().split(b"\n") if path.exists() else []
        except OSError as error:
            raise StorageError(f"{str(path)!r} can't be read: {error.strerror}") from error
        self._ends_whole = not lines or not lines[-1]
        for line in lines:
            verdict = _read(line)
            if verdict is not None and verdict.status == "ok":
                self._known[verdict.key] = verdict

    def get(self, key: str) -> Verdict | None:
        """Return the verdict of a key; None where it is still to be asked for."""
        return self._known.get(key)

    def append(self, verdict: Verdict) -> None:
        """Write a verdict; when this returns, a kill of this process can't lose it.

        Raises:
            StorageError: the file can't be written.
        """
        line = json.dumps(verdict.to_dict()).encode() + b"\n"
        with self._lock:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("ab") as handle:
                    handle.write(line if self._ends_whole else b"\n" + line)
            except OSError as error:
                where = str(self.path)
                raise StorageError(f"{where!r} can't be written: {error.strerror}") from error
            self._ends_whole = True
            if verdict.status == "ok":
                self._known[verdict.key] = verdict


def _read(line: bytes) -> Verdict | None:
    try:
        return Verdict.from_dict(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return None
