"""JSON Lines, read one line at a time: each line is a value or the reason why it is none.

A file of any size is read in the memory of its longest line.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.errors import InputError, NotFoundError, StorageError
from core.json_text import MAX_BYTES, JsonFailure, parse_json
from core.messages import JsonValue

MAX_LINE_BYTES = MAX_BYTES


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank."""

    number: int
    """From 1."""
    value: JsonValue
    problem: str | None = None
    """Why the line holds no value; None: it holds one."""


def json_lines(path: Path) -> Iterator[Line]:
    """Yield the file's lines in order; blank ones and a byte order mark are passed over.

    Strict JSON only: no key twice, no NaN, no half of a surrogate pair, at most 64 levels.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is a folder.
        StorageError: the file can't be read.
    """
    try:
        with path.open("rb") as handle:
            for number, raw in enumerate(_raw_lines(handle), start=1):
                if number == 1:
                    raw = raw.removeprefix(codecs.BOM_UTF8)
                if raw.strip():
                    yield _line(number, raw)
    except FileNotFoundError as error:
        raise NotFoundError(f"no file {str(path)!r}") from error
    except IsADirectoryError as error:
        raise InputError(f"{str(path)!r} is a folder; name a file") from error
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be read: {error.strerror}") from error


def _raw_lines(handle: BinaryIO) -> Iterator[bytes]:
    """Yield lines; of one that is too long only the first `MAX_LINE_BYTES` + 1 bytes."""
    while raw := handle.readline(MAX_LINE_BYTES + 1):
        rest = raw
        while rest and not rest.endswith(b"\n"):
            rest = handle.readline(MAX_LINE_BYTES)
        yield raw


def _line(number: int, raw: bytes) -> Line:
    if len(raw) > MAX_LINE_BYTES:
        return Line(number, None, f"the line has more than {MAX_LINE_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return Line(number, None, f"not UTF-8: byte {error.start + 1} of the line")
    read = parse_json(text)
    if isinstance(read, JsonFailure):
        return Line(number, None, f"not JSON: {read.reason}")
    if read.repaired:
        return Line(number, None, f"not strict JSON: {', '.join(read.repairs)}")
    return Line(number, read.value)
