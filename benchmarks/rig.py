"""A gateway on the loopback model server, as a running app makes it, and what it is asked."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml
from servers import model_server

from core.messages import GenerationParams, GenerationRequest, Message
from core.services import Services, make_services
from core.settings import Settings

CHARACTERS = 1024
"""Of each of the eight messages of `conversation`."""
# The benchmark asks faster than people may.
LIMITS = {"requests_per_minute": 10_000_000, "concurrent_requests": 1000, "new_tokens": 1024}


def catalog(address: str, **more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a catalog with the server's models, `fast` and `drip`, and what else is given."""
    models = {name: endpoint(address, name) for name in ("fast", "drip")}
    return {"models": {**models, **more.pop("models", {})}, "limits": LIMITS, **more}


def endpoint(address: str, name: str) -> dict[str, Any]:
    """Return the catalog's entry for a model of the model server."""
    return {
        "provider": "endpoint",
        "base_url": f"{address}/v1",
        "served_model": name,
        "context": 128_000,
    }


def home_with(entries: Mapping[str, Any]) -> Path:
    """Return a new home folder whose catalog has these entries."""
    home = Path(tempfile.mkdtemp(prefix="understudy-benchmark-"))
    (home / "catalog.yaml").write_text(yaml.safe_dump(dict(entries)), encoding="utf-8")
    return home


@contextmanager
def gateway(**more: Mapping[str, Any]) -> Iterator[tuple[Services, str]]:
    """Yield the app's parts on a model server of their own, and its address."""
    with model_server() as address:
        home = home_with(catalog(address, **more))
        settings = Settings.from_env({**os.environ, "UNDERSTUDY_HOME": str(home)})
        with closing(make_services(settings)) as made:
            yield made, address


def conversation(number: int) -> tuple[Message, ...]:
    """Return eight messages of 1 KB, different for each number."""
    turns = ("system", "user", "assistant", "user", "assistant", "user", "assistant", "user")
    words = "Where does Ada Brown sit, and who is at table four tonight? "
    filler = words * (CHARACTERS // len(words) + 1)
    texts = (f"guest{number} turn {turn} {filler}"[:CHARACTERS] for turn in range(len(turns)))
    return tuple(Message(role, text) for role, text in zip(turns, texts, strict=True))


def request(model: str, messages: tuple[Message, ...], caller: str = "benchmark") -> Any:
    """Return a greedy request, as the API makes it of a client's."""
    return GenerationRequest(model, messages, GenerationParams(max_tokens=64), caller)
