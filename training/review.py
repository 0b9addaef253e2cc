"""A person's review of what an audit found: row by row, kept beside the audit until it is applied.

Rules have decided most rows already (`training/datasets/curating.py`); a person's decision goes
before theirs. `data curate` reads the same file.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import InputError, NotFoundError, StorageError
from core.messages import JsonValue
from training.audits import KeptAudit
from training.data_command import read_decisions, read_findings
from training.datasets.curating import Decision, decision_of, propose, rewritten
from training.datasets.example import Example, example_of
from training.datasets.findings import Finding
from training.datasets.versions import Version, read_examples, write_synced

By = Literal["nobody", "rules", "you"]
REMEMBERED = 2
"""Reviews that stay in memory."""
MAX_REASON = 500
MAX_ANSWER = 100_000
"""Characters."""


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """One row with a finding, or of a group that has a leaked one."""

    id: str
    findings: tuple[Finding, ...]
    rule: Decision | None
    """What the rules decide; None: they leave it to a person."""
    own: Decision | None
    """What a person decided."""

    @property
    def by(self) -> By:
        """Return who has decided."""
        return "you" if self.own else "rules" if self.rule else "nobody"

    @property
    def decision(self) -> Decision | None:
        """Return what will be done; None: the row stays as it is."""
        return self.own or self.rule


class Review:
    """One audit's rows and the decisions on them; safe to share between threads."""

    def __init__(self, version: Version, audit: KeptAudit) -> None:
        """Read the findings and ask the rules.

        Raises:
            InputError: the audit is of other rows.
            StorageError: the rows or the audit can't be read.
        """
        self._version, self._audit = version, audit
        findings: dict[str, list[Finding]] = {}
        for finding in (found := read_findings(audit.folder, version)):
            findings.setdefault(finding.id, []).append(finding)
        self._rules = {d.id: d for d in propose(read_examples(version.path), found)}
        names = dict.fromkeys((*findings, *self._rules))
        self._findings = {name: tuple(findings.get(name, ())) for name in names}
        self._places = _places(version.path, frozenset(names))
        self._turn = threading.Lock()

    def rows(self) -> tuple[ReviewRow, ...]:
        """Return all rows that are in question, in the order of the findings.

        Raises:
            StorageError: the decisions can't be read.
        """
        own = {decision.id: decision for decision in self._own()}
        return tuple(
            ReviewRow(name, findings, self._rules.get(name), own.get(name))
            for name, findings in self._findings.items()
        )

    def example(self, name: str) -> Example:
        """Return one of these rows.

        Raises:
            NotFoundError: nothing was found in a row of this name.
            StorageError: it can't be read.
        """
        if name not in self._places:
            raise NotFoundError(f"the audit found nothing in a row {name[:80]!r}")
        try:
            with self._version.path.open("rb") as file:
                file.seek(self._places[name])
                return example_of(json.loads(file.readline()))
        except (OSError, ValueError, InputError) as error:
            raise StorageError(f"row {name!r} can't be read: {error}") from error

    def decide(self, raw: Mapping[str, JsonValue]) -> Decision:
        """Keep a person's decision `{"id", "action", "reason", "answer"?}`; it replaces the last.

        Raises:
            InputError: it is none, gives no reason, is too long, or leaves nothing of the row.
            NotFoundError: nothing was found in such a row.
            StorageError: it can't be written.
        """
        decision = decision_of(raw)
        example = self.example(decision.id)
        if not decision.reason.strip():
            raise InputError("say why, in a word or two; the reason stays with the row")
        if len(decision.reason) > MAX_REASON or len(decision.answer or "") > MAX_ANSWER:
            raise InputError(
                f"a reason has at most {MAX_REASON} characters, an answer {MAX_ANSWER:,}"
            )
        if decision.action == "rewrite" and rewritten(example, decision.answer) is None:
            raise InputError("nothing would be left of the answer; write one, or drop the row")
        with self._turn:
            self._write([*(d for d in self._own() if d.id != decision.id), decision])
        return decision

    def undo(self, name: str) -> None:
        """Forget a person's decision on a row, if there is one.

        Raises:
            StorageError: the decisions can't be read or written.
        """
        with self._turn:
            self._write([d for d in self._own() if d.id != name])

    def _own(self) -> list[Decision]:
        path = self._audit.decisions
        return read_decisions(path) if path.exists() else []

    def _write(self, decisions: Sequence[Decision]) -> None:
        lines = (json.dumps(each.to_dict(), ensure_ascii=False) for each in decisions)
        path = self._audit.decisions
        draft = path.with_name(f".{path.name}")
        try:
            write_synced(draft, "".join(f"{line}\n" for line in lines))
            draft.replace(path)
        except (OSError, UnicodeError) as error:
            raise StorageError(f"the decision can't be written: {error}") from error


class Reviews:
    """The reviews that were looked at last; asking the rules reads the whole version."""

    def __init__(self) -> None:
        self._known: dict[Path, Review] = {}
        self._turn = threading.Lock()

    def of(self, version: Version, audit: KeptAudit) -> Review:
        """Return the review of an audit.

        Raises:
            InputError: the audit is of other rows.
            StorageError: the rows or the audit can't be read.
        """
        with self._turn:
            found = self._known.pop(audit.folder, None) or Review(version, audit)
            self._known[audit.folder] = found
            while len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
        return found


def decided(rows: Sequence[ReviewRow]) -> Mapping[By, int]:
    """Return how many rows who has decided on."""
    counts = Counter(row.by for row in rows)
    return {"nobody": counts["nobody"], "rules": counts["rules"], "you": counts["you"]}


def _places(path: Path, names: frozenset[str]) -> dict[str, int]:
    """Return at which byte each of these rows begins.

    Raises:
        StorageError: the file can't be read.
    """
    places: dict[str, int] = {}
    try:
        for start, line in _lines(path):
            name = json.loads(line).get("id")
            if name in names:
                places[name] = start
    except (OSError, ValueError) as error:
        raise StorageError(f"{str(path)!r} can't be read: {error}") from error
    return places


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    start = 0
    with path.open("rb") as file:
        for line in file:
            yield start, line
            start += len(line)
