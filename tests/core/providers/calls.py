"""Calls for the tests of providers, and a server that says byte for byte what it is told to."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from core.catalog import ModelEntry, Target
from core.messages import GenerationParams, Message
from core.providers.base import Completion, Provider, ProviderCall

KEY = "a-secret-key-of-ours"
HELLO = (Message("user", "Good evening"),)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
LINES = HEAD.replace(b"text/event-stream", b"application/x-ndjson")


def target_of(url: str, **changes) -> Target:
    values = {
        "provider": "endpoint",
        "base_url": f"{url}/v1",
        "served_model": "lead",
        "key": "${MY_KEY}",
        "context": 1000,
    }
    return Target("far", "far", ModelEntry(**{**values, **changes}))


def call_of(url: str, **changes) -> ProviderCall:
    values = {
        "target": target_of(url),
        "messages": HELLO,
        "tools": (),
        "params": GenerationParams(max_tokens=8),
        "cancel": threading.Event(),
    }
    return ProviderCall(**{**values, **changes})


def ollama_call(url: str, **changes) -> ProviderCall:
    return call_of(url, **{"target": target_of(url, provider="ollama", base_url=url), **changes})


def completed(provider: Provider, call: ProviderCall) -> Completion:
    """Return the completion, checked against the texts that came before it."""
    *events, last = provider.stream(call)
    assert "".join(event for event in events if isinstance(event, str)) == last.text
    return last


@dataclass
class RawServer:
    """Answers each connection with what `answer` writes to it."""

    url: str
    answer: Callable[[socket.socket], None]
    requests: list[bytes] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    """Set when a caller went away before the answer was whole."""

    def bodies(self) -> list[dict]:
        return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in self.requests]

    def serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.requests.append(read_request(connection))
                self.answer(connection)
            except OSError:
                self.left.set()


def some_of(connection: socket.socket) -> bytes:
    """Return the next bytes; a caller that has gone is an OSError."""
    part = connection.recv(65536)
    if not part:
        raise ConnectionResetError
    return part


def read_request(connection: socket.socket) -> bytes:
    """Return one whole request: its head, and as much body as the head says."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += some_of(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields.get(b"content-length", b"0")):
        body += some_of(connection)
    return head + b"\r\n\r\n" + body


@contextmanager
def raw_server(answer: Callable[[socket.socket], None] | bytes) -> Iterator[RawServer]:
    """Serve on loopback; bytes are sent as they are, and the connection closed."""
    if isinstance(answer, bytes):
        whole = answer

        def answer(connection: socket.socket) -> None:
            connection.sendall(whole)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = RawServer(f"http://127.0.0.1:{listener.getsockname()[1]}", answer)
        thread = threading.Thread(target=server.serve, args=(listener,), daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
        # Else its accept could meet the next test's listener, which may get the same number.
        thread.join(2)


def until_left(connection: socket.socket) -> None:
    """Wait until the caller goes away, and say so as a broken pipe would."""
    while connection.recv(65536):
        pass
    raise ConnectionResetError


def event(**chunk) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def delta(text: str, reason: str | None = None, **more) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return event(choices=[choice], **more)


DONE = b"data: [DONE]\n\n"


def line(text: str = "", **more) -> bytes:
    """Return one line of Ollama's."""
    shape = {"model": "lead", "message": {"role": "assistant", "content": text}, "done": False}
    return json.dumps({**shape, **more}).encode() + b"\n"
