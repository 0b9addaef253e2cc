"""Exchanges written down from the documentation of Groq, OpenAI, Azure and Ollama.

Each file of `tests/recorded/` names its source. A server on loopback says the answer byte for byte.
"""

import json
from pathlib import Path

import pytest

from core.errors import AppError, RateLimitError
from core.messages import Usage
from tests.core.providers.calls import KEY, RawServer, call_of, completed, raw_server, target_of

FOLDER = Path(__file__).resolve().parents[2] / "recorded"
FILES = sorted(FOLDER.rglob("*.json"))
SECRETS = (KEY, "https://", "org_01", "org-abc", "aka.ms", "wxyz", "sk-proj", "billing")
LEAST = {"groq": 8, "openai": 8, "azure": 8, "ollama": 8}


def name_of(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def recorded(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def wire(exchange: dict) -> bytes:
    """Return the answer as it goes over the wire."""
    fields = [f"{name}: {value}" for name, value in exchange["headers"].items()]
    head = [f"HTTP/1.1 {exchange['status']} As Recorded", *fields, "connection: close", "", ""]
    return "\r\n".join(head).encode() + "\n".join([*exchange["body"], ""]).encode()


@pytest.fixture
def ask(request):
    """Return what asks the recorded server as the exchange's provider would."""

    def asked(server: RawServer, changes: dict):
        name = changes.get("provider", "endpoint")
        is_whole = name == "ollama" or "api_version" in changes
        url = server.url if is_whole else f"{server.url}/v1"
        target = target_of(server.url, **{"base_url": url, **changes})
        return completed(request.getfixturevalue(name), call_of(server.url, target=target))

    return asked


ANSWERS = [path for path in FILES if "text" in recorded(path)["expect"]]
FAILURES = [path for path in FILES if "failure" in recorded(path)["expect"]]


@pytest.mark.parametrize("path", ANSWERS, ids=name_of)
def test_a_recorded_answer_is_read_as_it_is(path, ask):
    exchange = recorded(path)
    expect = exchange["expect"]
    with raw_server(wire(exchange)) as server:
        found = ask(server, exchange["ask"])
    assert found.text == expect["text"]
    assert found.usage == Usage(*expect["usage"])
    assert found.finish_reason == expect["finish_reason"]
    assert found.served_model == expect["served_model"]
    buckets = found.notice.buckets if found.notice else ()
    assert [bucket.unit for bucket in buckets] == expect.get("told", [])
    wanted = expect.get("tool_calls", [])
    assert len(found.tool_calls) == len(wanted)
    for call, (id_, name, arguments) in zip(found.tool_calls, wanted, strict=True):
        assert (call.name, call.arguments) == (name, arguments)
        assert call.id == id_ if id_ else len(call.id) == 32


@pytest.mark.parametrize("path", FAILURES, ids=name_of)
def test_a_recorded_failure_has_its_kind_and_no_secret(path, ask):
    exchange = recorded(path)
    expect = exchange["expect"]
    with raw_server(wire(exchange)) as server, pytest.raises(AppError) as raised:
        ask(server, exchange["ask"])
    assert raised.value.failure == expect["failure"]
    assert expect["says"] in str(raised.value)
    assert [secret for secret in SECRETS if secret in str(raised.value)] == []
    if "retry_after_s" in expect:
        assert isinstance(raised.value, RateLimitError)
        assert raised.value.retry_after_s == pytest.approx(expect["retry_after_s"])


def test_every_file_says_where_it_is_from_and_is_used():
    assert set(ANSWERS) | set(FAILURES) == set(FILES)
    for path in FILES:
        assert "read 2026-" in recorded(path)["source"], path.name
    for folder, least in LEAST.items():
        assert len(list((FOLDER / folder).glob("*.json"))) >= least
