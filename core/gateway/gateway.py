"""The one way to a model: allow, route, cache, budget, call, guard, trace."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

from core.availability import availability
from core.catalog import Target
from core.errors import ForbiddenError, InputError, UnavailableError
from core.gateway.allow import RateLimiter, check_size, recent_messages
from core.gateway.chain import ChainRun, route_of
from core.gateway.guard.json_output import check_schema
from core.gateway.members import Elected, elect
from core.gateway.traffic import Traffic
from core.messages import (
    Delta,
    Generation,
    GenerationRequest,
    ModelRef,
    Timings,
    Usage,
)
from core.observe import Ledger
from core.observe.ledger import SpanHandle
from core.providers.base import Provider
from core.reports import Reports

PATIENCE_S = 30.0
"""Longest wait for the budget of a model that was asked for by name, in seconds."""


class Gateway:
    """Takes requests to the models of the catalog."""

    def __init__(self, traffic: Traffic, limiter: RateLimiter, ledger: Ledger) -> None:
        self.traffic = traffic
        self._catalog = traffic.catalog
        self._limiter = limiter
        self._ledger = ledger

    def with_providers(self, change: Callable[[Provider], Provider]) -> "Gateway":
        """Return a gateway that shares everything with this one but its providers."""
        changed = {name: change(each) for name, each in self.traffic.providers.items()}
        return Gateway(replace(self.traffic, providers=changed), self._limiter, self._ledger)

    def with_limiter(self, limiter: RateLimiter) -> "Gateway":
        """Return a gateway that shares everything with this one but its callers' allowances.

        For work of this process itself, such as an evaluation, which is no visitor: who holds the
        other gateway, as every HTTP route does, can't get at it under any name.
        """
        return Gateway(self.traffic, limiter, self._ledger)

    def generate(self, request: GenerationRequest) -> Iterator[Delta]:
        """Yield the answer as it comes; the last delta carries the whole generation.

        Closing the iterator cancels the call within one token.

        Raises:
            ModelNotAllowedError: the model or adapter is not in the catalog.
            RateLimitError: the caller asked too often, or a provider's budget is used up.
            InputError: the request is too large or impossible.
            ForbiddenError: the model must be downloaded first, and the caller is no admin.
            UnavailableError: the model lacks a key, a server or its weights.
            GenerationError: the model started and then failed.
        """
        asked = len(request.messages)
        if request.trim_history:
            kept = recent_messages(request.messages, self._catalog.limits)
            request = replace(request, messages=kept)
        targets = self.check(request)
        self._limiter.admit(request.caller)
        with self._limiter.slot(request.caller):
            yield from self._traced(targets, request, asked - len(request.messages))

    def check(self, request: GenerationRequest) -> tuple[Target, ...]:
        """Refuse what can't be answered, before any work or spend; return where it may go.

        Raises:
            ModelNotAllowedError, InputError, ForbiddenError, UnavailableError: as `generate`.
        """
        targets = self._catalog.targets(request.model)
        limits = self._catalog.limits
        if not request.messages:
            raise InputError("there is no message to answer")
        check_size(request.messages, limits)
        if request.params.max_tokens > limits.new_tokens:
            raise InputError(
                f"max_tokens must be at most {limits.new_tokens}, got {request.params.max_tokens}"
            )
        if request.schema is not None:
            check_schema(request.schema)
        return self._reachable(targets, request)

    def _reachable(
        self, targets: tuple[Target, ...], request: GenerationRequest
    ) -> tuple[Target, ...]:
        """Leave out what this caller may not start; refuse when nothing is left."""
        states = {target.id: availability(self._catalog, target) for target in targets}
        allowed = tuple(t for t in targets if request.is_admin or not states[t.id].is_download)
        if not any(states[t.id].is_ready or states[t.id].is_download for t in allowed):
            first = targets[0]
            state = states[first.id]
            if state.is_download:
                raise ForbiddenError(
                    f"{first.id!r} is {state.reason}; only an admin may start that"
                )
            raise UnavailableError(f"{first.id!r} {state.reason}")
        return allowed

    def _traced(
        self, targets: tuple[Target, ...], request: GenerationRequest, left_out: int
    ) -> Iterator[Delta]:
        trace = self._ledger.trace(
            "chat", caller=request.caller, conversation_id=request.conversation_id
        )
        with trace as traced, traced.span("generation", "generation") as span:
            span.set(
                model=request.model,
                params=request.params.to_dict(),
                input=[{"role": m.role, "text": m.text} for m in request.messages],
                tools=[tool.name for tool in request.tools],
            )
            run = self._vote if request.model in self._catalog.ensembles else self._chain
            generation = yield from run(targets, request, span, traced.id)
            dropped = generation.dropped_messages + left_out
            generation = replace(generation, dropped_messages=dropped)
            span.set(output=generation.text, **generation.facts())
        yield Delta(generation=generation)

    def _chain(
        self,
        targets: tuple[Target, ...],
        request: GenerationRequest,
        span: SpanHandle,
        trace_id: str,
    ) -> Generator[Delta, None, Generation]:
        chain = self._catalog.chains.get(request.model)
        patience_s = chain.patience_s if chain else PATIENCE_S
        run = ChainRun(self.traffic, request, targets, patience_s)
        answer = yield from run.run(span)
        route = route_of(request.model, run.tried, answer)
        made = answer.generation(request, trace_id, route, Reports(tried=tuple(run.tried)))
        return replace(made, attempts=run.sent)

    def _vote(
        self,
        targets: tuple[Target, ...],
        request: GenerationRequest,
        span: SpanHandle,
        trace_id: str,
    ) -> Generator[Delta, None, Generation]:
        entry = self._catalog.ensembles[request.model]
        elected = elect(self.traffic, request, entry, targets, span)
        report = elected.report
        reports = Reports(ensemble=report)
        if elected.answer is None:
            return _abstention(request, trace_id, elected)
        if elected.answer.content:
            yield Delta(text=elected.answer.content)
        route = f"ensemble {request.model} -> {elected.answer.target.id} ({report.reason})"
        made = elected.answer.generation(request, trace_id, route, reports)
        return replace(made, attempts=elected.sent, cost_usd=elected.cost_usd)


def _abstention(request: GenerationRequest, trace_id: str, elected: Elected) -> Generation:
    """Return the answer that there is none: the members disagree."""
    return Generation(
        text="",
        tool_calls=(),
        model=ModelRef(request.model, None),
        adapter=None,
        params=request.params,
        usage=Usage(None, None),
        timings=Timings(0.0, 0.0, None, max(m.total_s for m in elected.report.members), None),
        cost_usd=elected.cost_usd,
        finish_reason="abstained",
        trace_id=trace_id,
        route=f"ensemble {request.model} abstained ({elected.report.reason})",
        attempts=elected.sent,
        reports=Reports(ensemble=elected.report),
    )
