"""Several models answer at once: one stream of joint frames, each as fast as it comes or level.

Level frames let text out at one pace, so that neither the first words nor the speed nor the moment
of the end tells one side from another before all of them are complete.
"""

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from core.errors import AppError, GenerationError, InputError
from core.gateway.gateway import Gateway
from core.messages import Delta, Generation, GenerationRequest, Progress
from evals.arena.pace import Pace

MOST_SIDES = 4
FRAME_S = 0.1
"""Least time between two frames: a browser draws all sides for each."""


@dataclass(frozen=True, slots=True)
class SideFrame:
    """What is shown of one side's answer at a moment."""

    text: str
    is_complete: bool
    generation: Generation | None
    """Set when the side is complete and has not failed."""
    error: AppError | None
    """Why there is no answer; set only when the side is complete. Its text may name the model."""
    call_text: str = ""
    """Raw text of tool calls in the making, shown after `text`; the finished calls come with the
    generation."""
    progress: Progress | None = None
    """What is waited for before the first word; never set in level frames."""


Frames = Generator[tuple[SideFrame, ...], None, None]
NOTHING = SideFrame("", False, None, None)


def run_sides(
    gateway: Gateway,
    requests: Sequence[GenerationRequest],
    *,
    is_level: bool,
    stop: threading.Event,
) -> Frames:
    """Ask 1 to 4 requests at once and yield joint frames, one `SideFrame` a request, in order.

    The first tuple comes at once, without a word; in the last one every side is complete.
    `is_level`: no side is complete before. Nothing is shown before each has its first words or has
    ended; then a frame lets out the same number of characters for every side that still has some,
    never more than the slowest has, and when one has ended no faster than before.

    `stop` becomes the `cancel` of every request: setting it ends each generation within one token,
    and what a level side had not shown by then stays out of its text. Closing the iterator sets it
    too, and waits until every generation has ended.

    Raises:
        InputError: no request, or more than 4.
    """
    if not 1 <= len(requests) <= MOST_SIDES:
        raise InputError(f"1 to {MOST_SIDES} models can answer at once, got {len(requests)}")
    return _run(gateway, requests, is_level, stop)


def _run(
    gateway: Gateway,
    requests: Sequence[GenerationRequest],
    is_level: bool,
    stop: threading.Event,
) -> Frames:
    news = _News(len(requests))
    with ThreadPoolExecutor(len(requests), "sides") as pool:
        try:
            sides = [_Side(gateway, replace(each, cancel=stop), news, pool) for each in requests]
            yield from _level(sides, news, stop) if is_level else _as_they_come(sides, news)
        except BaseException:
            stop.set()
            raise


def _as_they_come(sides: Sequence["_Side"], news: "_News") -> Frames:
    """Yield what each side has, whenever one has more."""
    yield (NOTHING,) * len(sides)
    seen = 0
    while True:
        seen = news.wait(seen)
        frames = tuple([side.frame() for side in sides])
        yield frames
        if all(frame.is_complete for frame in frames):
            return


def _level(sides: Sequence["_Side"], news: "_News", stop: threading.Event) -> Frames:
    """Yield what the pace lets out, and at the end all sides complete at once."""
    yield (NOTHING,) * len(sides)
    pace = Pace()
    while True:
        ended = [side.has_ended for side in sides]  # Before the lengths, or some could be missed.
        lengths = [side.length for side in sides]
        is_cut = all(ended) and stop.is_set()
        has_moved = not is_cut and pace.advance(lengths, [not each for each in ended])
        if is_cut or (all(ended) and pace.shown >= max(lengths)):
            break
        if has_moved:
            yield tuple([side.level_frame(pace.shown) for side in sides])
        if stop.wait(FRAME_S):
            news.over.wait()
    yield tuple([side.frame(pace.shown) for side in sides])


class _News:
    """Tells the reader that a side has something new; shared by the sides of one run."""

    def __init__(self, running: int) -> None:
        self.over = threading.Event()
        """Set when every side has ended."""
        self._changed = threading.Condition()
        self._count = 0
        self._running = running

    def tell(self, *, is_end: bool = False) -> None:
        """Count one piece of news, or one side that has ended."""
        with self._changed:
            self._count += 1
            self._running -= is_end
            if not self._running:
                self.over.set()
            self._changed.notify_all()

    def wait(self, seen: int) -> int:
        """Wait until there is more than `seen`, but at least a frame's time; return the count."""
        self.over.wait(FRAME_S)
        with self._changed:
            self._changed.wait_for(lambda: self._count > seen)
            return self._count


class _Side:
    """One generation in a thread of its own, from start to end, and what it has said so far."""

    def __init__(
        self, gateway: Gateway, request: GenerationRequest, news: _News, pool: ThreadPoolExecutor
    ) -> None:
        self._name = request.model
        self._said = NOTHING
        self._news = news
        self._future: Future[Generation | None] = pool.submit(self._generate, gateway, request)
        self._future.add_done_callback(lambda _: news.tell(is_end=True))

    @property
    def has_ended(self) -> bool:
        """Whether no more will come."""
        return self._future.done()

    @property
    def length(self) -> int:
        """Return how many characters there are to show, calls in the making included."""
        said = self._said
        return len(said.text) + len(said.call_text)

    def level_frame(self, shown: int) -> SideFrame:
        """Return the first so many characters; nothing tells whether there are more."""
        said = self._said
        calls = said.call_text[: max(0, shown - len(said.text))]
        return SideFrame(said.text[:shown], False, None, None, calls)

    def frame(self, shown: int | None = None) -> SideFrame:
        """Return what there is, or that the side is complete; `shown` cuts its text.

        Raises:
            Exception: whatever the generation ended with that is no `AppError`.
        """
        if not self.has_ended:
            return self._said
        error, said = self._future.exception(), self._said
        if error is not None and not isinstance(error, AppError):
            raise error
        cut = said if shown is None else self.level_frame(shown)
        generation = None if error else self._future.result()
        if generation is None and error is None:
            error = GenerationError(f"{self._name!r} ended without an answer")
        return SideFrame(cut.text, True, generation, error, cut.call_text)

    def _generate(self, gateway: Gateway, request: GenerationRequest) -> Generation | None:
        generation: Generation | None = None
        for delta in gateway.generate(request):
            self._said = _with(self._said, delta)
            generation = delta.generation or generation
            self._news.tell()
        return generation


def _with(said: SideFrame, delta: Delta) -> SideFrame:
    """Return what was said, and the delta's piece; a restart withdraws all before it."""
    before = NOTHING if delta.restart else said
    text, call_text = before.text + delta.text, before.call_text + delta.call_text
    return SideFrame(text, False, None, None, call_text, delta.progress)
