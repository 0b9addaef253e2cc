"""The answer of one model, before it becomes a generation; and how the cache keeps it."""

import json
from dataclasses import dataclass, replace
from typing import Any

from core.catalog import Target
from core.messages import (
    CacheState,
    Generation,
    GenerationRequest,
    ModelRef,
    Timings,
    ToolCall,
    Usage,
    new_id,
)
from core.providers.base import Completion
from core.reports import GuardReport, Reports, Saved


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model said, and what it took."""

    target: Target
    completion: Completion
    content: str
    """The text without calls, after the guard."""
    calls: tuple[ToolCall, ...]
    cost_usd: float | None
    cache: CacheState
    sent: int
    """Calls that were sent for it."""
    guard: GuardReport | None = None
    saved: Saved | None = None

    @property
    def is_cacheable(self) -> bool:
        """Whether it may answer others: whole, and not empty."""
        return self.completion.finish_reason in ("stop", "tool_calls") and bool(
            self.content.strip() or self.calls
        )

    def generation(
        self, request: GenerationRequest, trace_id: str, route: str | None, reports: Reports
    ) -> Generation:
        """Return the generation that callers get."""
        is_call = bool(self.calls) and self.completion.finish_reason == "stop"
        return Generation(
            text=self.content,
            tool_calls=self.calls,
            model=self.completion.model,
            adapter=self.completion.adapter,
            params=request.params,
            usage=self.completion.usage,
            timings=self.completion.timings,
            cost_usd=self.cost_usd,
            finish_reason="tool_calls" if is_call else self.completion.finish_reason,
            trace_id=trace_id,
            cache=self.cache,
            route=route,
            reports=replace(reports, guard=self.guard, saved=self.saved),
            dropped_messages=self.completion.dropped_messages,
        )


def to_bytes(answer: Answer) -> bytes:
    """Return the answer as the cache keeps it."""
    done = answer.completion
    value = {
        "text": answer.content,
        "calls": [[call.name, call.arguments] for call in answer.calls],
        "model": done.model.to_dict(),
        "adapter": done.adapter.to_dict() if done.adapter else None,
        "usage": done.usage.to_dict(),
        "finish_reason": done.finish_reason,
        "dropped_messages": done.dropped_messages,
        "cost_usd": answer.cost_usd,
        "cuts": answer.guard.cuts if answer.guard else (),
        "repairs": answer.guard.repairs if answer.guard else (),
        "repaired_calls": answer.guard.repaired_calls if answer.guard else (),
    }
    return json.dumps(value, ensure_ascii=False).encode()


def from_bytes(stored: bytes, target: Target, took_s: float) -> Answer | None:
    """Return a cached answer as a new one that took `took_s`; None when it can't be read."""
    try:
        value: dict[str, Any] = json.loads(stored)
        usage, cost = Usage(**value["usage"]), value["cost_usd"]
        done = Completion(
            text=value["text"],
            model=ModelRef(**value["model"]),
            adapter=ModelRef(**value["adapter"]) if value["adapter"] else None,
            usage=usage,
            timings=Timings(0.0, 0.0, took_s, took_s, None),
            finish_reason=value["finish_reason"],
            dropped_messages=value["dropped_messages"],
        )
        guard = GuardReport(
            cuts=tuple(value["cuts"]),
            repairs=tuple(value["repairs"]),
            repaired_calls=tuple(value["repaired_calls"]),
        )
        calls = tuple(ToolCall(new_id(), name, text) for name, text in value["calls"])
    except (ValueError, KeyError, TypeError):
        return None
    return Answer(
        target=target,
        completion=done,
        content=value["text"],
        calls=calls,
        cost_usd=0.0,
        cache="hit",
        sent=0,
        guard=None if guard == GuardReport() else guard,
        saved=Saved(total_tokens(usage), cost),
    )


def total_tokens(usage: Usage) -> int | None:
    """Return input and output tokens together; None when either is unknown."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return usage.input_tokens + usage.output_tokens
