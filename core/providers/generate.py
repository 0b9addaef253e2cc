"""The reader of one generation: text and timings from an engine's tokens as they come."""

import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from core.engines.base import Engine, Job, Token
from core.messages import FinishReason, Timings
from core.providers.stops import StopFilter
from core.providers.text_stream import TextStream

FRAME_S = 0.03
"""Least time between two pieces of text: nobody reads faster, and each look of the reading thread
costs the generating one some of the interpreter's time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the reader saw."""

    text: str
    output_tokens: int
    finish_reason: FinishReason
    timings: Timings


def read(engine: Engine, job: Job, future: "Future[None]") -> Generator[str, None, Answer]:
    """Yield the text of the job as its tokens come; return what was read.

    The pieces join to what the tokenizer makes of all tokens, special ones left out. A stop text
    ends the job. An error of the job is raised here.
    """
    stream = TextStream(engine.tokenizer)
    stops = StopFilter(job.params.stop)
    pieces: list[str] = []
    tokens: list[Token] = []
    for batch in _batches(job):
        tokens += batch
        if piece := stops.push(stream.push([token.id for token in batch])):
            pieces.append(piece)
            yield piece
            job.finished.wait(FRAME_S)
        if stops.is_stopped:
            job.ended.set()
            break
    future.result()
    if rest := stops.push(stream.flush()) + stops.flush():
        pieces.append(rest)
        yield rest
    finish: FinishReason = "length"
    if stops.is_stopped or (tokens and tokens[-1].id in engine.end_tokens):
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
