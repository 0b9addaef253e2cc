"""CSV, row by row: cells, or the reason why a row has none; a broken row costs no other.

Python's reader goes on to the next quote, or to the end, where a quote is never closed. Here the
row's first line is then refused and reading begins anew with the line after it.
"""

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from core.json_text import MAX_BYTES

MAX_CHARACTERS = MAX_BYTES
"""Of a row."""


class Cells(NamedTuple):
    """One row; a blank one has no cell."""

    line: int
    """Number of its first line, from 1."""
    cells: list[str]
    problem: str | None = None
    """Why it has no cells; None: it has."""


def csv_rows(path: Path) -> Iterator[Cells]:
    """Yield the rows of a file in order, the one with the names included.

    A byte that is not UTF-8 stays in a cell as a surrogate. In memory is one row, however long
    the file's lines are.

    Raises:
        OSError: the file can't be read.
    """
    # The limit is the process's; Python's own, 131,072 characters, is shorter than a long prompt.
    csv.field_size_limit(MAX_CHARACTERS)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as handle:
        lines = _Lines(handle)
        reader = csv.reader(lines, strict=True)
        while True:
            lines.begin()
            line = lines.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Cells(line, [], str(error))
                lines.go_back()
                reader = csv.reader(lines, strict=True)
            else:
                yield Cells(line, cells)


class _Lines:
    """The lines of a file, which can be read again from the second of a row on."""

    def __init__(self, handle: TextIO) -> None:
        self.number = 0
        """Of the line that was read last, from 1."""
        self._handle = handle
        self._again: deque[str] = deque()
        self._taken: list[str] = []
        self._characters = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        self._taken.append(line)
        self._characters += len(line)
        if self._characters > MAX_CHARACTERS:
            raise csv.Error(f"the row has more than {MAX_CHARACTERS:,} characters")
        return line

    def begin(self) -> None:
        """Take the next line as the first of a row."""
        self._taken, self._characters = [], 0

    def go_back(self) -> None:
        """Go back to the second line of this row."""
        rest = self._taken[1:]
        self._again.extendleft(reversed(rest))
        self.number -= len(rest)

    def _read(self) -> str:
        """Return the next line; of one that is too long its beginning, and the rest is dropped."""
        line = rest = self._handle.readline(MAX_CHARACTERS + 1)
        while len(line) > MAX_CHARACTERS and rest and not rest.endswith(("\n", "\r")):
            rest = self._handle.readline(MAX_CHARACTERS)
        return line
