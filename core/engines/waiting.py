"""Rows that wait for a place in a batch: callers take turns, so nobody waits behind a crowd."""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from core.engines.base import Job


@dataclass(slots=True, eq=False)
class Row:
    """One job on its way through an engine."""

    job: Job
    future: "Future[None]"
    steps: list[Any] = field(default_factory=list)
    """What is done to the scores before the best is chosen."""
    unread: list[int] = field(default_factory=list)
    """Tokens of the prompt that the model has yet to read."""
    made: list[int] = field(default_factory=list)

    @property
    def read(self) -> list[int]:
        """Return what the model has read, once it has read the prompt."""
        return self.job.prompt + self.made[:-1]

    @property
    def places(self) -> int:
        """Return how many tokens the row may hold at its end."""
        return len(self.job.prompt) + self.job.new_tokens

    def end(self, error: BaseException | None = None) -> None:
        """Tell the reader and the caller that nothing more will come."""
        self.job.finish()
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)


class Waiting:
    """Waiting rows by caller; safe to share between threads."""

    def __init__(self, most: int) -> None:
        """`most` is how many rows one caller may hold at once; the others' places stay free."""
        self._most = most
        self._lock = threading.Lock()
        self._rows: OrderedDict[str, deque[Row]] = OrderedDict()
        """In the order in which the callers have their turns."""

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, *rows: Row) -> None:
        """Let the rows wait, each behind its caller's others."""
        with self._lock:
            for row in rows:
                self._rows.setdefault(row.job.caller, deque()).append(row)

    def first(self, running: Iterable[Row]) -> Row | None:
        """Return whose turn it is; None when everybody who waits holds as many as allowed."""
        held = Counter(row.job.caller for row in running)
        with self._lock:
            free = (rows for caller, rows in self._rows.items() if held[caller] < self._most)
            rows = next(free, None)
            return None if rows is None else rows[0]

    def take(self, row: Row) -> None:
        """Take out the row that `first` returned: all others come before its caller's next."""
        with self._lock:
            self._take(row.job.caller)

    def pop(self) -> Row | None:
        """Take out whose turn it is; None when nobody waits."""
        with self._lock:
            return self._take(next(iter(self._rows))) if self._rows else None

    def _take(self, caller: str) -> Row:
        row = self._rows[caller].popleft()
        if self._rows[caller]:
            self._rows.move_to_end(caller)
        else:
            del self._rows[caller]
        return row

    def take_unwanted(self) -> list[Row]:
        """Take out who was cancelled while waiting."""
        with self._lock:
            rows = [row for each in self._rows.values() for row in each if row.job.is_unwanted()]
            for row in rows:
                self._rows[row.job.caller].remove(row)
            for caller in [caller for caller, each in self._rows.items() if not each]:
                del self._rows[caller]
        return rows

    def take_all(self) -> list[Row]:
        """Take out everybody."""
        with self._lock:
            rows = [row for each in self._rows.values() for row in each]
            self._rows.clear()
        return rows
