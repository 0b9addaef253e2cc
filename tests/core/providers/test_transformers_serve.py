"""A server that we did not write: `transformers serve` with the embedded model.

What comes over the wire is compared with what the same weights say in this process.
`benchmarks/real_servers.py` does the same with llama.cpp's server.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from core.catalog import ModelEntry, Target
from core.errors import InputError
from core.messages import GenerationParams, Message
from core.pool import ModelPool
from core.providers.base import ProviderCall
from core.providers.local import LocalProvider
from core.settings import PROJECT
from tests.core.providers.calls import call_of, completed, target_of

pytestmark = pytest.mark.slow

FOLDER = PROJECT / "assets" / "models" / "lead"
START_S = 240
TALKS = [
    (Message("user", "Good evening"),),
    (Message("system", "You are the butler."), Message("user", "Seat Marie Curie at table 4.")),
    (
        Message("user", "Hi"),
        Message("assistant", "Welcome."),
        Message("user", "Thank you, olá é ü"),
    ),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).parent / "transformers"),
        *("serve", str(FOLDER), "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, **quiet) as process:
        try:
            yield wait_for(f"http://127.0.0.1:{port}", process)
        finally:
            process.terminate()


def wait_for(address: str, process: subprocess.Popen) -> str:
    """Return the address once something healthy is there."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{address}/health").is_success:
                return address
        except httpx.TransportError:
            time.sleep(0.2)
    raise TimeoutError(f"no server after {START_S} s; exit code {process.poll()}")


@pytest.fixture(scope="module")
def here() -> Iterator[LocalProvider]:
    pool = ModelPool(10**9)
    yield LocalProvider(pool, None, Path("gguf"))
    pool.close()


def served(url: str, **changes) -> ProviderCall:
    return call_of(url, target=target_of(url, served_model=str(FOLDER)), **changes)


def in_process(**changes) -> ProviderCall:
    entry = ModelEntry(provider="local", path=str(FOLDER), context=1024, precision="fp32")
    return call_of("", target=Target("lead", "lead", entry), **changes)


@pytest.mark.parametrize("messages", TALKS)
@pytest.mark.parametrize("most", [4, 60])
def test_it_says_what_the_weights_say(endpoint, here, url, messages, most):
    params = GenerationParams(max_tokens=most)
    far = completed(endpoint, served(url, messages=messages, params=params))
    near = completed(here, in_process(messages=messages, params=params))
    assert far.text == near.text
    assert far.finish_reason == near.finish_reason
    assert far.usage.input_tokens == near.usage.input_tokens
    assert far.served_model.startswith(str(FOLDER))
    assert 0 < far.timings.first_token_s < far.timings.total_s


def test_a_model_that_it_does_not_serve_is_refused(endpoint, url):
    call = call_of(url, target=target_of(url, served_model="no-such-model"))
    with pytest.raises(InputError, match="'far' refuses the request: Server is pinned"):
        completed(endpoint, call)


def test_it_answers_again_after_a_cancelled_answer(endpoint, url):
    call = served(url, params=GenerationParams(1.5, max_tokens=200))
    stream = endpoint.stream(call)
    first = next(stream)
    call.cancel.set()
    *_, last = stream
    assert last.finish_reason == "cancelled"
    assert last.text.startswith(first)
    assert completed(endpoint, served(url)).finish_reason in ("stop", "length")
