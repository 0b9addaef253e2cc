"""A server on loopback that plays a judge: it reads the prompt as a model would, and replies."""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BLOCK = re.compile(r"<<<([A-Z ]+) ([0-9a-f]{16})>>>\n(.*?)\n<<<END OF \1 \2>>>", re.DOTALL)
COMPARES = ("first", "second", "tie", "both_bad")


@dataclass(frozen=True)
class Asked:
    """One call as the judge sees it."""

    system: str
    user: str
    fence: str
    blocks: Mapping[str, str]
    """Title to what stands between its marks."""
    wanted: tuple[str, ...]
    """Keys of the verdict, in the order asked, without the reason."""
    seed: int

    @property
    def answer(self) -> str:
        return self.blocks["ANSWER"]

    @property
    def is_pair(self) -> bool:
        return self.wanted == ("winner",)


Opinion = Callable[[Asked], str]


def read_request(body: dict) -> Asked:
    system, user = (message["content"] for message in body["messages"][:2])
    found = BLOCK.findall(user)
    schema = body["response_format"]["json_schema"]["schema"]
    return Asked(
        system=system,
        user=user,
        fence=found[0][1],
        blocks={title: text for title, _, text in found},
        wanted=tuple(name for name in schema["properties"] if name != "reason"),
        seed=body["seed"],
    )


@dataclass
class JudgeServer:
    """Replies with its opinion; remembers what it was asked."""

    opinion: Opinion
    asked: list[Asked] = field(default_factory=list)
    is_down: threading.Event = field(default_factory=threading.Event)
    """Set: every call is refused, as with a key that has expired."""
    dies_after: int | None = None
    """Calls after which it is down."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def app(self) -> Starlette:
        async def complete(request: Request) -> Response:
            body = await request.json()
            with self._lock:
                if self.dies_after is not None and len(self.asked) >= self.dies_after:
                    self.is_down.set()
                if self.is_down.is_set():
                    return Response('{"error": {"message": "key expired"}}', 401)
                asked = read_request(body)
                self.asked.append(asked)
            return Response(stream_of(self.opinion(asked)), media_type="text/event-stream")

        return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])


def stream_of(text: str) -> str:
    piece = {
        "id": "c",
        "created": 1,
        "model": "judge",
        "object": "chat.completion.chunk",
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "delta": {"role": "assistant", "content": text},
            }
        ],
    }
    return f"data: {json.dumps(piece)}\n\ndata: [DONE]\n\n"


def says(asked: Asked, value: Callable[[str], object], reason: str = "so it is") -> str:
    """Return a verdict as JSON, one value for each key that was asked for."""
    return json.dumps({"reason": reason, **{name: value(name) for name in asked.wanted}})


def chance(*parts: object) -> float:
    """Return a number from 0 to 1 that these parts always give, and others don't."""
    text = json.dumps([str(part) for part in parts])
    return int(hashlib.sha256(text.encode()).hexdigest()[:13], 16) / 16**13


def honest(truth: Mapping[str, Mapping[str, int]]) -> Opinion:
    """Return a judge that knows every answer's marks, and picks the better of two."""

    def opinion(asked: Asked) -> str:
        if asked.is_pair:
            shown = (asked.blocks["FIRST ANSWER"], asked.blocks["SECOND ANSWER"])
            first, second = (sum(truth[answer].values()) for answer in shown)
            winner = "tie" if first == second else "first" if first > second else "second"
            return says(asked, lambda _: winner)
        return says(asked, truth[asked.answer].__getitem__)

    return opinion
