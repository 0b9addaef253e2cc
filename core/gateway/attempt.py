"""One model answers one request: from the cache, or called within its budget, and guarded."""

import math
import queue
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from core.availability import availability
from core.catalog import Target
from core.errors import AppError, RateLimitError, UnavailableError
from core.gateway.answer import Answer, from_bytes, to_bytes, total_tokens
from core.gateway.breaker import BreakerState
from core.gateway.cache_key import comes_from, request_key
from core.gateway.governor import Reservation, Wait, Waiting
from core.gateway.guard.json_output import re_ask
from core.gateway.guarded import Guarded, unfit
from core.gateway.plan import failure_of
from core.gateway.traffic import Traffic, served_key
from core.messages import Delta, GenerationRequest, Message, Progress, Usage
from core.prices import cost_usd
from core.providers.base import Completion, ProviderCall, ProviderLimitError

CHARACTERS_PER_TOKEN = 3
"""Fewer than in most languages, so that the estimate of a prompt is rather too high."""


class SkippedError(UnavailableError):
    """A model was passed over; nothing was sent to it."""


@dataclass(slots=True)
class ModelAttempt:
    """One model's turn for one request; its counters stand also after a failure."""

    traffic: Traffic
    request: GenerationRequest
    target: Target
    patience_s: float
    """Longest wait for the model's budget, in seconds."""
    sent: int = 0
    """Calls sent so far."""
    has_text: bool = False
    """Whether text of it went out to the caller."""
    waited_s: float = 0.0
    _messages: tuple[Message, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._messages = self.request.messages

    def run(self) -> Generator[Delta, None, Answer]:
        """Yield the answer as it comes; return it whole.

        Raises:
            SkippedError: the model is not available, cooling down, or over its budget.
            AppError: the call failed; `plan.failure_of` tells how.
        """
        identity = self._identity()
        if identity is None:
            return (yield from self._ask("bypass"))
        began, cache = time.perf_counter(), self.traffic.cache
        key = request_key(identity, self.request, {})
        with cache.flight(key, cancel=self.request.cancel) as turn:
            if turn.value is not None:
                found = from_bytes(turn.value, self.target, time.perf_counter() - began)
                if found is not None:
                    return (yield from self._given(found))
            answer = yield from self._ask("miss")
            if answer.is_cacheable and comes_from(identity, answer.completion):
                cache.put(key, to_bytes(answer))
        return answer

    def _identity(self) -> str | None:
        """Return what the cache knows the model by; None when the cache is not to be used."""
        request = self.request
        is_sampled = request.params.temperature > 0
        if request.cache == "off" or (request.cache == "auto" and is_sampled):
            return None
        if request.together is not None:
            return None  # An answer that is not made would change what the others share.
        return self.traffic.provider(self.target).identity(self.target)

    def _given(self, found: Answer) -> Generator[Delta, None, Answer]:
        """Give out an answer of the cache."""
        if found.saved is not None:
            self.traffic.cache.record_saving(found.saved.tokens or 0, found.saved.cost_usd)
        if found.content:
            yield Delta(text=found.content)
        return found

    def _ask(self, state: str) -> Generator[Delta, None, Answer]:
        """Call the model, and once more when its answer is not the JSON that was asked for."""
        usages: list[Usage] = []
        asked_again = False
        while True:
            guarded = Guarded(self.request)
            done = yield from self._budgeted(guarded)
            usages.append(done.usage)
            structured = guarded.structured(is_cut=done.finish_reason == "length")
            if structured is None or not structured.errors:
                break
            if asked_again or done.finish_reason == "cancelled":
                raise unfit(self.target.id, structured)
            asked_again = True
            self._messages = re_ask(self._messages, guarded.content, structured.errors)
        content = guarded.content if structured is None else structured.text
        if structured is not None:
            yield Delta(text=content)
        usage = _sum(usages)
        return Answer(
            target=self.target,
            completion=replace(done, usage=usage),
            content=content,
            calls=(*done.tool_calls, *guarded.calls),
            cost_usd=_cost(self.target, usage),
            cache="bypass" if state == "bypass" else "miss",
            sent=self.sent,
            guard=guarded.report(structured, asked_again=asked_again),
        )

    def _opened(self) -> BreakerState:
        """Refuse a model that is missing something, or that failed too often of late."""
        state = availability(self.traffic.catalog, self.target)
        if not state.is_ready and not state.is_download:
            raise SkippedError(f"{self.target.id!r} {state.reason}")
        allowed = self.traffic.breaker.allow(self.target.id)
        if not allowed.is_allowed:
            raise SkippedError(allowed.reason)
        return allowed

    def _budgeted(self, guarded: Guarded) -> Generator[Delta, None, Completion]:
        """Call the model within its budget; settle with what it really took."""
        allowed, breaker = self._opened(), self.traffic.breaker
        reservation: Reservation | None = None
        is_told = False
        try:
            reservation = yield from self._reserved()
            done = yield from self._stream(guarded)
            is_told = done.finish_reason != "cancelled"
            if is_told:
                breaker.success(self.target.id)
            self._settle(reservation, done)
        except AppError as error:
            is_told = self._note_failure(error, reservation)
            raise
        finally:
            # Also when the caller has gone: then nobody knows whether the model is well.
            if not is_told:
                breaker.cancel(self.target.id, allowed)
            if reservation:
                self.traffic.governor.release(reservation, was_sent=True)
        return done

    def _reserved(self) -> Generator[Delta, None, Reservation | None]:
        """Wait for a place in the model's budget; None for a model that has none.

        Raises:
            RateLimitError: the wait is longer than the patience.
        """
        key, began = served_key(self.target), time.monotonic()
        if key is None:
            return None
        tokens = _estimate(self._messages, self.request)
        ask = partial(self.traffic.governor.turn, key, self.target.model.quotas, tokens)
        result = ask(Waiting(0.0, self.request.cancel, _unheard))
        if isinstance(result, Wait) and result.seconds <= self.patience_s:
            result = yield from self._queued(ask)
        self.waited_s += time.monotonic() - began
        if isinstance(result, Wait) and self.request.cancel.is_set():
            raise SkippedError("stopped while waiting for the provider's limit")
        if isinstance(result, Wait):
            error = RateLimitError(f"{self.target.id!r}: {result.reason}", result.seconds)
            error.failure = "rate_limit_day" if result.is_day else "rate_limit_minute"
            raise error
        return result

    def _queued(
        self, ask: Callable[[Waiting], Reservation | Wait]
    ) -> Generator[Delta, None, Reservation | Wait]:
        """Wait in the model's queue, and yield the place and the expected wait as they change."""
        places: queue.SimpleQueue[tuple[int, float] | None] = queue.SimpleQueue()
        cancel = self.request.cancel
        waiting = Waiting(self.patience_s, cancel, lambda *place: places.put(place))
        with ThreadPoolExecutor(1, "queue") as pool:
            result = pool.submit(ask, waiting)
            result.add_done_callback(lambda _: places.put(None))
            try:
                while (place := places.get()) is not None:
                    detail = f"place {place[0]}, about {math.ceil(place[1])} s"
                    yield Delta(progress=Progress("waiting", detail=detail))
            except GeneratorExit:
                cancel.set()
                late = result.result()
                if isinstance(late, Reservation):
                    self.traffic.governor.release(late, was_sent=False)
                raise
            return result.result()

    def _settle(self, reservation: Reservation | None, done: Completion) -> None:
        if reservation is None:
            return
        if done.notice:
            self.traffic.governor.learn(reservation.key, done.notice, reservation)
        self.traffic.governor.settle(reservation, total_tokens(done.usage))

    def _note_failure(self, error: AppError, reservation: Reservation | None) -> bool:
        """Tell breaker and governor of a failed call; say whether a call was made at all."""
        if reservation is None and served_key(self.target) is not None:
            return False
        kind = failure_of(error)
        wait_s = error.retry_after_s if isinstance(error, RateLimitError) else None
        self.traffic.breaker.failure(self.target.id, kind, wait_s)
        if reservation:
            if isinstance(error, ProviderLimitError):
                self.traffic.governor.learn(reservation.key, error.notice, reservation)
            self.traffic.governor.release(reservation, was_sent=kind != "connection")
        return True

    def _stream(self, guarded: Guarded) -> Generator[Delta, None, Completion]:
        request = self.request
        call = ProviderCall(
            target=self.target,
            messages=self._messages,
            tools=request.tools,
            params=request.params,
            cancel=request.cancel,
            trim_history=request.trim_history,
            response_schema=request.schema,
            json_mode=request.json_mode,
            caller=request.caller,
            together=request.together,
            together_index=request.together_index,
        )
        self.sent += 1
        with closing(self.traffic.provider(self.target).stream(call)) as events:
            for event in events:
                if isinstance(event, Completion):
                    if rest := guarded.flush():
                        yield self._shown(Delta(text=rest))
                    return event
                if isinstance(event, Progress):
                    yield Delta(progress=event)
                elif (delta := guarded.push(event)) is not None:
                    yield self._shown(delta)
        raise AssertionError("a provider ends with a completion")

    def _shown(self, delta: Delta) -> Delta:
        self.has_text = True
        return delta


def _unheard(_position: int, _seconds: float) -> None:
    """Take no notice of a wait: a patience of zero does not wait."""


def _sum(usages: list[Usage]) -> Usage:
    """Return the usage of all calls together; unknown where one is unknown."""
    if len(usages) == 1:
        return usages[0]
    return Usage(
        *(
            None if None in counts else sum(filter(None, counts))
            for counts in zip(*(astuple(usage) for usage in usages), strict=True)
        )
    )


def _cost(target: Target, usage: Usage) -> float | None:
    found = cost_usd(target, usage, datetime.now(UTC))
    return None if found is None else found.usd


def _estimate(messages: tuple[Message, ...], request: GenerationRequest) -> int:
    """Return the tokens to reserve: the prompt by its characters, and all that may be new."""
    characters = sum(len(message.text) for message in messages)
    characters += sum(len(str(tool.parameters)) + len(tool.description) for tool in request.tools)
    return characters // CHARACTERS_PER_TOKEN + request.params.max_tokens
