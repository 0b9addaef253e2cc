"""The real app with a model that says what a test needs, as slowly as a test needs."""

import os
import sys
import time
from argparse import Namespace
from collections.abc import Generator
from dataclasses import replace

from app import launch
from core.catalog import Target
from core.chats import Chats
from core.gateway.allow import RateLimiter
from core.gateway.gateway import Gateway
from core.messages import ModelRef, Timings, Usage
from core.providers.base import Completion, ProviderCall, ProviderEvent
from core.services import make_services
from core.settings import Settings

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"> <script>document.title='owned'</script> "
    "![x](http://example.invalid/x.png) `<b>` ```<img src=http://example.invalid/y.png>"
)


class Scripted:
    """Says something hostile when asked "hostile", its name when asked "who are you?".

    Asked anything else, it counts slowly until it is stopped.
    """

    def close(self) -> None:
        """Hold nothing that must be freed."""

    def identity(self, _: Target) -> str | None:
        """Keep its answers out of the cache."""
        return None

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        """Yield the script."""
        short = {"hostile": HOSTILE, "who are you?": f"I am {call.target.model_id}, at your desk."}
        answer = short.get(call.messages[-1].text)
        words = [answer] if answer else [f"word{n} " for n in range(2000)]
        said: list[str] = []
        for word in words:
            if call.cancel.is_set():
                break
            said.append(word)
            yield word
            time.sleep(0.0 if answer else 0.05)
        yield Completion(
            text="".join(said),
            model=ModelRef(call.target.model_id, None),
            adapter=None,
            usage=Usage(1, len(said)),
            timings=Timings(0.0, 0.0, 0.01, 0.02, 100.0),
            finish_reason="cancelled" if call.cancel.is_set() else "stop",
        )


if __name__ == "__main__":
    services = make_services(Settings.from_env(os.environ))
    traffic = replace(services.gateway.traffic, providers={"local": Scripted()})
    gateway = Gateway(traffic, RateLimiter(services.catalog.limits), services.ledger)
    chats = Chats(gateway, services.conversations)
    scripted = replace(services, gateway=gateway, chats=chats)
    launch(scripted, Namespace(host="127.0.0.1", port=int(sys.argv[-1]), share=False))
