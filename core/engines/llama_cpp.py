"""llama.cpp in this process: a compiled engine for Llama models, several answers at once.

Adapters can only be loaded when it starts: for a new one it starts again as soon as no answer is
being generated, and requests wait meanwhile.
"""

import math
import os
import secrets
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from core.digests import folder_digest
from core.engines.base import Job
from core.engines.gguf_adapters import adapter_file
from core.engines.gguf_files import model_file
from core.engines.llama_config import LlamaShape, read_shape
from core.engines.llama_reader import Reader
from core.engines.llama_server import (
    Door,
    LlamaOptions,
    Plan,
    import_library,
    plan_for,
    start,
)
from core.engines.waiting import Row, Waiting
from core.errors import AppError, UnavailableError
from core.providers.weights import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

UNLOADING = "the model is being unloaded; try again"
LOOK_S = 0.05
"""How often rows that wait are asked whether they were cancelled."""
LIST_SEED = 2**32 - 1
"""The seed that means `draw one` to llama.cpp."""


@dataclass(frozen=True, slots=True)
class _Adapter:
    digest: str
    file: Path
    size_bytes: int


class LlamaCppEngine:
    """A Llama in llama.cpp; see `core.engines.base.Engine`."""

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerFast",
        digest: str,
        shape: LlamaShape,
        plan: Plan,
    ) -> None:
        self.tokenizer = tokenizer
        self.digest = digest
        self._shape = shape
        self._plan = plan
        self._adapters: dict[str, _Adapter] = {}
        """By version, in the order in which the server has them."""
        self._refused: dict[str, str] = {}
        """Why an adapter was refused, by digest: each attempt costs a start."""
        self._loading = threading.Lock()
        """Held while an adapter is loaded."""
        self._door = Door()
        # Nothing but this attribute may refer to the server: it ends with its last reference.
        self._server: Any = start(plan, [])
        self._waiting = Waiting(plan.slots)
        self._swept = 0.0
        """When rows that were cancelled while waiting were last looked for."""
        self._lock = threading.Lock()
        """Held to decide whether more may come."""
        self._is_closed = False
        self._workers = ThreadPoolExecutor(plan.slots, thread_name_prefix="llama.cpp")

    @property
    def is_serial(self) -> bool:
        """Say whether requests are served one after another."""
        return self._plan.slots == 1

    @property
    def size_bytes(self) -> int:
        """Return the bytes of weights, adapters, keys, values and intermediate results."""
        return self._plan.own_bytes + sum(a.size_bytes for a in self._adapters.values())

    @property
    def end_tokens(self) -> frozenset[int]:
        """Return the tokens that end an answer."""
        return frozenset(self._shape.end_tokens)

    def has_adapter(self, version: str) -> bool:
        """Say whether the adapter is loaded."""
        return version in self._adapters

    def adapter_digest(self, version: str, folder: Path) -> str:
        """Load the adapter if it is not yet, prove that it changes the output, return its digest.

        Loading waits until no answer is being generated, and starts llama.cpp again.

        Raises:
            UnavailableError: the folder is no adapter of this model, or it changes nothing.
            StorageError: the folder can't be read or the converted file can't be written.
        """
        with self._loading:
            if version not in self._adapters:
                digest = folder_digest(folder)
                if digest in self._refused:
                    raise UnavailableError(self._refused[digest])
                file = adapter_file(folder, self._shape, self._plan.file.parent)
                with self._door.alone():
                    self._add(version, _Adapter(digest, file, file.stat().st_size))
            return self._adapters[version].digest

    def submit(self, job: Job) -> "Future[None]":
        """Begin the job as soon as there is room; its error, if any, is the future's."""
        row = Row(job, Future())
        with self._lock:
            if not self._is_closed:
                self._waiting.add(row)
                self._workers.submit(self._run_next)
                return row.future
        row.end(UnavailableError(UNLOADING))
        return row.future

    def submit_together(self, jobs: Sequence[Job]) -> "list[Future[None]]":
        """Run jobs one by one with nothing beside them: the same jobs, the same tokens."""
        rows = [Row(job, Future()) for job in jobs]
        with self._lock:
            if not self._is_closed:
                self._workers.submit(self._run_apart, rows)
                return [row.future for row in rows]
        for row in rows:
            row.end(UnavailableError(UNLOADING))
        return [row.future for row in rows]

    def close(self) -> None:
        """End what is generated and free the weights."""
        with self._lock:
            self._is_closed = True
        for row in self._waiting.take_all():
            row.end(UnavailableError(UNLOADING))
        self._workers.shutdown(wait=True)
        self._server = None

    def _add(self, version: str, adapter: _Adapter) -> None:
        """Start again with one more adapter; without it if it fails or changes nothing."""
        before = dict(self._adapters)
        try:
            self._restart({**before, version: adapter})
            if not self._has_effect(len(before)):
                raise UnavailableError(
                    f"adapter {version!r} changes nothing; train it, or take it out of the catalog"
                )
        except UnavailableError as error:
            self._refused[adapter.digest] = str(error)
            self._restart(before)
            raise

    def _restart(self, adapters: dict[str, _Adapter]) -> None:
        files = [adapter.file for adapter in adapters.values()]
        for file in (self._plan.file, *files):
            if file.exists():
                os.utime(file)  # so that the cache keeps it
        self._server = None
        self._server = start(self._plan, files)
        self._adapters = adapters

    def _has_effect(self, index: int) -> bool:
        """Say whether the adapter changes what the model expects next, beyond rounding."""
        base = self._expected(None)
        again, changed = self._expected(None), self._expected(index)
        return _distance(base, changed) > _distance(base, again)

    def _expected(self, index: int | None) -> dict[int, float]:
        """Return the log-probabilities of the likeliest tokens after a fixed prompt."""
        step = max(1, self._shape.vocabulary // 16)
        answer: dict[str, Any] = self._server.handle_completions(
            {
                "prompt": list(range(0, self._shape.vocabulary, step)),
                "max_tokens": 1,
                "temperature": 0.0,
                "logprobs": 20,
                "cache_prompt": False,
                "lora": self._scales(index),
            }
        )
        (token,) = answer["choices"][0]["logprobs"]["content"]
        return {entry["id"]: entry["logprob"] for entry in token["top_logprobs"]}

    def _scales(self, index: int | None) -> list[dict[str, float]]:
        """Return the strength of every adapter: 1 for the one, 0 for the others."""
        return [{"id": i, "scale": float(i == index)} for i in range(len(self._adapters))]

    def _run_next(self) -> None:
        """Run on a worker: generate one answer, of whose turn it is."""
        row = self._waiting.pop()
        if row is not None:
            try:
                with self._door.shared():
                    self._generate(row.job)
            finally:
                row.end(sys.exc_info()[1])

    def _sweep(self) -> None:
        """End who was cancelled while waiting; called often, it looks once in a while."""
        if monotonic() - self._swept >= LOOK_S:
            self._swept = monotonic()
            for row in self._waiting.take_unwanted():
                row.end()

    def _run_apart(self, rows: Sequence[Row]) -> None:
        for row in rows:
            try:
                with self._loading, self._door.alone():
                    self._generate(row.job, cache_prompt=False)
            except AppError as error:
                row.end(error)
            else:
                row.end()

    def _generate(self, job: Job, *, cache_prompt: bool = True) -> None:
        """Hand over each token as it comes."""
        job.started = monotonic()
        if self._server is None:
            raise UnavailableError("llama.cpp could not be started again; load it anew")
        if not job.is_unwanted():
            reader = Reader(job, self.end_tokens, self._sweep)
            request = {**self._request(job), "cache_prompt": cache_prompt}
            self._server.handle_completions(request, reader)
            reader.check()

    def _request(self, job: Job) -> dict[str, Any]:
        index = None if job.adapter is None else list(self._adapters).index(job.adapter)
        seed = secrets.randbits(31) if job.params.seed is None else job.params.seed
        return {
            "prompt": job.prompt,
            "max_tokens": job.new_tokens,
            "stream": True,
            "lora": self._scales(index),
            # The order of transformers; what is not named does not apply.
            "samplers": ["temperature", "top_p"] if job.params.temperature > 0 else ["top_k"],
            "top_k": 1,
            "temperature": job.params.temperature,
            "top_p": job.params.top_p,
            "seed": seed % LIST_SEED,
        }


def load_llama_cpp(
    name: str,
    folder: Path,
    options: LlamaOptions,
    digest_of: Callable[[Path], str] = folder_digest,
) -> LlamaCppEngine:
    """Load a model folder, converted first if it was never before.

    Raises:
        UnavailableError: the folder is missing, damaged, or no Llama that we can convert.
        MissingExtraError: the packages are not installed.
        StorageError: the converted file can't be written.
    """
    import_library()
    shape = read_shape(folder)
    digest = digest_of(folder)
    tokenizer = load_tokenizer(name, folder)
    file = model_file(folder, digest, options.quantisation, options.cache)
    return LlamaCppEngine(tokenizer, digest, shape, plan_for(shape, file, options))


def _distance(one: dict[int, float], other: dict[int, float]) -> float:
    """Return the largest difference of log-probabilities; infinite if the tokens differ."""
    if one.keys() != other.keys():
        return math.inf
    return max(abs(one[token] - other[token]) for token in one)
