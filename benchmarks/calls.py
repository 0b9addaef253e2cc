"""Requests through the gateway against a bare client's, a fallback, and 200 streams at once."""

import asyncio
import json
import statistics
import threading
import time
from collections.abc import Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psutil
from figures import Figure, Spans
from rig import catalog, conversation, endpoint, gateway, home_with, request
from servers import CHUNKS, PAUSE_S, answer, counts, free_port, model_server, running, wait_for

from core.catalog import Target
from core.errors import AppError
from core.messages import GenerationRequest, Message, ModelRef, Timings, Usage
from core.providers.base import Completion, ProviderCall, ProviderEvent

STREAMS = 200
WARM = 20
"""Requests before any is measured."""


def through_gateway(made: Any, asked: GenerationRequest, first: list[float]) -> str:
    """Return the answer's text; note when its first piece came."""
    text, began = "", time.perf_counter()
    for delta in made.gateway.generate(asked):
        if delta.text and not text:
            first.append(time.perf_counter() - began)
        text += delta.text
    assert delta.generation is not None
    return text


def through_client(client: Any, asked: GenerationRequest, first: list[float]) -> str:
    """Return the same by the shortest use of the client library."""
    text, began = "", time.perf_counter()
    stream = client.chat.completions.create(
        model="fast",
        messages=[{"role": m.role, "content": m.text} for m in asked.messages],
        temperature=asked.params.temperature,
        max_tokens=asked.params.max_tokens,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        piece = chunk.choices[0].delta.content if chunk.choices else None
        if piece and not text:
            first.append(time.perf_counter() - began)
        text += piece or ""
    return text


def pipeline(scale: int) -> list[Figure]:
    """Pair requests through the whole gateway with bare ones, the order alternating.

    Every request is new, so each one misses the cache, is traced, and its answer is kept.
    """
    import openai

    sides, firsts = (Spans(), Spans()), ([], [])
    with (
        gateway() as (made, address),
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        for number in range(WARM + 5 * scale):
            if number == WARM:
                sides, firsts = (Spans(), Spans()), ([], [])
            asked = request("fast", conversation(number))
            texts: dict[int, str] = {}
            for side in (0, 1) if number % 2 else (1, 0):
                run, maker = ((through_gateway, made), (through_client, client))[side]
                texts[side] = sides[side].time(lambda: run(maker, asked, firsts[side]))  # noqa: B023
            assert texts[0] == texts[1], "both sides must give the same text"
    ours, bare = sides
    added = [a - b for a, b in zip(ours.seconds, bare.seconds, strict=True)]
    added_first = [a - b for a, b in zip(firsts[0], firsts[1], strict=True)]
    return [
        Figure(
            f"added by the gateway to a bare client's call, p50 of {len(added)} pairs",
            statistics.median(added) * 1e3,
            "ms",
            ("below", 1.0),
        ),
        Figure("added until the first text, p50", statistics.median(added_first) * 1e3, "ms"),
        Figure("the bare call, p50", bare.p50_s * 1e3, "ms"),
        Figure("ratio of the medians", ours.p50_s / bare.p50_s, ""),
        Figure("CPU time added", (ours.mean_cpu_s - bare.mean_cpu_s) * 1e3, "ms"),
    ]


class FailingFirst:
    """Stands for the endpoints: `down` fails as its server did, any other one answers at once."""

    def __init__(self, error: Exception) -> None:
        self.error, self.read_at = error, 0.0
        self.seconds: list[float] = []
        """From each error to the next request."""

    def close(self) -> None:
        """Hold nothing that must be freed."""

    def identity(self, _: Target) -> str | None:
        """Return None: nothing here is to be cached."""
        return None

    def stream(self, call: ProviderCall) -> Generator[ProviderEvent, None, None]:
        """Fail from the moment that the error was read, or answer once the request is built."""
        from core.providers import endpoint as endpoints

        if call.target.model.served_model == "down":
            self.read_at = time.perf_counter()
            raise endpoints.app_error(self.error, call.target, "", has_begun=False)
        endpoints.request_body(call)  # what the client would be called with
        self.seconds.append(time.perf_counter() - self.read_at)
        yield "Good evening."
        yield Completion(
            text="Good evening.",
            model=ModelRef(call.target.model_id, None),
            adapter=None,
            usage=Usage(10, 3),
            timings=Timings(0.0, 0.0, 0.0, 0.0, None),
            finish_reason="stop",
        )


def server_error(address: str) -> Exception:
    """Return what the client raises when a server fails."""
    import openai

    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        try:
            client.chat.completions.create(model="down", messages=[{"role": "user", "content": ""}])
        except openai.InternalServerError as error:
            return error
    raise RuntimeError("the model server did not fail")


def fallback(scale: int) -> list[Figure]:
    """Time from an error read to the next request built, through the whole gateway.

    Each chain begins with a model of its own that is down, so that no breaker is open yet.
    """
    count = 5 * scale
    down = {f"down-{n}": endpoint("http://127.0.0.1:9", "down") for n in range(WARM + count)}
    chains = {f"chain-{n}": {"models": [f"down-{n}", "fast"]} for n in range(WARM + count)}
    with gateway(models=down, chains=chains) as (made, address):
        stand_in = FailingFirst(server_error(address))
        traffic = made.gateway.traffic
        made.gateway.traffic = replace(traffic, providers={"endpoint": stand_in})
        whole = Spans()
        for number in range(WARM + count):
            asked = request(f"chain-{number}", conversation(number))
            whole.time(lambda: through_gateway(made, asked, []))  # noqa: B023
    spans = Spans()
    spans.seconds = stand_in.seconds[WARM:]
    if len(spans.seconds) != count:
        raise RuntimeError("not every request fell back")
    return [
        Figure("from an error to the next request, p99", spans.p99_s * 1e3, "ms", ("at most", 0.2)),
        Figure("p50", spans.p50_s * 1e3, "ms"),
        Figure("least", min(spans.seconds) * 1e3, "ms"),
        Figure("its share of the whole request, trace included", spans.p50_s / whole.p50_s, ""),
    ]


def one_stream_each(address: str) -> Coroutine[Any, Any, list[str]]:
    """Return what opens all streams of an API at once and gives each one's text, or its error."""
    import httpx

    async def one(client: httpx.AsyncClient, number: int) -> str:
        asked = [{"role": "user", "content": f"guest{number} asks"}]
        body = {"model": "drip", "messages": asked, "stream": True, "max_tokens": 64}
        text = ""
        try:
            async with client.stream("POST", "/v1/chat/completions", json=body) as stream:
                if stream.status_code != 200:
                    return f"error {stream.status_code}"
                async for line in stream.aiter_lines():
                    text += _content(line)
        except httpx.HTTPError as error:
            return f"error {error!r}"
        return text

    async def all_at_once() -> list[str]:
        limits = httpx.Limits(max_connections=STREAMS)
        async with httpx.AsyncClient(base_url=address, limits=limits, timeout=300) as client:
            return await asyncio.gather(*(one(client, n) for n in range(STREAMS)))

    return all_at_once()


def _content(line: str) -> str:
    """Return the text that a line of a stream adds."""
    if not line.startswith("data: {"):
        return ""
    value = json.loads(line.removeprefix("data: "))
    if "error" in value:
        return f"error {value['error']}"
    return "".join(choice["delta"].get("content") or "" for choice in value["choices"])


def wrong(texts: list[str]) -> list[str]:
    """Return the texts that are not the whole answer to their own question."""
    return [text for n, text in enumerate(texts) if text != "".join(answer(f"guest{n} asks"))]


def streams(_: int) -> list[Figure]:
    """Open 200 streams at once: through the app's HTTP API, and from threads of the gateway."""
    least_s = (CHUNKS + 2) * PAUSE_S
    return [*_http_streams(least_s), *_gateway_streams(least_s)]


def _http_streams(least_s: float) -> list[Figure]:
    with model_server() as models:
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        environment = {"UNDERSTUDY_HOME": str(home_with(catalog(models)))}
        with running(["app.py", "--port", str(port)], environment) as process:
            wait_for(f"{address}/health", process)
            app = psutil.Process(process.pid)
            began, cpu = time.perf_counter(), sum(app.cpu_times()[:2])
            texts = asyncio.run(one_stream_each(address))
            took, cpu = time.perf_counter() - began, sum(app.cpu_times()[:2]) - cpu
            most = counts(models)["most"]
    return _stream_figures("over HTTP", texts, most, (took / least_s, cpu))


def _gateway_streams(least_s: float) -> list[Figure]:
    with gateway() as (made, address), ThreadPoolExecutor(STREAMS) as pool:
        gate = threading.Barrier(STREAMS)

        def one(number: int) -> str:
            asked = request("drip", (Message("user", f"guest{number} asks"),), f"caller{number}")
            gate.wait()
            try:
                return through_gateway(made, asked, [])
            except AppError as error:
                return f"error {error}"

        began, cpu = time.perf_counter(), time.process_time()
        texts = list(pool.map(one, range(STREAMS)))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        most = counts(address)["most"]
    return _stream_figures("in threads of the gateway", texts, most, (took / least_s, cpu))


def _stream_figures(
    how: str, texts: list[str], most: int, spent: tuple[float, float]
) -> list[Figure]:
    failed = wrong(texts)
    note = f"the first: {failed[0][:120]!r}" if failed else ""
    return [
        Figure(f"{STREAMS} streams {how}: errors", len(failed), "", ("at most", 0), note),
        Figure("most at once at the model", most, ""),
        Figure("time, to that of one undisturbed stream", spent[0], ""),
        Figure("CPU time of one stream", spent[1] / STREAMS * 1e3, "ms"),
    ]
