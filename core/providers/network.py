"""Calls to models that are served elsewhere: ended at any time, from any thread.

The connections live on one event loop: there a wait for a server can be ended whatever it waits
for, and its end closes the connection. Nothing is tried twice here.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import UnavailableError
from core.gateway.limit_notice import LimitNotice, read_notice
from core.messages import FinishReason, ModelRef, Timings
from core.providers.base import Completion, ProviderCall, ProviderEvent, failed
from core.providers.chunks import Assembly, Chunk
from core.providers.failures import failure

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

DEADLINE_S = 900.0
"""Longest time for a whole call: 4,096 tokens at five a second."""
CANCEL_S = 0.05
"""How often a wait looks whether the caller has cancelled."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A chunk of an answer, and when it came by `time.monotonic`."""

    chunk: Chunk
    moment: float


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer has begun."""

    notice: LimitNotice | None


Event = Arrived | Opened
Put = Callable[[Event], None]
Read = Callable[["AsyncClient", Put], Awaitable[None]]
"""Calls the server and puts what comes; raises `AppError`."""


def opened(response: "Response") -> Opened:
    """Return what the headers of an answer tell."""
    notice = read_notice(response.status_code, response.headers, None, time.time())
    return Opened(notice if notice.buckets else None)


def arrived(chunk: Chunk) -> Arrived:
    """Return the chunk as one that came just now."""
    return Arrived(chunk, time.monotonic())


@dataclass(frozen=True, slots=True)
class _Running:
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    client: "AsyncClient"


class Network:
    """An event loop in a thread of its own with a pool of connections, from the first call on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: _Running | None = None

    def stream(self, call: ProviderCall, read: Read) -> Generator[ProviderEvent, None, None]:
        """Yield text as it comes and the completion last; closing it closes the connection.

        Raises:
            AppError: what `read` raises, or that the call's time is up.
        """
        began = time.monotonic()
        assembly, notice = Assembly(), None
        for event in self._events(call, read):
            if isinstance(event, Opened):
                notice = event.notice
            elif text := assembly.take(event.chunk, event.moment):
                yield text
        finish = _finish(call, assembly)
        yield Completion(
            text=assembly.text,
            model=ModelRef(call.target.model_id, None, assembly.served_model, assembly.fingerprint),
            adapter=None,
            usage=assembly.usage,
            timings=_timings(assembly, began),
            finish_reason=finish,
            tool_calls=() if finish == "cancelled" else assembly.tool_calls(),
            served_model=assembly.served_model,
            notice=notice,
        )

    def close(self) -> None:
        """End all calls, close all connections, and stop the loop."""
        with self._lock:
            running, self._running = self._running, None
        if running:
            asyncio.run_coroutine_threadsafe(_shut_down(running), running.loop).result()
            running.loop.call_soon_threadsafe(running.loop.stop)
            running.thread.join()
            running.loop.close()

    def _events(self, call: ProviderCall, read: Read) -> Generator[Event, None, None]:
        running = self._start()
        arrivals: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        work = _within(call, read(running.client, arrivals.put))
        reading = asyncio.run_coroutine_threadsafe(work, running.loop)
        reading.add_done_callback(lambda _: arrivals.put(None))
        try:
            yield from _until_cancelled(arrivals, call.cancel)
            if not call.cancel.is_set():
                reading.result()
        except CancelledError as error:
            stopped = UnavailableError(f"{call.target.id!r}: this server is shutting down")
            raise failed(stopped, "connection") from error
        finally:
            reading.cancel()

    def _start(self) -> _Running:
        from core.providers.bounded import new_client

        with self._lock:
            if self._running is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="network", daemon=True)
                thread.start()
                self._running = _Running(loop, thread, new_client())
            return self._running


async def _within(call: ProviderCall, work: Awaitable[None]) -> None:
    """Do the work in the time that the call has.

    Raises:
        UnavailableError: the time is up.
    """
    limit_s = DEADLINE_S if call.timeout_s is None else call.timeout_s
    try:
        async with asyncio.timeout(limit_s):
            await work
    except TimeoutError as error:
        words = f"did not finish within {limit_s:g} s; ask for fewer tokens or try again"
        raise failure("timeout", call.target, words=words) from error


async def _shut_down(running: _Running) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await running.client.aclose()


def _until_cancelled(
    arrivals: "queue.SimpleQueue[Event | None]", cancel: threading.Event
) -> Iterator[Event]:
    """Yield what comes until it ends with None, or the caller wants no more."""
    while not cancel.is_set():
        try:
            event = arrivals.get(timeout=CANCEL_S)
        except queue.Empty:
            continue
        if event is None:
            return
        yield event


def _finish(call: ProviderCall, assembly: Assembly) -> FinishReason:
    """Say how the answer ended.

    Raises:
        InputError: the server's content filter left nothing of it.
        GenerationError: it broke off.
    """
    if call.cancel.is_set() and not assembly.is_finished:
        return "cancelled"
    finish = assembly.finish()
    if finish == "content_filter" and not assembly.text:
        raise failure("content_filter", call.target)
    return finish


def _timings(assembly: Assembly, began: float) -> Timings:
    moments, load_s = assembly.moments, assembly.load_s
    decoding = moments[-1] - moments[0] if moments else 0.0
    count = assembly.usage.output_tokens
    return Timings(
        load_s=load_s,
        queue_s=0.0,
        first_token_s=max(0.0, moments[0] - began - load_s) if moments else None,
        total_s=max(0.0, time.monotonic() - began - load_s),
        tokens_per_s=(count - 1) / decoding if count and count > 1 and decoding > 0 else None,
    )
