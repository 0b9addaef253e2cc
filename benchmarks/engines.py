"""How fast local models answer over HTTP: ours, `transformers serve`, and any server beside them.

`python benchmarks/engines.py [--model lead|mid] [--clients 1 8 32] [--endpoint NAME=URL] [--json]`

Each server gets the same requests for the same weights, greedy, from 1, 8 and 32 clients at once
through `/v1/chat/completions`; `generate` in a process of its own stands beside them. `mid` is a
random Llama of 80 M parameters, made here. Prints Markdown for BENCHMARKS.md.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import httpx  # noqa: E402  the repository is not a package
import psutil  # noqa: E402
from figures import Figure, Goal, machine  # noqa: E402
from made_models import LEAD, make_adapter, make_mid  # noqa: E402
from rig import LIMITS, home_with  # noqa: E402
from servers import PROJECT, free_port, running, wait_for  # noqa: E402

NEW_TOKENS = 64
ROUNDS, LEAST = 3, 16
"""Requests of each client, one after another; requests of all clients together, at least."""
BATCHING = (
    "--continuous-batching",
    *("--attn-implementation", "sdpa"),
    *("--cb-num-blocks", "512"),
    *("--cb-max-batch-tokens", "512"),
)
GENERATE = """
import json, sys, time, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
torch.set_num_threads(int(sys.argv[2]))
folder, asked = sys.argv[1], json.loads(sys.argv[3])
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
count, spent = 0, 0.0
for number, messages in enumerate(asked):
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    began = time.perf_counter()
    with torch.inference_mode():
        out = model.generate(**prompt, max_new_tokens=int(sys.argv[4]), do_sample=False)
    if number:
        spent += time.perf_counter() - began
        count += out.shape[1] - prompt["input_ids"].shape[1]
print(count / spent)
"""


@dataclass(frozen=True)
class Server:
    """A running server, and what it calls the model."""

    name: str
    address: str
    models: tuple[str, ...]
    """Requests take turns among them."""
    process: psutil.Process | None
    """None: somebody else's."""


@dataclass(frozen=True)
class Answered:
    """One streamed answer."""

    first_s: float
    tokens: int


def talk(number: int) -> list[dict[str, str]]:
    """Return the messages of a request: a plan of the gala, which takes longer to tell than asked.

    The numbers ask different things.
    """
    rows = (PROJECT / "assets" / "tasks" / "gala_plan.jsonl").read_text("utf-8").splitlines()
    row = json.loads(rows[number % len(rows)])
    return [{"role": m["role"], "content": m["content"]} for m in row["input"]]


async def ask(client: httpx.AsyncClient, server: Server, number: int) -> Answered:
    """Stream one answer.

    Raises:
        RuntimeError: the server refuses it or breaks off.
    """
    body: dict[str, Any] = {
        "model": server.models[number % len(server.models)],
        "messages": talk(number),
        "stream": True,
        "temperature": 0,
        "max_tokens": NEW_TOKENS,
        "stream_options": {"include_usage": True},
    }
    if server.name.startswith("Understudy"):
        body["understudy"] = {"cache": "off"}
    began, first, tokens = time.perf_counter(), None, 0
    async with client.stream("POST", "/v1/chat/completions", json=body) as stream:
        async for line in stream.aiter_lines():
            if not line.startswith("data: {"):
                continue
            value = json.loads(line.removeprefix("data: "))
            if any(choice["delta"].get("content") for choice in value.get("choices") or ()):
                first = first or time.perf_counter() - began
            tokens = (value.get("usage") or {}).get("completion_tokens") or tokens
    if stream.status_code != 200 or first is None or not tokens:
        raise RuntimeError(f"{server.name}: no answer, status {stream.status_code}")
    return Answered(first, tokens)


