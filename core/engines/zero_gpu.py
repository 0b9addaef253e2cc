"""Models on a ZeroGPU Space: no thread can own a GPU there, so each answer borrows one.

The weights are placed when the app starts. `spaces.GPU` then runs a function in a forked process
that has the GPU for some seconds; tokens come back as they are made.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.digests import folder_digest
from core.engines.adapters import Adapters
from core.engines.alone import generate_alone
from core.engines.base import Job
from core.engines.measures import end_tokens_of, weight_bytes
from core.engines.waiting import Row, Waiting
from core.errors import AppError, MissingExtraError, UnavailableError
from core.messages import GenerationParams
from core.providers.weights import Weights

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ANSWERS = 8
"""Answers that wait for a GPU at once; more wait here, where callers take turns."""
LEAST_S, TOKENS_PER_S = 20, 30
"""What a GPU is asked for: seconds to begin with, and tokens a second that any model reaches."""
LOOK_S = 0.05
"""How often the tokens that have come are handed over."""

Borrow = Callable[..., Any]
"""`spaces.GPU`: takes a function, returns one that runs where there is a GPU."""


@dataclass(frozen=True, slots=True)
class Order:
    """A job as it goes to another process."""

    prompt: list[int]
    params: GenerationParams
    adapter: str | None
    new_tokens: int


@dataclass(slots=True)
class Placed:
    """A model and its adapters on the GPU; the forked processes inherit it."""

    model: Any
    adapters: Adapters
    alone: threading.Lock = field(default_factory=threading.Lock)
    """Held while answering: off the platform nothing forks. Nobody ever holds it there."""

    def tokens(self, order: Order) -> Iterator[list[int]]:
        """Yield the answer's tokens as they come; runs where there is a GPU.

        Raises:
            UnavailableError: the adapter changes nothing.
        """
        job = Job(order.prompt, order.params, order.adapter, order.new_tokens, threading.Event())
        with self.alone, ThreadPoolExecutor(1) as threads:
            if order.adapter is not None:
                self.adapters.prove(order.adapter)
            self.adapters.aim([order.adapter])
            future = threads.submit(generate_alone, self.model, job)
            future.add_done_callback(lambda _: job.finish())
            try:
                is_last = False
                while not is_last:
                    is_last = job.finished.wait(LOOK_S)
                    yield [job.tokens.get_nowait().id for _ in range(job.tokens.qsize())]
            finally:
                job.ended.set()
            future.result()


class ZeroGpuEngine:
    """A placed model; see `core.engines.base.Engine`."""

    def __init__(
        self, loaded: Weights, digest: str, adapters: Mapping[str, Path], borrow: Borrow
    ) -> None:
        """Load every adapter that will be asked for: later there is no GPU to place it on.

        Raises:
            UnavailableError: a folder is no adapter of this model.
        """
        self.tokenizer: PreTrainedTokenizerFast = loaded.tokenizer
        self.digest = digest
        self.end_tokens = end_tokens_of(loaded.model)
        placed = Placed(loaded.model, Adapters(loaded.model))
        self._digests = {}
        for version, folder in adapters.items():
            placed.adapters.add(version, folder)
            self._digests[version] = folder_digest(folder)
        self.size_bytes = weight_bytes(loaded.model)
        self._tokens = borrow(duration=_seconds)(placed.tokens)
        self._waiting = Waiting(ANSWERS)
        self._threads = ThreadPoolExecutor(ANSWERS, thread_name_prefix="zero-gpu")

    @property
    def is_serial(self) -> bool:
        """Return false: each answer has a GPU of its own."""
        return False

    def has_adapter(self, version: str) -> bool:
        """Say whether the adapter was placed."""
        return version in self._digests

    def adapter_digest(self, version: str, folder: Path) -> str:
        """Return the digest of an adapter that was placed; each answer proves its effect first.

        Raises:
            UnavailableError: it was not there when the app started.
        """
        if version not in self._digests:
            raise UnavailableError(
                f"adapter {version!r} ({folder.name}) was not there when the app started, and "
                "ZeroGPU takes weights only then; restart the Space"
            )
        return self._digests[version]

    def submit(self, job: Job) -> "Future[None]":
        """Begin the job as soon as a GPU is lent; its error, if any, is the future's."""
        row = Row(job, Future())
        self._waiting.add(row)
        try:
            self._threads.submit(self._run_next)
        except RuntimeError:
            self._waiting.take_all()
            row.end(UnavailableError("the model is being unloaded; try again"))
        return row.future

    def submit_together(self, jobs: Sequence[Job]) -> "list[Future[None]]":
        """Begin the jobs; every answer has a forward of its own here, whoever else asks."""
        return [self.submit(job) for job in jobs]

    def close(self) -> None:
        """Wait for what is generated."""
        self._threads.shutdown(wait=True)

    def _run_next(self) -> None:
        row = self._waiting.pop()
        if row is None:
            return
        try:
            self._read(row.job)
        finally:
            row.end(_told(sys.exc_info()[1]))

    def _read(self, job: Job) -> None:
        if job.is_unwanted():
            return
        order = Order(job.prompt, job.params, job.adapter, job.new_tokens)
        with closing(self._tokens(order)) as pieces:
            for piece in pieces:
                for token in piece:
                    job.add(token)
                for row in self._waiting.take_unwanted():
                    row.end()
                if job.is_unwanted():
                    return


def _seconds(order: Order) -> int:
    """Return for how long a GPU is needed."""
    return LEAST_S + order.new_tokens // TOKENS_PER_S


def _told(error: BaseException | None) -> BaseException | None:
    """Return what the caller is told: Spaces refuses in words that are meant for people."""
    if error is None or isinstance(error, AppError | RuntimeError | MemoryError):
        return error
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    refusal = UnavailableError(f"ZeroGPU lent no GPU for this answer: {reason}")
    refusal.__cause__ = error
    return refusal


def import_spaces() -> Borrow:
    """Return `spaces.GPU`; the package must be imported before anything touches CUDA.

    Raises:
        MissingExtraError: it is not installed, which no ZeroGPU Space lacks.
    """
    try:
        from spaces import GPU
    except ImportError as error:
        raise MissingExtraError("ZeroGPU needs the package spaces: pip install spaces") from error
    borrow: Borrow = GPU
    return borrow
