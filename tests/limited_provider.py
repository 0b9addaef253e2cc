"""A provider whose limits follow the measured law exactly, on a clock that tests move.

It counts in another way than our ledger does: each bucket is only the moment at which it will be
empty (the generic cell rate algorithm). Messages and headers have the forms of Groq, OpenAI
and Anthropic; Groq's `requests` headers are for the day, as they really are.
"""

import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Style = Literal["groq", "openai", "openai_old", "anthropic", "mute"]
WINDOWS = {"RPM": 60.0, "RPD": 86_400.0, "TPM": 60.0, "TPD": 86_400.0}
NAMES = {"R": "requests", "T": "tokens", "M": "minute", "D": "day"}
HEADER_BUCKETS: Mapping[str, tuple[str, str]] = {
    "groq": ("RPD", "TPM"),
    "openai": ("RPM", "TPM"),
    "openai_old": ("RPM", "TPM"),
    "anthropic": ("RPM", "TPM"),
    "mute": ("", ""),
}


class VirtualClock:
    """Seconds since 1970 that pass only when told to."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def pause(self, condition: threading.Condition, seconds: float) -> None:
        """Stand in for a wait on a condition: the time is over at once."""
        self.now += seconds


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(slots=True)
class LimitedProvider:
    """Answers, or says 429 as the limits demand."""

    clock: VirtualClock
    limits: Mapping[str, int]
    """By RPM, RPD, TPM, TPD."""
    style: Style = "groq"
    empty_at: dict[str, float] = field(default_factory=dict)
    served: int = 0
    refused: int = 0
    tokens: int = 0

    def ask(self, requested: int) -> Reply:
        """Take one request of so many tokens, prompt and allowance for the answer."""
        for name in self.limits:
            if self._amount(name, requested) > self.limits[name]:
                return self._refusal(413, self._too_large(name, requested), None)
        waits = {name: self._wait_s(name, requested) for name in self.limits}
        worst = max(waits, key=lambda name: waits[name])
        if waits[worst] > 0:
            self.refused += 1
            return self._refusal(429, self._message(worst, requested, waits[worst]), waits[worst])
        for name in self.limits:
            begin = max(self.clock.now, self.empty_at.get(name, 0.0))
            self.empty_at[name] = begin + self._amount(name, requested) / self._rate(name)
        self.served += 1
        self.tokens += requested
        return Reply(200, self._headers(), "{}")

    def refund(self, tokens: int) -> None:
        """Give tokens back that an answer did not use."""
        for name in ("TPM", "TPD"):
            if name in self.limits:
                self.empty_at[name] -= tokens / self._rate(name)

    def used(self, name: str) -> float:
        """Return how much of a limit is used now."""
        return max(0.0, self.empty_at.get(name, 0.0) - self.clock.now) * self._rate(name)

    def _rate(self, name: str) -> float:
        return self.limits[name] / WINDOWS[name]

    def _amount(self, name: str, requested: int) -> int:
        return 1 if name.startswith("R") else requested

    def _wait_s(self, name: str, requested: int) -> float:
        over = self.used(name) + self._amount(name, requested) - self.limits[name]
        return over / self._rate(name) if over > 1e-9 * self.limits[name] else 0.0

    def _headers(self) -> dict[str, str]:
        headers = {}
        for unit, name in zip(("requests", "tokens"), HEADER_BUCKETS[self.style], strict=True):
            if name not in self.limits:
                continue
            full_s = self.used(name) / self._rate(name)
            told = {
                "limit": str(self.limits[name]),
                "remaining": str(math.floor(self.limits[name] - self.used(name))),
                "reset": go_duration(full_s),
            }
            if self.style == "anthropic":
                moment = datetime.fromtimestamp(self.clock.now + math.ceil(full_s), UTC)
                told["reset"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
                headers.update({f"anthropic-ratelimit-{unit}-{k}": v for k, v in told.items()})
            else:
                headers.update({f"x-ratelimit-{k}-{unit}": v for k, v in told.items()})
        return headers

    def _refusal(self, status: int, message: str, wait_s: float | None) -> Reply:
        headers = self._headers()
        if wait_s is not None and self.style in ("groq", "anthropic"):
            headers["retry-after"] = str(math.ceil(wait_s))
        if self.style == "openai" and wait_s is not None:
            headers["retry-after-ms"] = str(math.ceil(wait_s * 1000))
        error = {"message": message, "type": "tokens", "code": "rate_limit_exceeded"}
        if self.style == "anthropic":
            error = {"type": "rate_limit_error", "message": message}
        return Reply(status, headers, json.dumps({"error": error}))

    def _too_large(self, name: str, requested: int) -> str:
        return (
            "Request too large for model `m` in organization `org_01` service tier `on_demand` on "
            f"{NAMES[name[0]]} per {NAMES[name[2]]} ({name}): Limit {self.limits[name]}, Requested "
            f"{requested}, please reduce your message size and try again."
        )

    def _message(self, name: str, requested: int, wait_s: float) -> str:
        unit, window = NAMES[name[0]], NAMES[name[2]]
        limit, wanted = self.limits[name], self._amount(name, requested)
        wait = go_duration(wait_s)
        used = math.floor(self.used(name) + 1e-6)
        if self.style == "groq":
            return (
                "Rate limit reached for model `m` in organization `org_01` service tier "
                f"`on_demand` on {unit} per {window} ({name}): Limit {limit}, Used {used}, "
                f"Requested {wanted}. Please try again in {wait}. Need more tokens? Upgrade to "
                "Dev Tier today at https://console.groq.com/settings/billing"
            )
        if self.style == "openai":
            return (
                f"Rate limit reached for m in organization org-01 on {unit} per {window[:3]} "
                f"({name}): Limit {limit}, Used {used}, Requested {wanted}. Please try again in "
                f"{wait}. Visit https://platform.openai.com/account/rate-limits to learn more."
            )
        if self.style == "openai_old":
            return (
                f"Rate limit reached for m in organization org-01 on {unit} per {window[:3]}. "
                f"Limit: {limit} / {window[:3]}. Please try again in {wait}. Contact us through "
                "our help center at help.openai.com if you continue to have issues."
            )
        if self.style == "mute":
            return "Too many requests"
        return f"This request would exceed your organization's limit of {unit} per {window}."


def go_duration(seconds: float) -> str:
    """Write a time as Go does, rounded up to nanoseconds: `9m38.016s`, `644ms`, `0s`."""
    nanoseconds = math.ceil(round(seconds * 1e9, 3))
    if nanoseconds < 1_000_000_000:
        return f"{nanoseconds / 1e6:.6f}".rstrip("0").rstrip(".") + "ms" if nanoseconds else "0s"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest / 1e9:.9f}".rstrip("0").rstrip(".") + "s"
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + tail


def as_server(provider: LimitedProvider, answer: str = "ok") -> Starlette:
    """Return the provider behind `/v1/chat/completions`, streaming and not; for `serving.serve`.

    It counts a token for four characters of the messages, and `max_tokens` up front.
    """
    lock = threading.Lock()

    async def complete(request: Request) -> Response:
        asked = await request.json()
        prompt = len(json.dumps(asked["messages"])) // 4
        with lock:
            reply = provider.ask(prompt + int(asked.get("max_tokens") or 1))
        headers = {**reply.headers, "content-type": "application/json"}
        if reply.status != 200:
            return Response(reply.body, reply.status, headers)
        usage = {"prompt_tokens": prompt, "completion_tokens": 1, "total_tokens": prompt + 1}
        shared = {"id": "c", "created": 1, "model": asked["model"], "usage": usage}
        said, choice = (
            {"role": "assistant", "content": answer},
            {"index": 0, "finish_reason": "stop"},
        )
        if not asked.get("stream"):
            whole = {
                **shared,
                "object": "chat.completion",
                "choices": [{**choice, "message": said}],
            }
            return Response(json.dumps(whole), 200, headers)
        piece = {
            **shared,
            "object": "chat.completion.chunk",
            "choices": [{**choice, "delta": said}],
        }
        headers["content-type"] = "text/event-stream"
        return Response(f"data: {json.dumps(piece)}\n\ndata: [DONE]\n\n", 200, headers)

    return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])
