"""Models run by `transformers` in this process: many requests at once, on one thread per model.

The thread takes short turns of some tokens for all rows; adapters are loaded between two turns.
"""

import gc
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from core.catalog import Precision
from core.digests import folder_digest
from core.engines.adapters import Adapters
from core.engines.alone import generate_alone
from core.engines.base import Job
from core.engines.batch import CALLER_ROWS, Batch
from core.engines.batchable import can_batch
from core.engines.budget import Budget, budget_of
from core.engines.groups import Sealed
from core.engines.measures import end_tokens_of, threads_for, weight_bytes
from core.engines.waiting import Row, Waiting
from core.errors import UnavailableError
from core.providers.weights import load_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

CACHE_BYTES = 10**9
"""What keys and values of all rows of a model may take; a row that is alone may take half of what
the weights take, if that is more."""
TURN_S = 0.05
"""How long a turn is: what the loading of an adapter waits for, and who was cancelled while
waiting."""


class TransformersEngine:
    """A loaded model with its rows; safe to share between threads."""

    def __init__(
        self,
        name: str,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerFast",
        digest: str,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.tokenizer = tokenizer
        self.digest = digest
        self._model = model
        self._adapters = Adapters(model)
        self._digests: dict[str, str] = {}
        """Of the adapters loaded so far."""
        self._loading = threading.Lock()
        """Held while an adapter is loaded."""
        self.end_tokens = end_tokens_of(model)
        self._owner = owner_of(name, threads_for(model))
        self._weight_bytes = weight_bytes(model)
        self._budget = self._owner.submit(self._measured, cache_bytes).result()
        self._batch = None if self._budget is None else self._make_batch(self._budget)
        """None: its rows can't share a forward, and are generated one after another."""
        self._alone: Row | None = None
        """The row at hand where there is no batch."""
        self._swept = 0.0
        """When rows that were cancelled while waiting were last looked for."""
        self._waiting = Waiting(CALLER_ROWS)
        self._apart: deque[list[Row]] = deque()
        """Rows that are to run together and with nobody else, by group."""
        self._sealed: Sealed | None = None
        """The group at hand."""
        self._at_hand: Batch | None = None
        """The batch of the forward at hand, or of the last one."""
        self._lock = threading.Lock()
        """Held to decide whether there is a next turn."""
        self._has_turn = False
        self._is_closed = False

    @property
    def is_serial(self) -> bool:
        """Say whether requests are served one after another."""
        return self._batch is None

    @property
    def size_bytes(self) -> int:
        """Return the bytes of weights, adapters, and keys and values in use.

        The scales of 4-bit weights are left out; they are some 3% more.
        """
        batches = (self._batch, self._sealed and self._sealed.batch)
        return self._weight_bytes + sum(batch.size_bytes for batch in batches if batch)

    def has_adapter(self, version: str) -> bool:
        """Say whether the adapter is loaded."""
        return version in self._digests

    def adapter_digest(self, version: str, folder: Path) -> str:
        """Load the adapter if it is not yet, prove that it changes the output, return its digest.

        Raises:
            UnavailableError: the folder is no plain LoRA adapter of this model in safetensors, or
                it changes nothing.
        """
        with self._loading:
            if version not in self._digests:
                self._owner.submit(self._adapters.load, version, folder).result()
                self._weight_bytes = weight_bytes(self._model)
                self._digests[version] = folder_digest(folder)
            return self._digests[version]

    def submit(self, job: Job) -> "Future[None]":
        """Begin the job as soon as there is room; its error, if any, is the future's.

        The end token is handed over too. `job.finish` is called before the future is done.
        """
        row = Row(job, Future())
        self._begin([row], lambda rows: self._waiting.add(*rows))
        return row.future

    def submit_together(self, jobs: Sequence[Job]) -> "list[Future[None]]":
        """Begin jobs that share forwards with each other only: the same jobs, the same tokens."""
        rows = [Row(job, Future()) for job in jobs]
        self._begin(rows, self._apart.append)
        return [row.future for row in rows]

    def _begin(self, rows: Sequence[Row], put: Callable[[list[Row]], None]) -> None:
        served = [row for row in rows if self._is_served(row)]
        with self._lock:
            if served and not self._is_closed:
                put(served)
                self._continue()
                return
        for row in served:
            row.end(UnavailableError("the model is being unloaded; try again"))

    def _is_served(self, row: Row) -> bool:
        """Say whether there is memory for the row; it ends here if there never will be."""
        try:
            if self._budget is not None:
                self._budget.check(row)
        except UnavailableError as error:
            row.end(error)
            return False
        return True

    def close(self) -> None:
        """End all rows with an error and free the weights; called once."""
        import torch

        with self._lock:
            self._is_closed = True
        self._owner.submit(self._end_all).result()
        self._owner.shutdown(wait=True)
        del self._model, self._adapters, self._batch, self._at_hand
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _measured(self, cache_bytes: int) -> Budget | None:
        if not can_batch(self._model):
            return None
        return budget_of(self._model, cache_bytes, self._weight_bytes // 2)

    def _make_batch(self, budget: Budget) -> Batch:
        return Batch(self._model, self._adapters, self.end_tokens, budget)

    def _continue(self) -> None:
        """Make sure that there is a next turn; the lock is held."""
        if not self._has_turn:
            self._has_turn = True
            self._owner.submit(self._take_turn)

    def _take_turn(self) -> None:
        """Take one turn on the owner's thread; an error is the rows' that it was taken for."""
        import torch

        with torch.inference_mode():
            try:
                self._sweep()
                if self._batch is None:
                    self._run_alone()
                else:
                    self._run(self._batch)
            finally:
                self._after(sys.exc_info()[1])

    def _run(self, batch: Batch) -> None:
        """Make tokens for so long, one at least for every row of both batches."""
        until = time.monotonic() + TURN_S
        while True:
            for lane, waiting in self._lanes(batch):
                self._at_hand = lane
                lane.step(waiting)
            is_idle = not (batch.rows or self._waiting or self._has_apart())
            if is_idle or time.monotonic() >= until:
                return

    def _lanes(self, batch: Batch) -> Iterator[tuple[Batch, Waiting]]:
        """Yield the batch of all, then that of the group that runs apart."""
        if batch.rows or self._waiting:
            yield batch, self._waiting
        budget = self._budget
        if self._sealed is None and self._apart and budget is not None:
            part = budget.part_for(self._apart[0])
            if batch.fits(budget.without(part)):
                self._sealed = Sealed(self._make_batch(part), self._apart.popleft())
        if self._sealed is not None:
            yield self._sealed.batch, self._sealed.waiting
            if not self._sealed.is_running and budget is not None:
                # The next group waits for one step, so that a large row has its turn.
                self._sealed = None
                batch.bound(budget)

    def _has_apart(self) -> bool:
        return bool(self._sealed or self._apart)

    def _run_alone(self) -> None:
        while self._apart:
            self._waiting.add(*self._apart.popleft())
        row = self._waiting.pop()
        if row is None:
            return
        if not row.job.is_unwanted():
            self._alone = row
            row.job.started = time.monotonic()
            self._adapters.aim([row.job.adapter])
            generate_alone(self._model, row.job, self._sweep)
            self._alone = None
        row.end()

    def _sweep(self) -> None:
        """End who was cancelled while waiting; called often, it looks once in a while."""
        if time.monotonic() - self._swept < TURN_S:
            return
        unwanted = self._waiting.take_unwanted()
        for group in list(self._apart):
            unwanted += [row for row in group if row.job.is_unwanted()]
            group[:] = [row for row in group if row not in unwanted]
        for row in unwanted:
            row.end()
        self._swept = time.monotonic()

    def _after(self, error: BaseException | None) -> None:
        """End the rows of a turn that failed, and take the next turn if anybody wants one."""
        if error is not None and self._alone:
            self._alone.end(error)
            self._alone = None
        if error is not None and self._at_hand:
            self._at_hand.fail(error)
        with self._lock:
            self._has_turn = False
            is_busy = self._waiting or self._has_apart() or (self._batch and self._batch.rows)
            if is_busy and not self._is_closed:
                self._continue()

    def _end_all(self) -> None:
        import torch

        error = UnavailableError("the model was unloaded while it generated; try again")
        waiting = self._waiting.take_all() + [row for group in self._apart for row in group]
        self._apart.clear()
        with torch.inference_mode():
            for batch in (self._batch, self._sealed.batch if self._sealed else None):
                if batch is not None:
                    batch.leave(list(batch.rows), error)
        if self._sealed:
            waiting += self._sealed.waiting.take_all()
            self._sealed = None
        for row in waiting:
            row.end(error)


def owner_of(name: str, threads: int) -> ThreadPoolExecutor:
    """Return the one thread that touches a model; PyTorch computes with so many for it."""
    import torch

    title = f"model-{name}"
    return ThreadPoolExecutor(1, title, initializer=torch.set_num_threads, initargs=(threads,))


def load_engine(
    name: str,
    folder: Path,
    precision: Precision,
    digest_of: Callable[[Path], str] = folder_digest,
) -> TransformersEngine:
    """Load a model folder and begin to serve it.

    `digest_of` is asked once the weights are loaded.

    Raises:
        UnavailableError: the folder is missing, damaged or incomplete.
        MissingExtraError: the precision needs a package that is not installed.
    """
    loaded = load_folder(name, folder, precision)
    return TransformersEngine(name, loaded.model, loaded.tokenizer, digest_of(folder))