async def load(server: Server, clients: int) -> tuple[list[Answered], float]:
    """Let so many clients ask at once, each several times; return answers and seconds."""
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=server.address, limits=limits, timeout=600) as http:
        rounds = max(ROUNDS, LEAST // clients)

        async def one(client: int) -> list[Answered]:
            return [await ask(http, server, client * rounds + n) for n in range(rounds)]

        await ask(http, server, 9_999)  # loads the weights
        began = time.perf_counter()
        answers = await asyncio.gather(*map(one, range(clients)))
    return [each for client in answers for each in client], time.perf_counter() - began


def measure(server: Server, clients: int) -> tuple[float, list[Figure]]:
    """Return tokens per second of all clients together, and the figures."""
    before = cpu_s(server)
    answers, seconds = asyncio.run(load(server, clients))
    spent = None if before is None else (cpu_s(server) or 0.0) - before
    rate = sum(each.tokens for each in answers) / seconds
    firsts = sorted(each.first_s * 1e3 for each in answers)
    last = firsts[min(len(firsts) - 1, int(0.99 * len(firsts)))]
    tokens = sum(each.tokens for each in answers)
    each = None if spent is None else spent / tokens * 1e3
    title = f"{server.name}, {clients} at once"
    return rate, [
        Figure(f"{title}: tokens per second, together", rate, ""),
        Figure(f"{title}: first token, p50", statistics.median(firsts), "ms"),
        Figure(f"{title}: first token, p99", last, "ms"),
        Figure(f"{title}: CPU time of the server per token", each, "ms"),
    ]


def cpu_s(server: Server) -> float | None:
    """Return the CPU seconds of the server so far; None for somebody else's."""
    if server.process is None:
        return None
    family = [server.process, *server.process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in family)


@contextmanager
def ours(folder: Path, engine: str, adapters: Mapping[str, Path] | None = None) -> Iterator[Server]:
    """Run the app with this model, this engine and these adapters."""
    entry = {"provider": "local", "path": str(folder), "context": 1024, "engine": engine}
    versions = {name: {"path": str(path)} for name, path in (adapters or {}).items()}
    entries = {"models": {"measured": entry}, "default_model": "lead", "limits": LIMITS}
    home = home_with({**entries, "adapters": {"measured": versions}})
    port = free_port()
    with running(["app.py", "--port", str(port)], {"UNDERSTUDY_HOME": str(home)}) as process:
        wait_for(f"http://127.0.0.1:{port}/health", process)
        name = f"Understudy, {engine}"
        yield Server(name, f"http://127.0.0.1:{port}", ("measured",), psutil.Process(process.pid))


@contextmanager
def theirs(folder: Path, *options: str) -> Iterator[Server]:
    """Run `transformers serve` with this model."""
    port = free_port()
    place = ("--device", "cpu", "--host", "127.0.0.1", "--port", str(port))
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(folder), *place]
    with running([*command, *options], {"OMP_NUM_THREADS": "1"}) as process:
        wait_for(f"http://127.0.0.1:{port}/health", process)
        name = "transformers serve" + (", continuous batching" if options else "")
        yield Server(name, f"http://127.0.0.1:{port}", (str(folder),), psutil.Process(process.pid))


def bare(folder: Path, threads: int) -> float:
    """Return the tokens per second of `generate` alone, one request after another."""
    asked = json.dumps([talk(number) for number in range(LEAST + 1)])
    command = [sys.executable, "-c", GENERATE, str(folder), str(threads), asked, str(NEW_TOKENS)]
    done = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def compare(
    folder: Path, clients: Sequence[int], engines: Sequence[str], others: Sequence[Server]
) -> list[Figure]:
    """Measure every server, one after another, and the ratios that are promised for the lead."""
    is_lead = folder == LEAD
    alone = bare(folder, 1)
    figures = [Figure("bare generate, one after another: tokens per second", alone, "")]
    plain: dict[int, float] = {}
    with theirs(folder) as server:
        for count in clients:
            plain[count], rows = measure(server, count)
            figures += rows
    with theirs(folder, *BATCHING) as server:
        for count in clients:
            figures += measure(server, count)[1]
    for engine in engines:
        with ours(folder, engine) as server:
            for count in clients:
                rate, rows = measure(server, count)
                goal = ("at least", 5.0) if is_lead and count == 8 else None
                of_plain = f"{server.name}, {count} at once, to plain transformers serve"
                figures += [*rows, Figure(of_plain, rate / plain[count], "", goal)]
                if count == 1:
                    goal = ("at least", 3.0) if is_lead and engine == "llama.cpp" else None
                    figures.append(
                        Figure(
                            f"{server.name}, one stream, to bare generate", rate / alone, "", goal
                        )
                    )
    for server in others:
        for count in clients:
            figures += measure(server, count)[1]
    return figures + mixed(folder, is_lead=is_lead)


def mixed(folder: Path, *, is_lead: bool) -> list[Figure]:
    """Measure eight streams with one adapter, then with two that take turns."""
    adapters = {f"v{seed}": make_adapter(folder, seed) for seed in (1, 2)}
    figures: list[Figure] = []
    rates: list[float] = []
    with ours(folder, "transformers", adapters) as server:
        for names in (("measured@v1",), ("measured@v1", "measured@v2")):
            title = f"Understudy, {len(names)} adapter{'s' * (len(names) > 1)}"
            rate, rows = measure(replace(server, name=title, models=names), 8)
            rates.append(rate)
            figures += rows
    goal: Goal | None = ("at least", 0.5) if is_lead else None
    return [*figures, Figure("two adapters mixed, to one", rates[1] / rates[0], "", goal)]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=("lead", "mid"), default="lead")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--engines", nargs="+", default=["transformers", "llama.cpp"])
    parser.add_argument("--endpoint", action="append", default=[], metavar="NAME=URL")
    parser.add_argument("--served-model", default="lead", help="what the endpoints call the model")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = LEAD if args.model == "lead" else make_mid()
    pairs = [each.partition("=") for each in args.endpoint]
    others = [Server(name, url, (args.served_model,), None) for name, _, url in pairs]
    before = machine()
    figures = compare(folder, args.clients, args.engines, others)
    packages = {name: version(name) for name in ("torch", "transformers", "peft")}
    if args.json:
        rows = [figure.to_dict() for figure in figures]
        print(json.dumps({"machine": before, "versions": packages, "figures": rows}))
        return 0
    after = machine()
    print(f"{before['processor']}, {before['cores']} cores, Python {before['python']}, {packages};")
    print(f"load {before['load'][0]} before and {after['load'][0]} after\n")
    print("| what | measured | goal |\n| --- | --- | --- |")
    print("\n".join(figure.to_row() for figure in figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
