"""Models behind Ollama, through its own `/api/chat`: its `/v1` can't set the context's size.

Ollama shortens a prompt that does not fit, and says nothing. We forbid it (`truncate` and `shift`;
old servers ignore both), and look whether the tokens that it counted can be those that we sent:

- A prompt has at least as many tokens as words. Fewer were read: some words were left out. (A
  server of before July 2024 counts only tokens that it had not cached, and fails here too.) What
  a model has thought does not count: templates leave it out of what was said before.
- A prompt that fills the context was cut to it; one that exceeds it together with the answer was
  shortened meanwhile.

What no count shows is not noticed: no count at all (servers of before July 2024, of a cached
prompt), or an old server that left out less than words and tokens differ by.
Sources: ollama/ollama issues 3427, 5370, 17427 and 17889; pull requests 5371 and 17944.
"""

import json
import re
from collections.abc import AsyncIterator, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.catalog import Target
from core.errors import AppError
from core.gateway.cache_key import endpoint_identity
from core.messages import JsonValue, Message, ToolCall
from core.providers.base import ProviderCall, ProviderEvent
from core.providers.failures import Refusal, failure, key_of, refusal_error, said_of
from core.providers.network import Network, Put, arrived, opened
from core.providers.ollama_lines import Line, chunk_of, parse_line
from core.store.text import clean_json

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
NO_MODEL = re.compile(r"\bmodel\b.*\bnot found\b", re.DOTALL)
CUT = (
    "read {read} tokens, which can't be all that was sent; shorten the conversation, or raise "
    "context in the catalog if the model can take more"
)


class OllamaProvider:
    """Calls the catalog's Ollama servers; keys, where one is wanted, come from the environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._network = Network()

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        """Yield text as it comes and the completion last; closing it closes the connection.

        Raises:
            InputError: the server refuses the request, or did not read all of it.
            UnavailableError: it is out of reach, busy, or has no such model.
            ProviderLimitError: its limits are reached.
            GenerationError: it began to answer and then failed.
        """
        key = key_of(call.target, self._environment)
        if _word_count(call.messages) > call.target.model.context:
            raise failure("context_too_long", call.target)
        yield from self._network.stream(call, _Reader(call, key).read)

    def identity(self, target: Target) -> str | None:
        """Return the server and the model's name there: other weights can't be noticed."""
        return endpoint_identity(target)

    def close(self) -> None:
        """End all calls and close all connections."""
        self._network.close()


@dataclass(slots=True)
class _Reader:
    """Reads the answer to one call."""

    call: ProviderCall
    key: str
    has_begun: bool = False

    async def read(self, http: "AsyncClient", put: Put) -> None:
        """Put the parts of the answer as they come.

        Raises:
            AppError: as `OllamaProvider.stream`.
        """
        import httpx2

        from core.providers.bounded import http_error, timeouts

        url = f"{_root(self.call)}/api/chat"
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        request = http.build_request(
            "POST", url, json=_body(self.call), headers=headers, timeout=timeouts()
        )
        try:
            response = await http.send(request, stream=True)
            try:
                await self._put_all(response, put)
            finally:
                await response.aclose()
        except httpx2.RequestError as error:
            raise http_error(error, self.call.target, has_begun=self.has_begun) from error

    async def _put_all(self, response: "Response", put: Put) -> None:
        if not response.is_success:
            await response.aread()
            raise self._refused(response.status_code, _json(response.text), response.headers)
        put(opened(response))
        calls = 0
        async for text in _lines(response):
            value = _json(text)
            if isinstance(value, Mapping) and value.get("error"):
                raise self._refused(None, value, {})
            line = parse_line(value)
            put(arrived(chunk_of(line, calls)))
            self.has_begun = True
            calls += line.call_count
            if line.done:
                self._check(line)

    def _refused(self, status: int | None, body: object, headers: Mapping[str, str]) -> AppError:
        target = self.call.target
        said = said_of(body, self.key)
        if status == 404 and NO_MODEL.search(said):
            words = "is not on its Ollama server; run: ollama pull {served}"
            return failure("not_found", target, words=words)
        error = refusal_error(Refusal(status, body, headers), target, self.key)
        if status == 500 and error.failure == "overloaded" and said:
            return failure(
                "overloaded", target, words="failed on its server: {reason}", reason=said
            )
        return error

    def _check(self, line: Line) -> None:
        """Refuse an answer to less than what was sent; see the module's text."""
        read, made = line.prompt_eval_count, line.eval_count or 0
        if not read:
            return
        context = self.call.target.model.context
        if read < _word_count(self.call.messages) or read >= context or read + made > context:
            words = CUT.format(read=read)
            raise failure("context_too_long", self.call.target, words=words)


def _root(call: ProviderCall) -> str:
    """Return the server's address; many name that of its `/v1`."""
    return str(call.target.model.base_url).rstrip("/").removesuffix("/v1")


async def _lines(response: "Response") -> AsyncIterator[bytes]:
    """Yield the lines that hold something; only a line feed ends one."""
    begun = bytearray()
    async for part in response.aiter_bytes():
        *ends, rest = part.split(b"\n")
        for end in ends:
            line = bytes(begun + end)
            begun.clear()
            if line.strip():
                yield line
        begun += rest
    if begun.strip():
        yield bytes(begun)


def _json(text: str | bytes) -> object:
    """Return the JSON value, or the text where it is none."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text if isinstance(text, str) else text.decode(errors="replace")
    return value


def _word_count(messages: tuple[Message, ...]) -> int:
    return sum(len(THOUGHT.sub("", message.text).split()) for message in messages)


def _body(call: ProviderCall) -> dict[str, Any]:
    """Return the request; what the caller left open is left out."""
    params = call.params
    options: dict[str, Any] = {
        "num_ctx": call.target.model.context,
        "num_predict": params.max_tokens,
        "temperature": params.temperature,
        "top_p": params.top_p,
    }
    if params.seed is not None:
        options["seed"] = params.seed
    if params.stop:
        options["stop"] = list(params.stop)
    body: dict[str, Any] = {
        "model": call.target.model.served_model,
        "messages": clean_json(_messages(call.messages)),
        "options": options,
        "stream": True,
        "truncate": False,
        "shift": False,
    }
    if call.tools:
        body["tools"] = clean_json([tool.to_openai() for tool in call.tools])
    if call.response_schema is not None:
        body["format"] = call.response_schema
    elif call.json_mode:
        body["format"] = "json"
    return body


def _messages(messages: tuple[Message, ...]) -> list[JsonValue]:
    """Return the conversation in Ollama's shape: calls as objects, results with their name."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    shapes: list[JsonValue] = []
    for message in messages:
        shape: dict[str, JsonValue] = {"role": message.role, "content": message.text}
        if message.tool_calls:
            shape["tool_calls"] = [_call(call) for call in message.tool_calls]
        if message.tool_call_id in names:
            shape["tool_name"] = names[message.tool_call_id]
        shapes.append(shape)
    return shapes


def _call(call: ToolCall) -> JsonValue:
    arguments = _json(call.arguments)
    if not isinstance(arguments, dict):
        # A model wrote what is no object, and should see that it did.
        arguments = {"arguments": call.arguments}
    return {"function": {"name": call.name, "arguments": arguments}}
