"""One generation on the thread that owns the model, and the reader of its tokens."""

import queue
import secrets
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

from core.messages import FinishReason, GenerationParams, Timings
from core.providers.stops import StopFilter
from core.providers.weights import LoadedModel, activate

if TYPE_CHECKING:
    import torch

FRAME_S = 0.015
"""Least time between two pieces of text: nobody reads faster, and each look of the reading thread
costs the generating one some of the interpreter's time."""


class Token(NamedTuple):
    """A token of a completion, and when the model had it."""

    id: int
    moment: float


@dataclass(slots=True)
class Job:
    """One generation in the owner's queue."""

    prompt: list[int]
    params: GenerationParams
    adapter: str | None
    new_tokens: int
    """Bound on new tokens that the parameters and the context leave."""
    cancelled: Event
    """Set by the caller: ends the generation after the token at hand."""
    tokens: "queue.SimpleQueue[Token]" = field(default_factory=queue.SimpleQueue)
    """Tokens as they come."""
    arrived: Event = field(default_factory=Event)
    """Set by the owner: there is something new to look at."""
    finished: Event = field(default_factory=Event)
    """Set by the owner: no more tokens will come."""
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


@dataclass(frozen=True, slots=True)
class Answer:
    """What the reader saw."""

    text: str
    output_tokens: int
    finish_reason: FinishReason
    timings: Timings


def submit(model: LoadedModel, job: Job) -> "Future[None]":
    """Queue the job on the model's own thread."""
    future = model.owner.submit(_generate, model, job)
    future.add_done_callback(lambda _: job.finish())
    return future


def read(model: LoadedModel, job: Job, future: "Future[None]") -> Generator[str, None, Answer]:
    """Yield the text of the job as its tokens come; return what was read.

    A stop text ends the job. An error of the job is raised here.
    """
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=True)
    backend = model.tokenizer.backend_tokenizer
    stops = StopFilter(job.params.stop)
    pieces: list[str] = []
    tokens: list[Token] = []
    for batch in _batches(job):
        tokens += batch
        text = "".join(stream.step(backend, token.id) or "" for token in batch)
        if piece := stops.push(text):
            pieces.append(piece)
            yield piece
            job.finished.wait(FRAME_S)
        if stops.is_stopped:
            job.ended.set()
            break
    future.result()
    if rest := stops.flush():
        pieces.append(rest)
        yield rest
    finish: FinishReason = "length"
    if stops.is_stopped or (tokens and tokens[-1].id in _end_tokens(model)):
        finish = "stop"
    elif len(tokens) < job.new_tokens and job.cancelled.is_set():
        finish = "cancelled"
    moments = [token.moment for token in tokens]
    return Answer("".join(pieces), len(tokens), finish, _timings(job, moments))


def _batches(job: Job) -> Iterator[list[Token]]:
    """Yield the tokens that have come since the last look, until no more will come."""
    while True:
        is_last = job.finished.is_set()
        batch = [job.tokens.get_nowait() for _ in range(job.tokens.qsize())]
        if batch:
            yield batch
        elif is_last:
            return
        else:
            job.arrived.wait()
            job.arrived.clear()


def _timings(job: Job, moments: list[float]) -> Timings:
    now = time.monotonic()
    decoding = moments[-1] - moments[0] if len(moments) > 1 else 0.0
    return Timings(
        load_s=0.0,
        queue_s=(job.started or now) - job.submitted,
        first_token_s=moments[0] - job.submitted if moments else None,
        total_s=now - job.submitted,
        tokens_per_s=(len(moments) - 1) / decoding if decoding > 0 else None,
    )


def _end_tokens(model: LoadedModel) -> set[int]:
    ends = model.model.generation_config.eos_token_id
    return set(ends if isinstance(ends, list) else [ends])


def _generate(model: LoadedModel, job: Job) -> None:
    """Run on the owner's thread: generate, putting each token on the job's queue."""
    import torch
    from transformers import StoppingCriteriaList

    job.started = time.monotonic()
    if job.cancelled.is_set() or job.ended.is_set():
        return
    activate(model.model, bool(model.adapters), job.adapter)
    tokens = torch.tensor([job.prompt], device=model.model.device)  # (1, tokens)
    with torch.inference_mode():
        model.model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=job.new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            logits_processor=_sampling(job.params, tokens.device),
            stopping_criteria=StoppingCriteriaList([_Ended(job)]),
            streamer=_Streamer(job),
        )


class _Ended:
    """Ends a generation after the token at hand, as `transformers` asks after each one."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, input_ids: "torch.Tensor", _scores: Any, **_: Any) -> "torch.Tensor":
        import torch

        is_ended = self._job.cancelled.is_set() or self._job.ended.is_set()
        return torch.full((len(input_ids),), is_ended, device=input_ids.device)


class _Streamer:
    """The library's streamer interface: the prompt first, then one token at a time."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._is_prompt = True

    def put(self, value: "torch.Tensor") -> None:
        if self._is_prompt:
            self._is_prompt = False
            return
        for token in value.flatten().tolist():
            self._job.add(token)

    def end(self) -> None:
        """Do nothing: the job's future says when it is done."""


class _Gumbel:
    """Samples by adding Gumbel noise before the greedy choice (Gumbel-max trick).

    It draws from the request's own generator, so that a seed gives the same completion whatever
    else this process samples meanwhile.
    """

    def __init__(self, seed: int, device: "torch.device") -> None:
        import torch

        self._generator = torch.Generator(device).manual_seed(seed)

    def __call__(self, _input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        import torch

        noise = torch.empty_like(scores, dtype=torch.float32)  # (1, vocabulary)
        noise.exponential_(generator=self._generator)
        return scores - noise.log()


def _sampling(params: GenerationParams, device: "torch.device") -> Any:
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    steps: list[Any] = []
    if params.temperature > 0:
        steps.append(TemperatureLogitsWarper(params.temperature))
        if params.top_p < 1:
            steps.append(TopPLogitsWarper(params.top_p))
        seed = secrets.randbits(32) if params.seed is None else params.seed
        steps.append(_Gumbel(seed, device))
    return LogitsProcessorList(steps)
