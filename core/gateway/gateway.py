"""The one way to a model: allow, call, trace."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace

from core.catalog import Catalog, Price, Target, availability
from core.errors import ForbiddenError, InputError, UnavailableError
from core.gateway.allow import RateLimiter, check_size, recent_messages
from core.messages import (
    Delta,
    Generation,
    GenerationRequest,
    Progress,
    ToolCall,
    Usage,
)
from core.observe import Ledger
from core.providers.base import Completion, Provider, ProviderCall
from core.tool_calls import CallSplitter, CallText


class Gateway:
    """Takes requests to the models of the catalog."""

    def __init__(
        self,
        catalog: Catalog,
        providers: Mapping[str, Provider],
        limiter: RateLimiter,
        ledger: Ledger,
    ) -> None:
        self._catalog = catalog
        self._providers = providers
        self._limiter = limiter
        self._ledger = ledger

    def generate(self, request: GenerationRequest) -> Iterator[Delta]:
        """Yield the answer as it comes; the last delta carries the whole generation.

        Closing the iterator cancels the call within one token.

        Raises:
            ModelNotAllowedError: the model or adapter is not in the catalog.
            RateLimitError: the caller asked too often, or too much at once.
            InputError: the request is too large or impossible.
            ForbiddenError: the model must be downloaded first, and the caller is no admin.
            UnavailableError: the model lacks a key, a server or its weights.
            GenerationError: the model started and then failed.
        """
        asked = len(request.messages)
        if request.trim_history:
            kept = recent_messages(request.messages, self._catalog.limits)
            request = replace(request, messages=kept)
        target = self.check(request)
        self._limiter.admit(request.caller)
        with self._limiter.slot(request.caller):
            yield from self._call(target, request, asked - len(request.messages))

    def check(self, request: GenerationRequest) -> Target:
        """Refuse what can't be answered, before any work or spend; return where it would go.

        Raises:
            ModelNotAllowedError, InputError, ForbiddenError, UnavailableError: as `generate`.
        """
        target = self._catalog.resolve(request.model)
        limits = self._catalog.limits
        if not request.messages:
            raise InputError("there is no message to answer")
        check_size(request.messages, limits)
        if request.params.max_tokens > limits.new_tokens:
            raise InputError(
                f"max_tokens must be at most {limits.new_tokens}, got {request.params.max_tokens}"
            )
        state = availability(self._catalog, target)
        if not state.is_ready and not state.is_download:
            raise UnavailableError(f"{target.id!r} {state.reason}")
        if state.is_download and not request.is_admin:
            raise ForbiddenError(f"{target.id!r} is {state.reason}; only an admin may start that")
        return target

    def _call(self, target: Target, request: GenerationRequest, left_out: int) -> Iterator[Delta]:
        trace = self._ledger.trace(
            "chat", caller=request.caller, conversation_id=request.conversation_id
        )
        with trace as traced, traced.span("generation", "generation") as span:
            span.set(
                model=target.id,
                params=request.params.to_dict(),
                input=[{"role": m.role, "text": m.text} for m in request.messages],
                tools=[tool.name for tool in request.tools],
            )
            answer = yield from self._stream(target, request)
            generation = _generation(target, request, answer, traced.id)
            dropped = generation.dropped_messages + left_out
            generation = replace(generation, dropped_messages=dropped)
            span.set(output=answer[0].text, **generation.facts())
        yield Delta(generation=generation)

    def _stream(
        self, target: Target, request: GenerationRequest
    ) -> Generator[Delta, None, tuple[Completion, CallText]]:
        """Yield the provider's text and progress; return its completion, calls taken out."""
        call = ProviderCall(
            target=target,
            messages=request.messages,
            tools=request.tools,
            params=request.params,
            cancel=request.cancel,
            trim_history=request.trim_history,
        )
        splitter = CallSplitter() if request.tools else None
        content, calls = "", list[ToolCall]()
        with closing(self._providers[target.model.provider].stream(call)) as events:
            for event in events:
                if isinstance(event, Completion):
                    if splitter and (rest := splitter.flush()):
                        content += rest
                        yield Delta(text=rest)
                    return event, CallText(content, (*event.tool_calls, *calls))
                if isinstance(event, Progress):
                    yield Delta(progress=event)
                    continue
                parts = splitter.push(event) if splitter else CallText(event, ())
                content += parts.content
                calls += parts.calls
                if parts.content or parts.call_text:
                    yield Delta(text=parts.content, call_text=parts.call_text)
        raise AssertionError("a provider ends with a completion")


def _generation(
    target: Target,
    request: GenerationRequest,
    answer: tuple[Completion, CallText],
    trace_id: str,
) -> Generation:
    """Return the answer with its cost and where it came from."""
    completion, parts = answer
    is_call = bool(parts.calls) and completion.finish_reason == "stop"
    return Generation(
        text=parts.content,
        tool_calls=parts.calls,
        model=completion.model,
        adapter=completion.adapter,
        params=request.params,
        usage=completion.usage,
        timings=completion.timings,
        cost_usd=_cost(target.model.price, completion.usage),
        finish_reason="tool_calls" if is_call else completion.finish_reason,
        trace_id=trace_id,
        dropped_messages=completion.dropped_messages,
    )


def _cost(price: Price | None, usage: Usage) -> float | None:
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    spent = usage.input_tokens * price.input_per_million
    return (spent + usage.output_tokens * price.output_per_million) / 1e6
