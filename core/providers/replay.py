"""Answers from a recorded file: to demonstrate and to test without keys, servers or weights.

A file is JSON Lines, one answer a line, found by a digest of its request; of two answers to the
same request the later counts. A catalog entry with a `served_model` takes only what that model
answered. Answers carry `replay:sha256:...`, the digest of the file, where other providers tell
that of the weights; counts and times are those of the recording.
"""

import fcntl
import hashlib
import json
import os
import re
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from core.catalog import Target, located
from core.errors import NotFoundError, StorageError
from core.messages import (
    FinishReason,
    JsonObject,
    JsonValue,
    Message,
    ModelRef,
    Timings,
    ToolCall,
    Usage,
)
from core.providers.base import Completion, Provider, ProviderCall, ProviderEvent, failed
from core.store.text import clean_json

PREFIX = "replay:sha256:"
WORD = re.compile(r"\s*\S+\s*$|\s*\S+|\s+$")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file: a request and its answer."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    digest: str
    model: str
    """Catalog id of what answered."""
    request: Mapping[str, Any]
    """What was asked, for people; the digest alone is looked up."""
    text: str
    tool_calls: tuple[ToolCall, ...]
    usage: Usage
    finish_reason: FinishReason
    timings: Timings
    recorded_at: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file as it was read."""

    stamp: tuple[int, int, int]
    digest: str
    rows: Mapping[str, Sequence[Row]]
    """By digest of the request, the oldest first."""


SHAPE = TypeAdapter(Row)


class ReplayProvider:
    """Answers for the catalog's replays; a file is read again when it has changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recordings: dict[Path, Recording] = {}

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        """Yield the recorded text word by word and the completion last.

        Raises:
            NotFoundError: the file has no answer to this request.
            StorageError: the file can't be read.
        """
        recording = self._recording(call.target)
        row = _row_for(call, recording)
        said = ""
        for word in WORD.findall(row.text):
            if call.cancel.is_set():
                break
            said += word
            yield word
        is_whole = said == row.text
        yield Completion(
            text=said,
            model=ModelRef(call.target.model_id, recording.digest),
            adapter=None,
            usage=row.usage if is_whole else Usage(None, None),
            timings=row.timings,
            finish_reason=row.finish_reason if is_whole else "cancelled",
            tool_calls=row.tool_calls if is_whole else (),
            served_model=row.model,
        )

    def close(self) -> None:
        """Do nothing: a recording is read whole."""

    def identity(self, target: Target) -> str | None:
        """Return the digest of the file; None when it can't be read."""
        try:
            return self._recording(target).digest
        except StorageError:
            return None

    def _recording(self, target: Target) -> Recording:
        path = located(str(target.model.path))
        with self._lock:
            known = self._recordings.get(path)
            try:
                found = path.stat()
                stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
                if known is None or known.stamp != stamp:
                    known = _read(path, stamp)
            except OSError as error:
                raise StorageError(
                    f"{target.id!r}: {str(path)!r} can't be read: {error.strerror}"
                ) from error
            self._recordings[path] = known
            return known


class RecordingProvider:
    """Passes on what another provider answers, and writes it to a file for replays."""

    def __init__(self, inner: Provider, path: Path) -> None:
        self._inner = inner
        self._path = path

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        """Yield what the provider yields; a whole answer is on disk before its completion comes.

        Raises:
            StorageError: the file can't be written.
            AppError: what the provider raises; failures are not recorded.
        """
        with closing(self._inner.stream(call)) as events:
            for event in events:
                if isinstance(event, Completion) and event.finish_reason != "cancelled":
                    record(call, event, self._path)
                yield event

    def close(self) -> None:
        """Free what the other provider holds."""
        self._inner.close()

    def identity(self, target: Target) -> str | None:
        """Return what the provider's answers depend on."""
        return self._inner.identity(target)


def request_digest(call: ProviderCall) -> str:
    """Return 64 hexadecimal digits: SHA-256 over all of the request that shapes its answer.

    The model does not count, so that a replay may have a name of its own; nor do the ids of tool
    calls, which differ from run to run: their order stands for them.
    """
    text = json.dumps(_request(call), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def record(call: ProviderCall, completion: Completion, path: Path) -> None:
    """Append the answer to the file as one line, and wait until it is on disk.

    Raises:
        StorageError: the file can't be written.
    """
    row = Row(
        digest=request_digest(call),
        model=call.target.id,
        request=_request(call),
        text=completion.text,
        tool_calls=completion.tool_calls,
        usage=completion.usage,
        finish_reason=completion.finish_reason,
        timings=completion.timings,
        recorded_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    line = json.dumps(clean_json(asdict(row)), ensure_ascii=False).encode() + b"\n"
    try:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _cut_torn_line(file.fileno())
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(f"{str(path)!r} can't be written: {error.strerror}") from error


def _cut_torn_line(file: int) -> None:
    """Take away what a killed process has left of its last line."""
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.ftruncate(file, os.pread(file, size, 0).rfind(b"\n") + 1)


def _row_for(call: ProviderCall, recording: Recording) -> Row:
    digest, wanted = request_digest(call), call.target.model.served_model
    rows = recording.rows.get(digest, ())
    found = [row for row in rows if wanted in (None, row.model)]
    if not found:
        path = located(str(call.target.model.path))
        text = (
            f"{call.target.id!r} has no recorded answer to this request (digest {digest[:12]}…); "
            f"record one: `python -m core chat MODEL PROMPT --record {path}`"
        )
        raise failed(NotFoundError(text), "not_found")
    return found[-1]


def _read(path: Path, stamp: tuple[int, int, int]) -> Recording:
    """Read the file; a last line without its end is one that is being written."""
    data = path.read_bytes()
    rows: dict[str, list[Row]] = {}
    *lines, _ = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = SHAPE.validate_json(line)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                raise StorageError(
                    f"{str(path)!r}, line {number}: {where or 'the line'}: {first['msg']}"
                ) from error
            rows.setdefault(row.digest, []).append(row)
    return Recording(stamp, PREFIX + hashlib.sha256(data).hexdigest(), rows)


def _request(call: ProviderCall) -> JsonObject:
    params = call.params.to_dict()
    request: dict[str, JsonValue] = {
        "messages": [message.to_openai() for message in _without_ids(call.messages)],
        "tools": [tool.to_openai() for tool in call.tools],
        # Temperature 0 is temperature 0.0.
        "params": {**params, "temperature": float(call.params.temperature)},
        "response_schema": call.response_schema,
        "json_mode": call.json_mode,
    }
    cleaned = clean_json(request)
    assert isinstance(cleaned, Mapping)
    return cleaned


def _without_ids(messages: tuple[Message, ...]) -> list[Message]:
    """Put numbers in the place of the ids of tool calls, in the order in which they come."""
    numbers: dict[str | None, str] = {None: ""}
    for message in messages:
        for name in (*(call.id for call in message.tool_calls), message.tool_call_id):
            numbers.setdefault(name, f"call-{len(numbers)}")
    return [
        replace(
            message,
            tool_calls=tuple(replace(call, id=numbers[call.id]) for call in message.tool_calls),
            tool_call_id=numbers[message.tool_call_id] or None,
        )
        for message in messages
    ]
