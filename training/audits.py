"""The audits of a home: found by the rows they saw, with what a person decided on them since.

An audit's folder `$UNDERSTUDY_HOME/audits/TIME-.../` is written once by `data audit`; beside its
report stands `decisions.jsonl`, which grows with a review and which `data curate` takes.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import StorageError
from core.messages import JsonObject
from training.data_command import REPORT

DECISIONS = "decisions.jsonl"
MAX_LOOKED_AT = 300
"""Audits that are looked at for one of given rows, the newest first."""


@dataclass(frozen=True, slots=True)
class KeptAudit:
    """An audit on disk."""

    folder: Path
    report: JsonObject = field(hash=False, compare=False)
    """What `data audit --json` printed."""

    @property
    def model(self) -> str:
        """Return the model whose tokenizer read the rows."""
        return str(self.report.get("model"))

    @property
    def max_length(self) -> int:
        """Return the window, in tokens."""
        found = self.report.get("max_length")
        return found if isinstance(found, int) else 0

    @property
    def stops(self) -> tuple[str, ...]:
        """Return why no run may start on these rows."""
        found = self.report.get("stops")
        return tuple(str(reason) for reason in found) if isinstance(found, list) else ()

    @property
    def decisions(self) -> Path:
        """Return where a person's decisions stand; the file may not be there."""
        return self.folder / DECISIONS


class Audits:
    """The audits of one home; what rows each saw is read once."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "audits"
        self._digests: dict[str, str] = {}

    def newest(self, digest: str) -> KeptAudit | None:
        """Return the newest audit of the rows with this digest; None: there is none.

        Raises:
            StorageError: it can't be read.
        """
        if not self._folder.is_dir():
            return None
        folders = sorted((f for f in self._folder.iterdir() if f.is_dir()), reverse=True)
        for folder in folders[:MAX_LOOKED_AT]:
            if self._digest(folder) == digest:
                return read_audit(folder)
        return None

    def _digest(self, folder: Path) -> str:
        if folder.name not in self._digests:
            try:
                self._digests[folder.name] = str(read_audit(folder).report.get("digest"))
            except StorageError:  # One in the making, or a damaged one: none of these rows.
                return ""
        return self._digests[folder.name]


def read_audit(folder: Path) -> KeptAudit:
    """Read an audit's report.

    Raises:
        StorageError: it can't be read.
    """
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"the audit in {str(folder)!r} can't be read: {error}") from error
    if not isinstance(report, dict):
        raise StorageError(f"the audit in {str(folder)!r} can't be read: it is no object")
    return KeptAudit(folder, report)
