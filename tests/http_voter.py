"""A visitor without a browser: calls the public endpoints of battles as any program can."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx

EVENT = re.compile(r"event: (\w+)\ndata: (.*?)\n\n", re.DOTALL)


class RefusedError(Exception):
    """The app answered with an error; its text is what a page would show."""


@dataclass
class HttpVoter:
    """One visitor; `received` is everything that the app has sent, heads included."""

    url: str
    cookie: str | None
    """`understudy_visitor=...`; None: this browser keeps no cookies."""
    received: list[bytes] = field(default_factory=list)

    @staticmethod
    def newcomer(url: str) -> "HttpVoter":
        """Open the page once and keep its cookie."""
        page = httpx.get(url, timeout=60)
        cookie = page.headers["set-cookie"].split(";")[0]
        return HttpVoter(url.rstrip("/"), cookie)

    def events(self, name: str, *data: object) -> list[tuple[str, Any]]:
        """Call an endpoint; return the name and the JSON of each event that came back."""
        address = f"{self.url.rstrip('/')}/gradio_api/call/{name}"
        headers = {"cookie": self.cookie} if self.cookie else {}
        begun = httpx.post(address, json={"data": list(data)}, headers=headers, timeout=60)
        self._keep(begun)
        answer = httpx.get(f"{address}/{begun.json()['event_id']}", headers=headers, timeout=120)
        self._keep(answer)
        return [(kind, json.loads(text)) for kind, text in EVENT.findall(answer.text)]

    def call(self, name: str, *data: object) -> Any:
        """Call an endpoint; return its last answer.

        Raises:
            RefusedError: it answered with an error; "None" for a bug, whose text stays inside.
        """
        kind, value = self.events(name, *data)[-1]
        if kind == "error":
            raise RefusedError(_words(value))
        return value[0] if value else None

    def begin(self, prompt: str, task: str = "", item: str = "") -> str:
        """Begin a battle; return its id."""
        return str(self.call("battle_begin", prompt, task, item)["id"])

    def stream(self, battle: str) -> list[dict[str, Any]]:
        """Answer the battle; return its frames."""
        found = self.events("battle_stream", battle)
        if found[-1][0] == "error":
            raise RefusedError(_words(found[-1][1]))
        return [value[0] for kind, value in found if kind == "generating"]

    def fight(self, prompt: str) -> str:
        """Begin a battle and wait for both answers; return its id."""
        battle = self.begin(prompt)
        self.stream(battle)
        return battle

    def vote(self, battle: object, outcome: object = "model_a", reasons: object = ()) -> Any:
        """Vote; return the reveal."""
        return self.call("battle_vote", battle, outcome, reasons)

    def _keep(self, answer: httpx.Response) -> None:
        heads = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.received += [heads.encode(), answer.content]


def _words(value: Any) -> str:
    return str(value["error"] if isinstance(value, dict) else value)
