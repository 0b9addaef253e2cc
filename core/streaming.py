"""A generation, which is synchronous, run beside the event loop that serves its caller."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator

import anyio
import anyio.to_thread
from starlette.types import Receive, Scope, Send

from core.errors import AppError
from core.messages import Delta

logger = logging.getLogger(__name__)


class Running:
    """One generation in a thread of its own; iterate over its deltas inside `async with`.

    One thread from start to end, because a generation may hold a model's lock between two
    deltas: were threads taken by the step, those who wait for the lock could take them all, and
    its holder would never go on. Leaving the block sets `cancel`, closes the generator at its
    next delta, and waits until it is closed.
    """

    def __init__(
        self,
        generate: Callable[[], Iterator[Delta]],
        cancel: threading.Event,
        threads: anyio.CapacityLimiter,
    ) -> None:
        self._generate = generate
        self._cancel = cancel
        self._threads = threads
        self._deltas: asyncio.Queue[Delta | None] = asyncio.Queue()

    async def __aenter__(self) -> "Running":
        """Start the thread, or queue for it when all are busy."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(anyio.to_thread.run_sync(self._run, limiter=self._threads))
        self._is_told = False
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel what still runs and wait for its end."""
        self._cancel.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({self._task})
        error = None if self._task.cancelled() else self._task.exception()
        if error is not None and not self._is_told and not isinstance(error, AppError):
            logger.error("a generation failed after its caller had gone", exc_info=error)

    def __aiter__(self) -> "Running":
        """Return itself."""
        return self

    async def __anext__(self) -> Delta:
        """Return the next delta, or raise what the generator raised."""
        delta = await self._deltas.get()
        if delta is not None:
            return delta
        await asyncio.wait({self._task})
        self._is_told = True
        self._task.result()
        raise StopAsyncIteration

    def _run(self) -> None:
        stream: Iterator[Delta] = iter(())
        try:
            if not self._cancel.is_set():
                stream = self._generate()
            for delta in stream:
                if self._cancel.is_set():
                    break
                self._post(delta)
        finally:
            if isinstance(stream, Generator):
                stream.close()
            self._post(None)

    def _post(self, delta: Delta | None) -> None:
        self._loop.call_soon_threadsafe(self._deltas.put_nowait, delta)


class EventStream:
    """An answer of server-sent events."""

    HEADERS = (
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # nginx would hold the events back.
    )

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        self._events = events

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send each event as soon as it is there."""
        await send({"type": "http.response.start", "status": 200, "headers": list(self.HEADERS)})
        async for part in self._events:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
