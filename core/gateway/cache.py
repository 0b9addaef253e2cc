"""The answer cache: exact, least recently used out first, in memory over the store.

A hit in memory touches no database. The store keeps answers over a restart and shares them between
processes; a thread of the cache's own writes to it, so that nobody waits for that. It learns when
an answer was used, and the counts, in batches: with the next write, at the latest at `flush`. A
database that fails costs hits, never an answer.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from core.errors import InputError, StorageError
from core.gateway.flights import Flights, Turn, Wait
from core.store.cached_answers import CachedAnswer, CachedAnswers, CacheStats, Counts, Found
from core.store.database import Store

logger = logging.getLogger(__name__)

DAY_S = 86_400.0
BATCH = 512
"""Times of use that are noted before they are written even without a new answer."""
UNSEEN = -1
"""For the count of clears: nothing was read from the store yet."""


class AnswerCache:
    """Answers by key; safe to share between threads."""

    def __init__(
        self,
        store: Store,
        *,
        entries: int = 10_000,
        bytes_limit: int = 64_000_000,
        ttl_s: float = 7 * DAY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep at most so many answers, in memory at most so many bytes of them, for so long.

        `entries` bounds the memory and the store, each by itself. The age counts from storing,
        in seconds; a hit does not renew it. `clock` returns seconds since 1970.

        Raises:
            InputError: a bound is not above zero.
        """
        if min(entries, bytes_limit, ttl_s) <= 0:
            raise InputError("the cache needs entries, bytes_limit and ttl_s above zero")
        self._rows = CachedAnswers(store, entries=entries, ttl_s=ttl_s)
        self._entries, self._bytes_limit, self._ttl_s = entries, bytes_limit, ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, CachedAnswer] = OrderedDict()
        self._bytes = 0
        self._used: dict[str, float] = {}
        """Times of use that the store does not know yet."""
        self._unwritten: list[CachedAnswer] = []
        self._counts = Counts()
        self._clears = UNSEEN
        """The store's count of clears when the memory was last known to agree with it."""
        self._flights = Flights()
        self._writer = ThreadPoolExecutor(1, "answer-cache")

    def get(self, key: str) -> bytes | None:
        """Return the answer of a key, or None; an empty answer is an answer."""
        value = self._find(key)
        if value is None:
            self._count(Counts(misses=1))
        return value

    def put(self, key: str, value: bytes) -> None:
        """Keep an answer, and give it to those who wait for it in a flight.

        One that is larger than `bytes_limit` is given to them but not kept.
        """
        new = CachedAnswer(key, bytes(value), self._clock())
        fits = len(new.value) <= self._bytes_limit
        if fits:
            with self._lock:
                self._remember(new)
                self._unwritten.append(new)
                is_first = len(self._unwritten) == 1
        self._flights.land(key, new.value)
        if fits and is_first:
            self._writer.submit(self._write)

    @contextmanager
    def flight(
        self,
        key: str,
        *,
        cancel: threading.Event | None = None,
        deadline: float | None = None,
    ) -> Iterator[Turn]:
        """Return what to do about a key, so that threads of this process ask the model once.

        The turn is `hit` with the value, or `lead`: then ask the model and `put` its answer before
        leaving, or leave without, by an exception or not. While one leads, others wait here, until
        `cancel` is set (noticed within 0.05 s) or `deadline`, a moment of `time.monotonic`, has
        passed: then it is `gave_up`. Do not `get` before; a flight counts its own hit or miss.
        """
        value = self._find(key)
        if value is not None:
            yield Turn("hit", value)
            return
        with self._flights.join(key, self._peek, Wait(cancel, deadline)) as turn:
            if turn.role != "gave_up":
                is_hit = turn.role == "hit"
                self._count(Counts(hits=int(is_hit), misses=int(not is_hit)))
            yield turn

    def record_saving(self, tokens: int, usd: float | None) -> None:
        """Count what a hit has saved: tokens, and US dollars or None where no price is known."""
        self._count(Counts(saved_tokens=tokens, saved_usd=usd))

    def clear(self) -> int:
        """Remove all answers, and return how many the store had; what was counted stays.

        Other processes forget theirs at their next look into the store, so at a miss or a `put`.

        Raises:
            StorageError: the store can't be used; nothing was removed.
        """
        count, clears = self._writer.submit(self._rows.clear).result()
        with self._lock:
            self._agree(clears)
        return count

    def stats(self) -> CacheStats:
        """Return the store's entries and bytes, and the counts of all processes so far.

        Counts survive a restart and a `clear`. This process writes its own first; what another one
        counted since its last write is not in them, and is lost if that one is killed.

        Raises:
            StorageError: the store can't be used.
        """
        self.flush()
        return self._rows.stats()

    def flush(self) -> None:
        """Write what was put, counts and times of use, and remove what is too old.

        A process that is killed loses the answers of its last milliseconds.
        """
        self._writer.submit(self._write).result()

    def _count(self, more: Counts) -> None:
        with self._lock:
            self._counts.add(more)

    def _find(self, key: str) -> bytes | None:
        """Return the answer, from memory or else from the store; count a hit, but no miss."""
        now = self._clock()
        with self._lock:
            answer = self._live(key, now)
            if answer is not None:
                self._use(key, now)
                return answer.value
        try:
            found = self._rows.get(key)
        except StorageError as error:
            logger.warning("the answer cache was not read: %s", error)
            return None
        return self._adopt(key, found, now)

    def _peek(self, key: str) -> bytes | None:
        """Return the answer if it is in memory; count nothing."""
        with self._lock:
            answer = self._live(key, self._clock())
        return None if answer is None else answer.value

    def _adopt(self, key: str, found: Found, now: float) -> bytes | None:
        """Take over what the store had, unless memory has learnt more since."""
        with self._lock:
            is_current = self._agree(found.clears)
            answer = self._live(key, now)
            if answer is None:
                answer = found.answer
                if answer is None or abs(now - answer.created_at) >= self._ttl_s:
                    return None
                if is_current:
                    self._remember(answer)
            self._use(key, now)
            is_full = len(self._used) >= BATCH
        if is_full:
            self._writer.submit(self._write)
        return answer.value

    def _write(self) -> None:
        """Write what has gathered; counts that can't be written wait for the next time."""
        with self._lock:
            new, self._unwritten = self._unwritten, []
            used, self._used = self._used, {}
            counts, self._counts = self._counts, Counts()
        try:
            clears = self._rows.write(self._clock(), counts, used, new)
        except StorageError as error:
            logger.warning("the answer cache was not written: %s", error)
            with self._lock:
                self._counts.add(counts)
            return
        with self._lock:
            is_wiped = self._clears != UNSEEN and clears > self._clears
            self._agree(clears)
            for answer in new if is_wiped else ():
                self._remember(answer)  # it is younger than the clear

    # The lock is held in all that follows.

    def _agree(self, clears: int) -> bool:
        """Forget everything if another process has cleared; return whether the count is not old."""
        if clears > self._clears:
            if self._clears != UNSEEN:
                self._answers.clear()
                self._bytes = 0
            self._clears = clears
        return clears == self._clears

    def _live(self, key: str, now: float) -> CachedAnswer | None:
        answer = self._answers.get(key)
        # The age is below zero where a clock was wrong; that is no reason to keep it for ever.
        if answer is not None and abs(now - answer.created_at) >= self._ttl_s:
            self._forget(key)
            return None
        return answer

    def _use(self, key: str, now: float) -> None:
        if key in self._answers:
            self._answers.move_to_end(key)
        self._used[key] = now
        self._counts.hits += 1

    def _remember(self, answer: CachedAnswer) -> None:
        """Put an answer at the end, and leave out those unused longest until the bounds hold."""
        if len(answer.value) > self._bytes_limit:
            return
        self._forget(answer.key)
        self._answers[answer.key] = answer
        self._bytes += len(answer.value)
        while len(self._answers) > self._entries or self._bytes > self._bytes_limit:
            self._forget(next(iter(self._answers)))

    def _forget(self, key: str) -> None:
        answer = self._answers.pop(key, None)
        if answer is not None:
            self._bytes -= len(answer.value)
