"""What becomes of a finished request: an answer to grade, or a missing one and why."""

import time
from dataclasses import dataclass

from core.errors import AppError
from core.gateway.plan import failure_of
from core.messages import Generation, GenerationRequest
from evals.manifest import Key
from evals.run_rows import ErrorKind, Row, RowStatus


@dataclass(frozen=True, slots=True)
class Ask:
    """One answer that is wanted."""

    run: str
    key: Key
    request: GenerationRequest
    attempt: int
    """From 1."""


def answered_row(ask: Ask, generation: Generation, began: float) -> Row:
    """Return the row of a request that ended with an answer, whole or not."""
    status, kind, why = _judged(generation)
    saved = generation.reports.saved
    calls = [{"name": call.name, "arguments": call.arguments} for call in generation.tool_calls]
    return Row(
        id=ask.key.id,
        repeat=ask.key.repeat,
        status=status,
        attempt=ask.attempt,
        text=generation.text,
        tool_calls=tuple(calls) or None,
        finish_reason=generation.finish_reason,
        usage=generation.usage.to_dict(),
        timings=generation.timings.to_dict(),
        cost_usd=generation.cost_usd,
        full_cost_usd=saved.cost_usd if saved else generation.cost_usd,
        model=generation.model.to_dict(),
        adapter=generation.adapter.to_dict() if generation.adapter else None,
        cache=generation.cache,
        error=why,
        error_kind=kind,
        began=began,
        ended=time.time(),
    )


def failed_row(ask: Ask, error: Exception, began: float) -> Row:
    """Return the row of a request that failed."""
    kind: ErrorKind = failure_of(error) if isinstance(error, AppError) else "internal"
    text = str(error) if isinstance(error, AppError) else f"{type(error).__name__}: {error}"
    return Row(
        id=ask.key.id,
        repeat=ask.key.repeat,
        status="timeout" if kind == "timeout" else "error",
        attempt=ask.attempt,
        error=text,
        error_kind=kind,
        began=began,
        ended=time.time(),
    )


def spoilt_row(row: Row) -> Row:
    """Return what counts of an answer when another one of its planned batch failed: nothing.

    It would not be what it is in the batch as planned.
    """
    return Row(
        id=row.id,
        repeat=row.repeat,
        status="error",
        attempt=row.attempt,
        error="another request of its planned batch failed",
        error_kind="batch",
        began=row.began,
        ended=row.ended,
    )


def has_failed_member(generation: Generation) -> bool:
    """Say whether it is of an ensemble that went without one of its members."""
    votes = generation.reports.ensemble
    return votes is not None and any(member.outcome != "ok" for member in votes.members)


def _judged(generation: Generation) -> tuple[RowStatus, ErrorKind | None, str | None]:
    """Say whether an answer is one, and if not, why."""
    reason, made = generation.finish_reason, generation.usage.output_tokens
    most = generation.params.max_tokens
    if reason == "content_filter":
        return "error", "content_filter", "the provider's content filter cut the answer"
    if reason == "abstained" and has_failed_member(generation):
        return "error", "abstained", "the ensemble abstained, and not all members had answered"
    if reason == "length" and (made is None or made < most):
        count = "an unknown number of tokens" if made is None else f"{made} tokens"
        why = f"cut after {count}, before max_tokens {most}: the context is full, or the server's"
        return "truncated", None, f"{why} own limit is lower"
    return "ok", None, None
