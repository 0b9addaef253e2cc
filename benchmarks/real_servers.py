"""Whether answers over the wire are what the same weights say in this process.

    python benchmarks/real_servers.py --llama /tmp/llama/bin/python

`--llama` names the Python of an environment with `xllamacpp` and `gguf`; see
`llama_cpp_server.py`. Prints Markdown for BENCHMARKS.md; exits with 1 when an answer differs.
`transformers serve` is in the tests: `tests/core/providers/test_transformers_serve.py`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from core.catalog import ModelEntry, Target  # noqa: E402  the repository is not a package
from core.errors import AppError  # noqa: E402
from core.messages import GenerationParams, Message, Tool  # noqa: E402
from core.pool import ModelPool  # noqa: E402
from core.providers.base import Completion, Provider, ProviderCall  # noqa: E402
from core.providers.endpoint import EndpointProvider  # noqa: E402
from core.providers.local import LocalProvider  # noqa: E402

FOLDER = PROJECT / "assets" / "models" / "lead"
CONTEXT = 1024
TALKS = (
    (Message("user", "Good evening"),),
    (Message("system", "You are the butler."), Message("user", "Seat Marie Curie at table 4.")),
    (Message("user", "Hi"), Message("assistant", "Welcome."), Message("user", "Obrigado, olá é ü")),
    (Message("user", "Please play Moonlight River by The Velvet Quartet."),),
)
SCHEMA = {"type": "object", "properties": {"table": {"type": "integer"}}, "required": ["table"]}
SEAT = Tool(
    "assign_seat",
    "Seat a guest at a table.",
    {
        "type": "object",
        "properties": {"guest": {"type": "string"}, "table": {"type": "integer"}},
        "required": ["guest", "table"],
    },
)


@contextmanager
def llama_cpp(python: str) -> Iterator[str]:
    """Serve the embedded model with llama.cpp; yield its address."""
    script = Path(__file__).with_name("llama_cpp_server.py")
    with tempfile.TemporaryDirectory() as folder:
        command = [python, str(script), str(FOLDER), f"{folder}/lead.gguf"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, **pipes, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
            process.terminate()


def call_of(target: Target, messages: tuple[Message, ...], **changes: object) -> ProviderCall:
    """Return a greedy call."""
    params = GenerationParams(max_tokens=60)
    values = {"tools": (), "params": params, "cancel": threading.Event(), **changes}
    return ProviderCall(target=target, messages=messages, **values)


def completed(provider: Provider, call: ProviderCall) -> Completion:
    """Return the completion; the texts before it must make up its text."""
    *texts, last = provider.stream(call)
    assert isinstance(last, Completion)
    assert "".join(text for text in texts if isinstance(text, str)) == last.text
    return last


class Comparison:
    """Asks the server and the weights the same."""

    def __init__(self, far: Provider, near: Provider, url: str) -> None:
        entry = ModelEntry(
            provider="endpoint", base_url=f"{url}/v1", served_model="lead", context=CONTEXT
        )
        weights = ModelEntry(provider="local", path=str(FOLDER), context=CONTEXT, precision="fp32")
        self.far, self.near = far, near
        self.there, self.here = Target("far", "far", entry), Target("lead", "lead", weights)

    def texts(self) -> bool:
        """Return whether texts, ends and counts are the same."""
        for messages in TALKS:
            far = completed(self.far, call_of(self.there, messages))
            near = completed(self.near, call_of(self.here, messages))
            if (far.text, far.finish_reason, far.usage.input_tokens) != (
                *(near.text, near.finish_reason, near.usage.input_tokens),
            ):
                print(f"differs: {far!r}\n     and: {near!r}", file=sys.stderr)
                return False
        return True

    def tools(self) -> bool:
        """Return whether a tool call comes as one, with arguments that are an object."""
        messages = (Message("user", "Seat Marie Curie at table 4."),)
        found = completed(self.far, call_of(self.there, messages, tools=(SEAT,)))
        print(f"tool calls: {found.tool_calls!r}, {found.finish_reason}", file=sys.stderr)
        return found.finish_reason == "tool_calls" and all(
            isinstance(json.loads(call.arguments), dict) for call in found.tool_calls
        )

    def schema(self) -> bool:
        """Return whether the server holds the model to a JSON Schema."""
        found = completed(self.far, call_of(self.there, TALKS[1], response_schema=SCHEMA))
        print(f"schema: {found.text!r}", file=sys.stderr)
        return isinstance(json.loads(found.text)["table"], int)

    def too_long(self) -> bool:
        """Return whether a conversation beyond the context is refused as one."""
        try:
            completed(self.far, call_of(self.there, (Message("user", "guest " * 2000),)))
        except AppError as error:
            print(f"too long: {error}", file=sys.stderr)
            return error.failure == "context_too_long"
        return False

    def cancelled(self) -> bool:
        """Return whether a cancelled answer ends at once and the server answers again."""
        call = call_of(self.there, TALKS[0], params=GenerationParams(1.5, max_tokens=900))
        stream = self.far.stream(call)
        next(stream)
        call.cancel.set()
        began = time.monotonic()
        *_, last = stream
        is_prompt = time.monotonic() - began < 1
        again = completed(self.far, call_of(self.there, TALKS[0]))
        return is_prompt and last.finish_reason == "cancelled" and bool(again.text)


def main() -> None:
    """Compare, print a table, and exit with 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llama", required=True, help="Python with xllamacpp and gguf")
    python = parser.parse_args().llama
    pool: ModelPool = ModelPool(10**9)
    with closing(pool), closing(EndpointProvider({})) as far, llama_cpp(python) as url:
        compare = Comparison(far, LocalProvider(pool, None, Path("gguf")), url)
        checks: tuple[Callable[[], bool], ...] = (
            *(compare.texts, compare.tools, compare.schema),
            *(compare.too_long, compare.cancelled),
        )
        results = [(check.__doc__, check()) for check in checks]
    print("| llama.cpp's server | |\n| --- | --- |")
    for text, is_right in results:
        print(
            f"| {str(text).removeprefix('Return ').rstrip('.')} | {'yes' if is_right else 'NO'} |"
        )
    sys.exit(0 if all(is_right for _, is_right in results) else 1)


if __name__ == "__main__":
    main()
