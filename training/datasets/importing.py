"""Importing: a file of any of the formats becomes a dataset version, as a stream.

Rows that can't be used are left out and counted by reason. Memory grows by a number a row, for the
ids that were seen, and not by the row.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice
from pathlib import Path

from core.errors import InputError
from core.messages import JsonObject, JsonValue
from core.rows.records import Record, records
from core.rows.refusals import Refusal, Refusals
from training.datasets.drafts import draft
from training.datasets.example import Example, Kind
from training.datasets.formats import NOTES, detect, reader_of, rows_of
from training.datasets.versions import Version, check_name, list_versions

PREVIEWED = 3
"""Rows that a report shows as they were read."""
DETECT_ROWS = 100
"""Rows at the start of a file in which its format is looked for."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import read and what it refused."""

    version: Version
    format: str
    refused: int
    reasons: Mapping[str, int] = field(hash=False)
    """How many rows were refused, by reason; most frequent first."""
    examples: tuple[Refusal, ...]
    """The first refused rows."""
    counts: Mapping[str, int] = field(hash=False)
    """Of the rows: `with_tools`, `groups`, `renamed` (their id stood on a row before)."""
    kind: Kind
    preview: tuple[JsonObject, ...] = field(hash=False)
    """The first rows, as they stand in the dataset."""
    is_unchanged: bool
    """Whether a version with the same rows was there already."""
    notes: tuple[str, ...]
    """What must be known about the format before training on it."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the report as JSON."""
        return {
            "dataset": self.version.reference,
            "path": str(self.version.path),
            "digest": self.version.digest,
            "format": self.format,
            "kind": self.kind,
            "read": self.version.rows,
            "refused": self.refused,
            **self.counts,
            "reasons": dict(self.reasons),
            "examples": [example.to_dict() for example in self.examples],
            "preview": list(self.preview),
            "is_unchanged": self.is_unchanged,
            "notes": list(self.notes),
        }


def import_dataset(home: Path, path: Path, name: str, format: str | None = None) -> ImportReport:
    """Read a file into a new version of a dataset; nothing is written unless all of it is.

    The format is that of the file's first rows when none is given. Importing the same file again
    changes nothing.

    Raises:
        InputError: there is no such format, no row could be read, or the name can't be one.
        NotFoundError: there is no such file.
        StorageError: the file can't be read, or the version can't be written.
    """
    check_name(name)
    known = {version.digest for version in list_versions(home, name)}
    found = format or format_of(path)
    intake = Intake(reader_of(found))
    with draft(home, name) as new:
        for example in intake.accepted(rows_of(path, found), path.name):
            try:
                new.add(example)
            except InputError as error:
                intake.take_back(example, str(error))
        if not new.rows:
            reason = intake.refusals.first()
            raise InputError(f"no row of {path.name!r} could be read as {found}{reason}")
        new.attach_refusals(intake.refusals)
        refused = intake.refusals.total
        version = new.commit(
            {"command": "import", "file": path.name, "format": found, "refused": refused}
        )
    return intake.report(version, found, is_unchanged=version.digest in known)


def format_of(path: Path) -> str:
    """Return the format of the first row that looks like one.

    Raises:
        InputError: none of the first 100 rows does.
        NotFoundError: there is no such file.
        StorageError: the file can't be read.
    """
    first: Record | None = None
    for record in islice(records(path), DETECT_ROWS):
        first = first or record
        if found := detect(record.value):
            return found
    if first is None:
        raise InputError(f"{path.name!r} holds no row")
    reason = first.problem or f"the first row's keys are {', '.join(map(repr, first.value))[:200]}"
    raise InputError(f"the format of {path.name!r} can't be told; name it ({reason})")


def preview(path: Path, format: str | None = None, rows: int = 5) -> list[dict[str, JsonValue]]:
    """Return what the first rows of a file would be, or why they would be refused.

    Raises:
        InputError: there is no such format, or it can't be told.
        NotFoundError: there is no such file.
        StorageError: the file can't be read.
    """
    found = format or format_of(path)
    read = reader_of(found)
    return [_previewed(record, read) for record in islice(rows_of(path, found), rows)]


class Intake:
    """Takes rows or refuses them: one kind of example a dataset, each id once."""

    def __init__(self, read: Callable[[Record], Example]) -> None:
        self.refusals = Refusals()
        self._kind: Kind | None = None
        self.counts: Counter[str] = Counter(with_tools=0, renamed=0)
        self.preview: list[JsonObject] = []
        self._read = read
        self._ids: set[int] = set()
        self._groups: set[int] = set()

    def accepted(self, rows: Iterator[Record], file: str) -> Iterator[Example]:
        """Yield the examples of the rows that are taken."""
        for record in rows:
            try:
                if record.problem is not None:
                    raise InputError(record.problem)
                yield self._taken(record, f"{file}, {record.place}")
            except InputError as error:
                self.refusals.add(Refusal(record.place, str(error)))

    def take_back(self, example: Example, reason: str) -> None:
        """Count an example as refused after all."""
        self.refusals.add(Refusal(example.source, reason))

    def report(self, version: Version, format: str, *, is_unchanged: bool) -> ImportReport:
        """Return what was counted, once the version is in place."""
        return ImportReport(
            version=version,
            format=format,
            refused=self.refusals.total,
            reasons=dict(self.refusals.reasons.most_common()),
            examples=tuple(self.refusals.examples),
            counts={**self.counts, "groups": len(self._groups)},
            kind=self._kind or "sft",
            preview=tuple(self.preview),
            is_unchanged=is_unchanged,
            notes=NOTES.get(format, ()),
        )

    def _taken(self, record: Record, source: str) -> Example:
        example = self._read(record)
        if self._kind not in (None, example.kind):
            raise InputError(f"the row is of kind {example.kind!r}, those before {self._kind!r}")
        example = replace(example, source=example.source or source)
        if self._is_known(self._ids, example.id):
            self.counts["renamed"] += 1
            example = replace(example, id=self._free(f"{example.id[:180]}#{record.number}"))
        self._is_known(self._groups, example.family)
        self._kind = example.kind
        self.counts["with_tools"] += bool(example.tools)
        if len(self.preview) < PREVIEWED:
            self.preview.append(example.to_dict())
        return example

    def _free(self, name: str) -> str:
        """Return an id that no row has, this one if it is free, and remember it."""
        names = chain([name], (f"{name}-{n}" for n in count(2)))
        return next(each for each in names if not self._is_known(self._ids, each))

    @staticmethod
    def _is_known(seen: set[int], name: str) -> bool:
        """Say whether the name was seen, and remember it."""
        short = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
        before = len(seen)
        seen.add(short)
        return len(seen) == before


def _previewed(record: Record, read: Callable[[Record], Example]) -> dict[str, JsonValue]:
    try:
        if record.problem is not None:
            raise InputError(record.problem)
        return {"place": record.place, "row": read(record).to_dict(), "reason": None}
    except InputError as error:
        return {"place": record.place, "row": None, "reason": str(error)}
