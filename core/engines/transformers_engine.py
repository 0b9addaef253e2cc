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
from core.engines.base import SMALL_MODEL, Job
from core.engines.batch import CALLER_ROWS, Batch, Budget, Sealed, budget_of
from core.engines.batchable import can_batch
from core.engines.waiting import Row, Waiting
from core.errors import UnavailableError
from core.providers.weights import load_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

CACHE_BYTES = 10**9
"""What keys and values of all rows of a model may take; a single row may take more."""
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
        self._budget = self._owner.submit(self._measured, cache_bytes).result()
        self._batch = None if self._budget is None else self._make_batch(self._budget)
        """None: its rows can't share a forward, and are generated one after another."""
        self._weight_bytes = weight_bytes(model)
        self._alone: Row | None = None
        """The row at hand where there is no batch."""
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
    def size_bytes(self) -> int:
        """Return the bytes of weights, adapters, and keys and values in use.

        The scales of 4-bit weights are left out; they are some 3% more.
        """
        batches = (self._batch, self._sealed and self._sealed.batch)
        return self._weight_bytes + sum(batch.size_bytes for batch in batches if batch)

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
        self._begin([row], lambda: self._waiting.add(row))
        return row.future

    def submit_together(self, jobs: Sequence[Job]) -> "list[Future[None]]":
        """Begin jobs that share forwards with each other only: the same jobs, the same tokens."""
        rows = [Row(job, Future()) for job in jobs]
        self._begin(rows, lambda: self._apart.append(rows))
        return [row.future for row in rows]

    def _begin(self, rows: Sequence[Row], put: Callable[[], None]) -> None:
        with self._lock:
            if not self._is_closed:
                put()
                self._continue()
                return
        for row in rows:
            row.end(UnavailableError("the model is being unloaded; try again"))

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
        return budget_of(self._model, cache_bytes) if can_batch(self._model) else None

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
        if self._sealed is None and self._apart and self._budget:
            self._sealed = Sealed(self._make_batch(self._budget), self._apart.popleft())
        if self._sealed is not None:
            yield self._sealed.batch, self._sealed.waiting
            if not self._sealed.is_running:
                self._sealed = None

    def _has_apart(self) -> bool:
        return bool(self._sealed or self._apart)

    def _run_alone(self) -> None:
        while self._apart:
            for row_apart in self._apart.popleft():
                self._waiting.add(row_apart)
        row = self._waiting.pop()
        if row is not None:
            self._alone = row
            row.job.started = time.monotonic()
            self._adapters.aim([row.job.adapter])
            generate_alone(self._model, row.job)
            self._alone = None
            row.end()

    def _sweep(self) -> None:
        """End who was cancelled while waiting."""
        for row in self._waiting.take_unwanted():
            row.end()

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


def threads_for(model: "PreTrainedModel") -> int:
    """Return with how many threads the model computes a token soonest."""
    import torch

    count = sum(p.numel() for p in model.parameters())
    return 1 if count < SMALL_MODEL else max(1, torch.get_num_threads())


def end_tokens_of(model: "PreTrainedModel") -> frozenset[int]:
    """Return the tokens that end an answer."""
    ends = model.generation_config.eos_token_id
    listed = ends if isinstance(ends, list) else [ends]
    return frozenset(token for token in listed if token is not None)


def weight_bytes(model: "PreTrainedModel") -> int:
    """Return the bytes of parameters and buffers."""
    tensors = [*model.parameters(), *model.buffers()]
    sizes = {t.data_ptr(): t.numel() * t.element_size() for t in tensors}
    return sum(sizes.values())


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
