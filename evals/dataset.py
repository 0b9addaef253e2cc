"""Datasets: rows of JSON Lines to samples and back.

A row is `{"id", "input", "target"}` and, where it has them, `"group"`, `"tools"`, `"details"`:

    {"id": "7", "input": "Seat Ada at table 3.", "target": {"calls": [...]}, "tools": [...]}

`input` is a text or a list of messages in OpenAI's shape that ends with the user or a tool.
"""

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from core.errors import InputError, NotFoundError, StorageError
from core.gateway.allow import Limits
from core.messages import JsonObject, JsonValue, Message, Tool
from core.openai_shapes import parse_chat
from core.rows.json_lines import Line, json_lines
from evals.sample import Sample

KEYS = ("id", "input", "target", "group", "tools", "details")
NEEDED = ("id", "input", "target")
LIMITS = Limits()
MAX_NAME = 200
"""Characters of an id or a group."""


def read_samples(path: Path) -> Iterator[Sample]:
    """Yield the samples of a dataset, one at a time.

    Raises:
        NotFoundError: there is no such file.
        InputError: a line is no row, or an id comes twice; the text names the line.
        StorageError: the file can't be read.
    """
    first_at: dict[str, int] = {}
    for line in json_lines(path):
        place = f"{path.name}, line {line.number}"
        try:
            sample = sample_of(_value(line))
        except InputError as error:
            raise InputError(f"{place}: {error}") from error
        if sample.id in first_at:
            raise InputError(
                f"{place}: the id {sample.id!r} stands on line {first_at[sample.id]} already"
            )
        first_at[sample.id] = line.number
        yield sample


def write_samples(samples: Iterable[Sample], path: Path) -> None:
    """Write a dataset, a row a line."""
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        handle.writelines(row_text(sample) for sample in samples)


def sample_of(row: JsonValue) -> Sample:
    """Read one row.

    Raises:
        InputError: a key is missing or unknown, or a value is not what it must be.
    """
    if not isinstance(row, Mapping):
        raise InputError("a row must be a JSON object")
    _check_keys(row)
    for text in _texts(row):
        _check_text(text)
    sample_id = _name(row["id"], "id")
    messages, tools = _asked(row["input"], row.get("tools"))
    details = row.get("details")
    if details is not None and not isinstance(details, Mapping):
        raise InputError("details must be an object")
    group = row.get("group")
    return Sample(
        id=sample_id,
        messages=messages,
        target=row["target"],
        group=sample_id if group is None else _name(group, "group"),
        tools=tools,
        details=details or {},
    )


def row_text(sample: Sample) -> str:
    """Return the sample as one line, its line break included."""
    row: dict[str, JsonValue] = {"id": sample.id, "input": _input(sample.messages)}
    row["target"] = sample.target
    if sample.group != sample.id:
        row["group"] = sample.group
    if sample.tools:
        row["tools"] = [tool.to_openai() for tool in sample.tools]
    if sample.details:
        row["details"] = sample.details
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def dataset_digest(path: Path) -> str:
    """Return `sha256:...` of the file as it stands.

    Raises:
        NotFoundError: there is no such file.
        StorageError: the file can't be read.
    """
    try:
        with path.open("rb") as handle:
            return f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"
    except FileNotFoundError as error:
        raise NotFoundError(f"no file {str(path)!r}") from error
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be read: {error.strerror}") from error


def _value(line: Line) -> JsonValue:
    if line.problem is not None:
        raise InputError(line.problem)
    return line.value


def _check_keys(row: JsonObject) -> None:
    for key in row:
        if key not in KEYS:
            close = difflib.get_close_matches(key[:MAX_NAME], KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"choose from: {', '.join(KEYS)}"
            raise InputError(f"unknown key {key[:MAX_NAME]!r}; {hint}")
    missing = [key for key in NEEDED if key not in row]
    if missing:
        raise InputError(f"{', '.join(missing)} missing; a row needs {', '.join(NEEDED)}")


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _texts(item)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise InputError("a text holds a NUL character; remove it")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError("a text holds half of a surrogate pair; remove it") from error


def _name(value: JsonValue, what: str) -> str:
    """Return an id or a group; whole numbers become text."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_NAME:
        raise InputError(
            f"{what} must be a text of 1 to {MAX_NAME} characters or a whole number, "
            f"got {str(value)[:40]!r}"
        )
    return text


def _asked(given: JsonValue, tools: JsonValue) -> tuple[tuple[Message, ...], tuple[Tool, ...]]:
    """Return the messages and tools, read as the HTTP API reads them."""
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise InputError("input must be a text or a list of messages")
    if not given:
        raise InputError("input is empty")
    asked = parse_chat({"model": "any", "messages": given, "tools": tools}, LIMITS)
    last = asked.messages[-1]
    if last.role not in ("user", "tool"):
        raise InputError(f"input must end with the user or a tool, not with role {last.role!r}")
    if last.role == "user" and not last.text.strip():
        raise InputError("input is empty: its last message has no text")
    names = [tool.name for tool in asked.tools]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"the tool {twice[0]!r} is offered twice")
    return asked.messages, asked.tools


def _input(messages: Sequence[Message]) -> JsonValue:
    is_plain = len(messages) == 1 and messages[0].role == "user"
    return messages[0].text if is_plain else [message.to_openai() for message in messages]
