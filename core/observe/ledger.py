"""The trace ledger: one request is one trace, a tree of timed spans.

A trace's row is committed before its work starts; its end and its spans come in one commit.
Texts of people and models belong into the span attributes `input` and `output`: only these are
removed when the conversation is deleted.
"""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from core.errors import AppError, NotFoundError, StorageError
from core.messages import JsonValue, new_id
from core.observe.liveness import process_mark
from core.observe.traces import (
    EndStatus,
    Status,
    Trace,
    TraceSummary,
    status_from_row,
    summary_from_row,
    trace_from_rows,
)
from core.store.database import Store
from core.store.ownership import is_id
from core.store.tables import spans, traces
from core.store.text import clean_json, clean_text

# Built once: building one takes as long as running it.
START = insert(traces)
END = (
    update(traces)
    .where(traces.c.id == bindparam("of"))
    .values(status=bindparam("how"), error_code=bindparam("code"), duration_s=bindparam("seconds"))
    .returning(traces.c.is_blanked)
)
STEPS = insert(spans)


class Ledger:
    """The traces in a store; safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._process = process_mark()

    def trace(self, name: str, *, caller: str, conversation_id: str | None = None) -> "TraceHandle":
        """Return a context for one request; entering it commits the trace's row.

        Leaving it records `ok`, `error` with the error's code, or `cancelled` when a generator
        was closed; the error goes on. Both ends raise StorageError when they cannot be written.
        """
        values = {
            "id": new_id(),
            "name": clean_text(name),
            "caller": clean_text(caller),
            "conversation_id": conversation_id,
            "process": self._process,
        }
        return TraceHandle(self._store, values)

    def list(self, limit: int, caller: str | None = None) -> tuple[TraceSummary, ...]:
        """Return the newest traces first, of one caller or of all."""
        query = select(traces).order_by(traces.c.started_at.desc(), traces.c.id.desc())
        if caller is not None:
            query = query.filter_by(caller=caller)
        with self._store.read() as connection:
            rows = connection.execute(query.limit(limit)).mappings().all()
        return tuple(summary_from_row(row) for row in rows)

    def show(self, trace_id: str, caller: str | None = None) -> Trace:
        """Return a trace with its spans, of one caller or of any.

        Raises:
            NotFoundError: there is no such trace, or it is another caller's.
        """
        query = select(traces).filter_by(id=trace_id)
        if caller is not None:
            query = query.filter_by(caller=caller)
        steps = select(spans).filter_by(trace_id=trace_id).order_by(spans.c.number)
        with self._store.read() as connection:
            row = connection.execute(query).mappings().one_or_none() if is_id(trace_id) else None
            if row is None:
                raise NotFoundError(f"no trace {trace_id!r}; choose one from the list")
            return trace_from_rows(row, connection.execute(steps).mappings().all())

    def counts(self, caller: str | None = None) -> Mapping[Status, int]:
        """Return how many traces have each status; a status without traces is left out."""
        ended = select(traces.c.status, func.count()).where(traces.c.status != "running")
        running = select(traces).filter_by(status="running")
        if caller is not None:
            ended, running = ended.filter_by(caller=caller), running.filter_by(caller=caller)
        with self._store.read() as connection:
            counted = connection.execute(ended.group_by(traces.c.status)).all()
            unended = connection.execute(running).mappings().all()
        counts = Counter(status_from_row(row) for row in unended)
        for status, count in counted:
            counts[status] += count
        return counts


class TraceHandle:
    """A trace being written; its spans may start and end in any thread."""

    def __init__(self, store: Store, values: Mapping[str, Any]) -> None:
        self.id: str = values["id"]
        self._store = store
        self._values = values
        self._steps = Steps()

    def __enter__(self) -> "TraceHandle":
        """Commit the row of the running trace."""
        now = datetime.now(UTC)
        row = {**self._values, "status": "running", "is_blanked": False, "started_at": now}
        with self._store.write() as connection:
            connection.execute(START, row)
        self._steps.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        """Commit the end and the spans; failing at that never hides the request's own error."""
        try:
            self._end(error)
        except StorageError as failure:
            if error is None:
                raise
            error.add_note(f"the end of trace {self.id} was not recorded: {failure}")

    def span(self, name: str, kind: str) -> "SpanHandle":
        """Return a context for a step directly under the trace."""
        return SpanHandle(self._steps, name, kind)

    def _end(self, error: BaseException | None) -> None:
        rows = [{**row, "trace_id": self.id} for row in self._steps.rows()]
        status, code = _outcome(error)
        end = {"of": self.id, "how": status, "code": code, "seconds": self._steps.elapsed()}
        with self._store.write() as connection:
            if connection.scalar(END, end):
                rows = [{**row, "input": None, "output": None} for row in rows]
            if rows:
                connection.execute(STEPS, rows)


class SpanHandle:
    """A step being written; what is set after its trace has ended is lost."""

    def __init__(self, steps: "Steps", name: str, kind: str, parent: int | None = None) -> None:
        self._steps = steps
        self._row: dict[str, Any] = {
            "parent": parent,
            "name": clean_text(name),
            "kind": clean_text(kind),
            "input": None,
            "output": None,
            "attributes": {},
        }

    def __enter__(self) -> "SpanHandle":
        """Start the clock of the step."""
        self._steps.add(self._row)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        """Note how the step ended."""
        self._steps.end(self._row, *_outcome(error))

    def set(self, **attributes: JsonValue) -> None:
        """Note facts about the step; `input` and `output` are the place for people's texts."""
        self._steps.set(self._row, {key: clean_json(value) for key, value in attributes.items()})

    def span(self, name: str, kind: str) -> "SpanHandle":
        """Return a context for a step inside this one, once this one has started."""
        return SpanHandle(self._steps, name, kind, self._row["number"])


class Steps:
    """The span rows of one trace and their clock, behind one lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: list[dict[str, Any]] = []
        self._start = time.perf_counter()

    def start(self) -> None:
        """Set the clock to zero."""
        self._start = time.perf_counter()

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self._start

    def add(self, row: dict[str, Any]) -> None:
        """Number a step that starts now; until it ends it counts as cancelled."""
        with self._lock:
            row.update(number=len(self._rows) + 1, offset_s=self.elapsed(), duration_s=None)
            row.update(status="cancelled", error_code=None)
            self._rows.append(row)

    def set(self, row: dict[str, Any], facts: Mapping[str, JsonValue]) -> None:
        """Put facts into a step's row."""
        with self._lock:
            for key, value in facts.items():
                target = row if key in ("input", "output") else row["attributes"]
                target[key] = value

    def end(self, row: dict[str, Any], status: EndStatus, code: str | None) -> None:
        """Note how and when a step ended."""
        with self._lock:
            row.update(status=status, error_code=code)
            row["duration_s"] = self.elapsed() - row["offset_s"]

    def rows(self) -> list[dict[str, Any]]:
        """Return a copy of all rows; steps still open have lasted until now."""
        with self._lock:
            now = self.elapsed()
            copies = [{**row, "attributes": dict(row["attributes"])} for row in self._rows]
        for row in copies:
            if row["duration_s"] is None:
                row["duration_s"] = now - row["offset_s"]
        return copies


def _outcome(error: BaseException | None) -> tuple[EndStatus, str | None]:
    if error is None:
        return "ok", None
    if isinstance(error, AppError):
        return "error", error.code
    # What is no Exception (a closed generator, an interrupt) ends a request from outside.
    return ("error", type(error).__name__) if isinstance(error, Exception) else ("cancelled", None)
