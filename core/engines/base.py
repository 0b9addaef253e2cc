"""What every engine of local models does, and the job that it is given."""

import queue
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, NamedTuple, Protocol

from core.messages import GenerationParams

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SMALL_MODEL = 50_000_000
"""Parameters below which one thread computes a token sooner than two; measured in 005-engines.md
of docs/decisions."""


class Token(NamedTuple):
    """A token of a completion, and when the engine had it."""

    id: int
    moment: float


@dataclass(slots=True)
class Job:
    """One generation: what is asked, and the tokens as they come."""

    prompt: list[int]
    params: GenerationParams
    adapter: str | None
    """Version of an adapter that the engine has loaded; None: the base alone."""
    new_tokens: int
    """Bound on new tokens that the parameters and the context leave."""
    cancelled: Event
    """Set by the caller: ends the generation after the token at hand."""
    caller: str = ""
    """Who asks: callers take turns where rows have to wait."""
    cached_tokens: int = 0
    """Set by the engine: tokens of the prompt that it had read before and did not read again."""
    tokens: "queue.SimpleQueue[Token]" = field(default_factory=queue.SimpleQueue)
    """Tokens as they come."""
    arrived: Event = field(default_factory=Event)
    """Set by the engine: there is something new to look at."""
    finished: Event = field(default_factory=Event)
    """Set by the engine: no more tokens will come."""
    ended: Event = field(default_factory=Event)
    """Set by the reader: nobody wants more tokens."""
    submitted: float = field(default_factory=time.monotonic)
    started: float | None = None

    def add(self, token: int) -> None:
        """Hand one token to the reader."""
        self.tokens.put(Token(token, time.monotonic()))
        self.arrived.set()

    def finish(self) -> None:
        """Tell the reader that no more tokens will come."""
        self.finished.set()
        self.arrived.set()

    def is_unwanted(self) -> bool:
        """Say whether nobody waits for more tokens."""
        return self.cancelled.is_set() or self.ended.is_set()


class Engine(Protocol):
    """A loaded model that generates for many at once; safe to share between threads."""

    tokenizer: "PreTrainedTokenizerFast"
    digest: str
    """Of the model folder's files when they were loaded."""

    @property
    def size_bytes(self) -> int:
        """Return how many bytes weights and caches take now."""
        ...

    @property
    def is_serial(self) -> bool:
        """Say whether requests are served one after another."""
        ...

    @property
    def end_tokens(self) -> frozenset[int]:
        """Return the tokens that end an answer."""
        ...

    def has_adapter(self, version: str) -> bool:
        """Say whether the adapter is loaded."""
        ...

    def adapter_digest(self, version: str, folder: Path) -> str:
        """Load the adapter if it is not yet, prove that it changes the output, return its digest.

        Raises:
            UnavailableError: the folder is no adapter of this model, or it changes nothing.
        """
        ...

    def submit(self, job: Job) -> "Future[None]":
        """Begin the job as soon as there is room; its error, if any, is the future's.

        The end token is handed over too. `job.finish` is called before the future is done.
        """
        ...

    def submit_together(self, jobs: Sequence[Job]) -> "list[Future[None]]":
        """Begin jobs that share forwards with each other only: the same jobs, the same tokens."""
        ...

    def close(self) -> None:
        """Free the weights; called once, when nobody uses them."""
        ...
