"""A model server on loopback that costs next to nothing, and how benchmarks start servers.

`python benchmarks/servers.py` answers `/v1/chat/completions` as OpenAI does, streaming or whole,
and prints its port. It repeats the first word of the last message, so that nobody takes another's
answer for their own. The model `drip` pauses between its chunks, `down` fails; others do neither.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
CHUNKS = 16
"""Pieces of text in each answer."""
PAUSE_S = 0.1
"""Between two chunks of the model `drip`."""
START_S = 120.0
"""Longest wait for a server to be up."""


class ModelServer:
    """Counts its calls, and how many ran at once."""

    def __init__(self) -> None:
        self.calls = self.running = self.most = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it is closed."""
        try:
            while line := await reader.readline():
                length = 0
                while (header := (await reader.readline()).lower()) not in (b"\r\n", b""):
                    if header.startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                body = await reader.readexactly(length)
                if line.startswith(b"POST"):
                    await self._chat(json.loads(body), writer)
                else:
                    _send(writer, {"calls": self.calls, "most": self.most})
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _chat(self, body: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if body["model"] == "down":
                error = {"message": "The server had an error.", "type": "server_error"}
                return _send(writer, {"error": error}, b"500 Internal Server Error")
            pieces = answer(body["messages"][-1]["content"])
            if not body.get("stream"):
                return _send(writer, _whole(body["model"], "".join(pieces)))
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                b"transfer-encoding: chunked\r\n\r\n"
            )
            for event in _events(body["model"], pieces):
                data = b"data: " + event + b"\n\n"
                writer.write(b"%x\r\n%b\r\n" % (len(data), data))
                if body["model"] == "drip":
                    await writer.drain()
                    await asyncio.sleep(PAUSE_S)
            writer.write(b"0\r\n\r\n")
        finally:
            self.running -= 1


def answer(asked: str) -> list[str]:
    """Return the pieces of the answer to a message."""
    return [asked.split(" ", 1)[0], *(f" word{number}" for number in range(1, CHUNKS))]


def _send(
    writer: asyncio.StreamWriter, value: Mapping[str, Any], status: bytes = b"200 OK"
) -> None:
    data = json.dumps(value).encode()
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    writer.write(head % (status, len(data)) + data)


def _whole(model: str, text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": CHUNKS, "total_tokens": 10 + CHUNKS},
    }


def _events(model: str, pieces: list[str]) -> Iterator[bytes]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    for piece in pieces:
        choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
        yield json.dumps({**head, "choices": [choice]}).encode()
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield json.dumps({**head, "choices": [end]}).encode()
    usage = {"prompt_tokens": 10, "completion_tokens": CHUNKS, "total_tokens": 10 + CHUNKS}
    yield json.dumps({**head, "choices": [], "usage": usage}).encode()
    yield b"[DONE]"


@contextmanager
def running(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program for the length of the block, its output readable."""
    process = subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


@contextmanager
def model_server() -> Iterator[str]:
    """Run the model server in a process of its own; yield its address."""
    with running([str(Path(__file__))], {}) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str, process: subprocess.Popen[str]) -> None:
    """Return when the address answers.

    Raises:
        RuntimeError: the server has ended, or is not up in time.
    """
    end = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(0.03)
        else:
            return
    raise RuntimeError(f"no server at {address}")


def counts(address: str) -> dict[str, int]:
    """Return the model server's `calls` so far, and the `most` that ran at once."""
    with urllib.request.urlopen(f"{address}/counts", timeout=5) as answered:
        return dict(json.load(answered))


async def serve() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(ModelServer().talk, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
