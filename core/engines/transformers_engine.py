"""Models run by `transformers` in this process: many requests at once, on one thread per model.

The thread takes short turns of some tokens for all rows; adapters are loaded between two turns.
"""

import gc
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from core.catalog import Precision
from core.digests import folder_digest
from core.engines.adapters import Adapters
from core.engines.alone import generate_alone
from core.engines.base import Job
from core.engines.batch import Batch, Row
from core.engines.batchable import can_batch
from core.errors import UnavailableError
from core.providers.weights import load_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

SMALL_MODEL = 50_000_000
"""Parameters below which one thread is faster than two (docs/decisions/005-engines.md)."""
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
        import torch

        self.tokenizer = tokenizer
        self.digest = digest
        self._model = model
        self._adapters = Adapters(model)
        self._digests: dict[str, str] = {}
        """Of the adapters loaded so far."""
        self._loading = threading.Lock()
        """Held while an adapter is loaded."""
        ends = model.generation_config.eos_token_id
        listed = ends if isinstance(ends, list) else [ends]
        self.end_tokens = frozenset(token for token in listed if token is not None)
        count = sum(p.numel() for p in model.parameters())
        threads = 1 if count < SMALL_MODEL else max(1, torch.get_num_threads())
        self._owner = ThreadPoolExecutor(
            max_workers=1,
            thread_name_prefix=f"model-{name}",
            initializer=torch.set_num_threads,
            initargs=(threads,),
        )
        self._batch = self._owner.submit(self._make_batch, cache_bytes).result()
        """None: its rows can't share a forward, and are generated one after another."""
        self._weight_bytes = weight_bytes(model)
        self._alone: Row | None = None
        """The row at hand where there is no batch."""
        self._waiting: deque[Row] = deque()
        self._lock = threading.Lock()
        """Held to decide whether there is a next turn."""
        self._has_turn = False
        self._is_closed = False

    @property
    def size_bytes(self) -> int:
        """Return the bytes of weights, adapters, and keys and values in use.

        The scales of 4-bit weights are left out; they are some 3% more.
        """
        return self._weight_bytes + (self._batch.size_bytes if self._batch else 0)

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
        with self._lock:
            if not self._is_closed:
                self._waiting.append(row)
                self._continue()
                return row.future
        row.end(UnavailableError("the model is being unloaded; try again"))
        return row.future

    def close(self) -> None:
        """End all rows with an error and free the weights; called once."""
        import torch

        with self._lock:
            self._is_closed = True
        self._owner.submit(self._end_all).result()
        self._owner.shutdown(wait=True)
        del self._model, self._adapters, self._batch
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _make_batch(self, cache_bytes: int) -> Batch | None:
        if not can_batch(self._model):
            return None
        return Batch(self._model, self._adapters, self.end_tokens, cache_bytes)

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
                    self._batch.run(self._waiting, TURN_S)
            finally:
                self._after(sys.exc_info()[1])

    def _run_alone(self) -> None:
        if self._waiting:
            row = self._alone = self._waiting.popleft()
            row.job.started = time.monotonic()
            self._adapters.aim([row.job.adapter])
            generate_alone(self._model, row.job)
            self._alone = None
            row.end()

    def _sweep(self) -> None:
        """End who was cancelled while waiting."""
        with self._lock:
            unwanted = [row for row in self._waiting if row.job.is_unwanted()]
            for row in unwanted:
                self._waiting.remove(row)
        for row in unwanted:
            row.end()

    def _after(self, error: BaseException | None) -> None:
        """End the rows of a turn that failed, and take the next turn if anybody wants one."""
        if error is not None and self._alone:
            self._alone.end(error)
            self._alone = None
        if error is not None and self._batch:
            self._batch.fail(error)
        with self._lock:
            self._has_turn = False
            is_busy = bool(self._waiting or (self._batch and self._batch.rows))
            if is_busy and not self._is_closed:
                self._continue()

    def _end_all(self) -> None:
        import torch

        error = UnavailableError("the model was unloaded while it generated; try again")
        if self._batch:
            with torch.inference_mode():
                self._batch.leave(list(self._batch.rows), error)
        while self._waiting:
            self._waiting.popleft().end(error)


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
