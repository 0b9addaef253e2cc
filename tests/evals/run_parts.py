"""What tests of runs share: a task whose answers are in its prompts, and a server of any mood."""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.serving import serve

TASK = "tables"
MAX_TOKENS = 24
LATENCY_S = 0.01
"""How long the server thinks, so that requests overlap."""


def write_task(home: Path, items: int, name: str = TASK, **changes: object) -> None:
    """Write a task of numbers: the prompt says the answer, two items share a group."""
    folder = home / "tasks"
    folder.mkdir(parents=True, exist_ok=True)
    entry = {
        "description": "Numbers of tables.",
        "scorer": "gsm8k",
        "metrics": ["gsm8k"],
        "params": {"max_tokens": MAX_TOKENS},
        **changes,
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(entry))
    rows = [
        {
            "id": f"q{number}",
            "input": f"Item {number}. " * (1 + number % 3) + f"Ada sits at table {table(number)}. "
            "Which table?",
            "target": table(number),
            "group": f"pair-{number // 2}",
        }
        for number in range(items)
    ]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def table(number: int) -> int:
    return number % 12 + 1


@dataclass(frozen=True)
class Reply:
    """What the server says to one prompt."""

    text: str
    finish_reason: str | None = "stop"
    """None: the stream breaks off."""
    status: int = 200
    output_tokens: int | None = 3
    fingerprint: str | None = None
    """`system_fingerprint` of the stream; None: the server has none."""


@dataclass
class Server:
    """An OpenAI-compatible server on loopback whose answers a test decides."""

    answer: Callable[[int, int], Reply]
    """From the item's number, and how often it was asked for before."""
    asked: list[int] = field(default_factory=list)
    """Numbers of items, as they were asked for."""
    at_once: int = 0
    """Most requests that were under way together."""
    _busy: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    async def complete(self, request: Request) -> Response:
        body = await request.json()
        number = int(re.search(r"Item (\d+)", body["messages"][-1]["content"])[1])
        with self._lock:
            before = self.asked.count(number)
            self.asked.append(number)
            self._busy += 1
            self.at_once = max(self.at_once, self._busy)
        try:
            await asyncio.sleep(LATENCY_S)
            reply = self.answer(number, before)
        finally:
            with self._lock:
                self._busy -= 1
        if reply.status != 200:
            return Response(json.dumps({"error": {"message": reply.text}}), reply.status)
        return StreamingResponse(_events(reply), media_type="text/event-stream")


def _events(reply: Reply) -> Iterator[str]:
    choice = {"index": 0, "delta": {"content": reply.text}, "finish_reason": reply.finish_reason}
    chunk: dict = {"choices": [choice], "model": "far"}
    if reply.output_tokens is not None:
        chunk["usage"] = {"prompt_tokens": 20, "completion_tokens": reply.output_tokens}
    if reply.fingerprint is not None:
        chunk["system_fingerprint"] = reply.fingerprint
    yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"


def perfect(number: int, _before: int = 0) -> Reply:
    return Reply(f"It is table {table(number)}.")


@contextmanager
def serving(answer: Callable[[int, int], Reply]) -> Iterator[tuple[str, Server]]:
    """Serve; yield the address up to `/v1`, and the server."""
    server = Server(answer)
    route = Route("/v1/chat/completions", server.complete, methods=["POST"])
    with serve(Starlette(routes=[route])) as url:
        yield f"{url}/v1", server


def endpoint(url: str) -> dict:
    """Return a catalog entry for a server."""
    return {"provider": "endpoint", "base_url": url, "served_model": "far", "context": 4096}
