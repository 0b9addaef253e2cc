"""Rows of the files that people bring: JSON Lines, a JSON list, CSV or Parquet, by file name.

All but a JSON list are read in the memory of a row; what can't be read is passed on with the
reason, and the rows after it are read.
"""

import codecs
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError, NotFoundError, StorageError
from core.json_text import JsonFailure, parse_json
from core.messages import JsonObject, JsonValue
from core.rows.csv_rows import csv_rows
from core.rows.json_lines import json_lines

MAX_DOCUMENT_BYTES = 256_000_000
"""Largest JSON file that is no JSON Lines; it is read whole."""
BATCH_ROWS = 256
"""Rows of a Parquet file that are held at once."""
PARQUET_MAGIC = b"PAR1"


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a file."""

    place: str
    """Where it stands: `line 7`, `item 3`, `row 12`."""
    number: int
    """From 1; what the row is called where it has no id."""
    value: JsonObject
    problem: str | None = None
    """Why there is no value; None: there is one."""


def records(path: Path) -> Iterator[Record]:
    """Yield the rows of a file in order.

    `.csv` and `.parquet` are read as such; `.json` and `.jsonl` are JSON Lines unless they begin
    with `[`.

    Raises:
        NotFoundError: there is no such file.
        InputError: the file as a whole is not what its name says.
        StorageError: the file can't be read.
    """
    if not path.is_file():
        raise NotFoundError(f"no file {str(path)!r}")
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise InputError(
            f"{path.name!r} can't be read; choose a file that ends with one of: "
            f"{', '.join(READERS)}"
        )
    try:
        _refuse_utf16(path)
        yield from read(path)
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be read: {error}") from error


def json_document(path: Path) -> JsonValue:
    """Return the value of a JSON file.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is too large, or not JSON in UTF-8.
        StorageError: the file can't be read.
    """
    try:
        size = path.stat().st_size
        if size > MAX_DOCUMENT_BYTES:
            raise InputError(
                f"{path.name} has {size} bytes, at most {MAX_DOCUMENT_BYTES} are read as one JSON "
                "value; write it as JSON Lines"
            )
        return _json_value(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(f"no file {str(path)!r}") from error
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not JSON: {error}") from error


def json_cell(value: JsonValue) -> JsonValue:
    """Return the value of a cell that may hold JSON as text, as CSV and some data sets have it.

    Raises:
        InputError: it is a text, and no JSON.
    """
    if not isinstance(value, str):
        return value
    read = parse_json(value)
    if isinstance(read, JsonFailure) or read.repaired:
        raise InputError(f"expected JSON, got the text {value[:60]!r}")
    return read.value


def text_of(value: JsonObject, key: str) -> str:
    """Return a text that the record must have.

    Raises:
        InputError: it is missing, no text or blank.
    """
    text = value.get(key)
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{key} must be a text that is not empty")
    return text


def id_of(record: Record, key: str = "id") -> JsonValue:
    """Return the record's id; its number where it has none."""
    given = record.value.get(key)
    return record.number if given is None or given == "" else given


def _refuse_utf16(path: Path) -> None:
    with path.open("rb") as handle:
        if handle.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise InputError(f"{path.name} is in UTF-16; save it as UTF-8")


def _json_value(raw: bytes) -> JsonValue:
    value: JsonValue = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant)
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _from_json(path: Path) -> Iterator[Record]:
    if _first_byte(path) != b"[":
        for line in json_lines(path):
            yield _record(f"line {line.number}", line.number, line.value, line.problem)
        return
    items = json_document(path)
    for number, item in enumerate(items if isinstance(items, list) else [], start=1):
        yield _record(f"item {number}", number, item, _half_pair(item))


def _half_pair(item: JsonValue) -> str | None:
    """Return what is wrong with an item whose escapes stand for no text; None: nothing is."""
    try:
        json.dumps(item, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return "an escape stands for half of a surrogate pair"
    except RecursionError:
        return "it is nested too deeply"
    return None


def _first_byte(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]


def _record(place: str, number: int, value: JsonValue, problem: str | None = None) -> Record:
    if isinstance(value, Mapping) and problem is None:
        return Record(place, number, value)
    return Record(place, number, {}, problem or "a row must be a JSON object")


def _from_csv(path: Path) -> Iterator[Record]:
    rows = csv_rows(path)
    first = next(rows, None)
    names = first.cells if first else []
    if not any(names) or len(set(names)) < len(names):
        raise InputError(f"{path.name}: the first line must name the columns, each once")
    for number, row in enumerate(rows, start=1):
        place = f"line {row.line}"
        if row.problem is not None:
            yield Record(place, number, {}, f"not CSV: {row.problem}")
        elif row.cells:
            yield _csv_record(place, number, names, row.cells)


def _csv_record(place: str, number: int, names: list[str], cells: list[str]) -> Record:
    if len(cells) != len(names):
        problem = f"{len(cells)} cells, while the first line names {len(names)} columns"
        return Record(place, number, {}, problem)
    try:
        "".join(cells).encode("utf-8")
    except UnicodeEncodeError:  # A byte that `surrogateescape` let through.
        return Record(place, number, {}, "not UTF-8")
    return Record(place, number, dict(zip(names, cells, strict=True)))


def _from_parquet(path: Path) -> Iterator[Record]:
    import pyarrow  # type: ignore[import-untyped]  # the package has no types
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as table:
            number = 0
            for batch in table.iter_batches(batch_size=BATCH_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield Record(f"row {number}", number, row)
    except pyarrow.ArrowException as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path.name} can't be read as Parquet: {reason}") from error


READERS: Mapping[str, Callable[[Path], Iterator[Record]]] = {
    ".jsonl": _from_json,
    ".json": _from_json,
    ".csv": _from_csv,
    ".parquet": _from_parquet,
}
