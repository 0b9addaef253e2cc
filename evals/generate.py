"""The first stage of a run: answers, many requests at once, each handed on as it comes."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from core.errors import GenerationError
from core.gateway.gateway import Gateway
from core.messages import Generation, GenerationRequest
from core.together import Together
from evals.answer_rows import Ask, answered_row, failed_row, has_failed_member, spoilt_row
from evals.health import Health
from evals.run_rows import Row

OnRows = Callable[[Sequence[tuple[Ask, Row]]], None]
"""Takes what ended together; called on several threads."""
Draw = Callable[[], Ask | None]
"""Returns the next request; None: there is none. Called on several threads."""
Helper = Callable[[deque[Ask], threading.Event, OnRows], str | None]
"""Takes requests from the end and hands on their rows until none is left or the event is set; puts
back what it leaves unanswered; returns why it gave the model up, or None."""

LOCAL_REQUESTS = 40
"""Requests under way at a local model: what an engine runs at once, and some that wait for a place.
"""


class Asking:
    """Asks one model until everything is answered, it is stopped, or the model is given up."""

    def __init__(
        self, gateway: Gateway, health: Health, stop: threading.Event, on_rows: OnRows
    ) -> None:
        """`stop` is the `cancel` of every request; giving the model up sets it too."""
        self._gateway = gateway
        self._health = health
        self._stop = stop
        self._on_rows = on_rows
        self.gave_up: str | None = None
        """Why the model was given up; None: it was not."""

    def freely(self, asks: Iterable[Ask], workers: int, *, alone_first: bool) -> None:
        """Ask everything in order, so many at once; a place that becomes free is filled.

        `alone_first`: the first call is alone, so that a server that is not there is told from
        one that is overwhelmed, in one call.

        Raises:
            Exception: what `on_rows` raises; requests under way are ended.
        """
        waiting = deque(asks)
        if alone_first and waiting:
            self._one(waiting.popleft())
        self.drawn(lambda: taken(waiting.popleft), min(workers, len(waiting)))

    def shared(self, asks: Iterable[Ask], workers: int, helper: Helper) -> None:
        """Ask everything, together with a helper who takes from the end.

        Raises:
            Exception: what `on_rows` raises, here or there; requests under way are ended.
        """
        waiting = deque(asks)
        with ThreadPoolExecutor(1, "evals-helper") as pool:
            helped = pool.submit(self._helped, helper, waiting)
            try:
                self.drawn(lambda: taken(waiting.popleft), workers)
            except BaseException:
                self._stop.set()
                raise
            helped.result()
        self.drawn(lambda: taken(waiting.popleft), min(workers, len(waiting)))

    def drawn(self, draw: Draw, workers: int) -> None:
        """Ask what is drawn, so many at once, until there is nothing to draw.

        Raises:
            Exception: what `draw` or `on_rows` raises; requests under way are ended.
        """
        with ThreadPoolExecutor(max(1, workers), "evals") as pool:
            self._until_done([pool.submit(self._work, draw) for _ in range(max(1, workers))])

    def in_batches(self, units: Iterable[Sequence[Ask]], size: int) -> None:
        """Ask one planned batch after the other; each is handed on whole, or as failed.

        Raises:
            Exception: what `on_rows` raises.
        """
        with ThreadPoolExecutor(size, "evals") as pool:
            for unit in units:
                together = Together(len(unit))
                futures = [
                    pool.submit(self._in_batch, ask, together, place)
                    for place, ask in enumerate(unit)
                ]
                self._until_done(futures)
                rows = [row for future in futures if (row := future.result()) is not None]
                if len(rows) == len(unit):
                    self._on_rows(list(zip(unit, _whole(rows), strict=True)))
                if self._stop.is_set():
                    return

    def _helped(self, helper: Helper, waiting: deque[Ask]) -> None:
        try:
            if reason := helper(waiting, self._stop, self._on_rows):
                self._give_up(reason)
        except BaseException:
            self._stop.set()
            raise

    def _work(self, draw: Draw) -> None:
        while not self._stop.is_set() and (ask := draw()) is not None:
            self._one(ask)

    def _one(self, ask: Ask) -> None:
        row = self._answer(ask, ask.request)
        if row is not None:
            self._on_rows([(ask, row)])

    def _give_up(self, reason: str) -> None:
        self.gave_up = self.gave_up or reason
        self._stop.set()

    def _in_batch(self, ask: Ask, together: Together, place: int) -> Row | None:
        request = replace(ask.request, together=together, together_index=place, cache="off")
        try:
            return self._answer(ask, request)
        finally:
            together.leave(place)

    def _answer(self, ask: Ask, request: GenerationRequest) -> Row | None:
        """Return what became of the request; None: it was stopped."""
        began = time.time()
        while not self._stop.is_set():
            try:
                generation = whole_answer(self._gateway, request)
            except Exception as error:  # noqa: BLE001 - a failed answer is counted, never scored
                if self._stop.is_set():
                    return None
                if not self._has_waited(error, request):
                    return failed_row(ask, error, began)
                continue
            if self._is_partial(generation):
                return None
            self._health.answered()
            return answered_row(ask, generation, began)
        return None

    def _has_waited(self, error: Exception, request: GenerationRequest) -> bool:
        """Wait if asking again may help, and say so; else the answer is missing."""
        advice = self._health.failed(error)
        if advice.gives_up is not None:
            self._give_up(advice.gives_up)
        if advice.wait_s is None or request.together is not None:
            return False
        self._stop.wait(advice.wait_s)
        return True

    def _is_partial(self, generation: Generation) -> bool:
        """Say whether a stop has cut the answer, or a member's from the ensemble's."""
        if generation.finish_reason == "cancelled":
            return True
        return self._stop.is_set() and has_failed_member(generation)

    def _until_done(self, futures: Sequence["Future[Row | None] | Future[None]"]) -> None:
        """Wait for all; an error of one, or an interrupt, ends the others and is raised."""
        try:
            for future in futures:
                future.result()
        except BaseException:
            self._stop.set()
            for future in futures:
                future.exception()
            raise


def taken(take: Callable[[], Ask]) -> Ask | None:
    """Return what is taken of a deque that others take from, too; None: it was empty."""
    try:
        return take()
    except IndexError:
        return None


def whole_answer(gateway: Gateway, request: GenerationRequest) -> Generation:
    """Return the answer once it is whole.

    Raises:
        AppError: as `Gateway.generate`.
    """
    generation: Generation | None = None
    for delta in gateway.generate(request):
        generation = delta.generation or generation
    if generation is None:
        raise GenerationError(f"{request.model!r} ended without an answer")
    return generation


def _whole(rows: Sequence[Row]) -> list[Row]:
    """Return a batch's rows; if one failed for a passing reason, none of the others counts."""
    if all(row.is_settled for row in rows):
        return list(rows)
    return [spoilt_row(row) if row.is_settled else row for row in rows]
