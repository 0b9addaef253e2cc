"""Whether a person can chat while 2,000 generations are queued on the same model.

`python benchmarks/engine_crowd.py [--queued 2000] [--chats 40] [--json]` starts the app with the
embedded lead, sends all requests to `/v1/chat/completions` at once, and meanwhile opens the page
and chats as a visitor does, through the Chat tab's own events.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import httpx  # noqa: E402  the repository is not a package
from engines import ours, talk  # noqa: E402
from figures import Figure, Goal, machine  # noqa: E402
from servers import PROJECT  # noqa: E402

NEW_TOKENS = 64
CROWD = ("--crowd",)


async def crowd(address: str, count: int) -> int:
    """Send so many requests at once; return how many were answered whole."""
    limits = httpx.Limits(max_connections=count)

    async def ask(http: httpx.AsyncClient, number: int) -> bool:
        body = {
            "model": "measured",
            "messages": talk(number),
            "temperature": 0,
            "max_tokens": NEW_TOKENS,
            "understudy": {"cache": "off"},
        }
        answer = await http.post("/v1/chat/completions", json=body)
        return answer.status_code == 200 and bool(answer.json()["choices"])

    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=3600) as http:
        print("sent", flush=True)
        return sum(await asyncio.gather(*(ask(http, number) for number in range(count))))


def question(number: int) -> str:
    """Return what a person says; no two the same."""
    rows = (PROJECT / "assets" / "tasks" / "desk_persona.jsonl").read_text("utf-8").splitlines()
    said: str = json.loads(rows[number % len(rows)])["input"][-1]["content"]
    return said


def first_text_s(client: Any, number: int) -> float:
    """Send a message of the Chat tab; return the seconds until words, or a call, are to be seen."""
    began = time.perf_counter()
    asked = {"values": "measured", "param_5": None, "param_8": question(number)}
    for page in client.submit(**asked, api_name="/chat"):
        said = [entry for entry in page[0]["value"] if entry["role"] == "assistant"]
        texts = ["".join(part["text"] for part in entry["content"]).strip() for entry in said]
        if any(texts):
            return time.perf_counter() - began
    raise RuntimeError("the Chat tab gave no answer")


def page_s(address: str) -> float:
    """Return how long the page takes."""
    began = time.perf_counter()
    with urllib.request.urlopen(f"{address}/", timeout=60) as page:
        page.read()
    return time.perf_counter() - began


def watch(address: str, numbers: range) -> tuple[list[float], list[float]]:
    """Return the first-text times of new chats, one per number, and the page's times."""
    from gradio_client import Client

    chatted, opened = [], []
    for number in numbers:
        opened.append(page_s(address))
        client = Client(address, verbose=False)
        chatted.append(first_text_s(client, number))
        client.close()
    return chatted, opened


def p95(values: list[float]) -> float:
    """Return what 95 of 100 stay below."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def measure(queued: int, chats: int) -> list[Figure]:
    """Chat on an idle app, then beside the crowd."""
    lead = PROJECT / "assets" / "models" / "lead"
    with ours(lead, "transformers") as server:
        idle, _ = watch(server.address, range(100, 110))
        command = [sys.executable, __file__, *CROWD, server.address, str(queued)]
        with tempfile.TemporaryFile("w+") as said:
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=said, cwd=PROJECT, env=dict(os.environ))
            time.sleep(5)  # until the connections are open
            chatted, opened = watch(server.address, range(chats))
            is_running = process.poll() is None
            process.wait()
            seconds = time.perf_counter() - began
            said.seek(0)
            answered = int(said.read().split()[-1])
    below: Goal = ("below", 1000.0)
    beside = "beside the queue: first text of a chat"
    return [
        Figure("idle: first text of a chat, p50", statistics.median(idle) * 1e3, "ms"),
        Figure(f"{beside}, p50", statistics.median(chatted) * 1e3, "ms"),
        Figure(f"{beside}, p95", p95(chatted) * 1e3, "ms", below),
        Figure("beside the queue: page, p95", p95(opened) * 1e3, "ms", below),
        Figure(f"answered whole, of {queued}", answered, "", ("at least", queued)),
        Figure("all answered after", seconds, "s"),
        Figure("the queue outlasted the chats", float(is_running), "", ("at least", 1)),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queued", type=int, default=2000)
    parser.add_argument("--chats", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(*CROWD, nargs=2, metavar=("URL", "COUNT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.crowd:
        print(asyncio.run(crowd(args.crowd[0], int(args.crowd[1]))))
        return 0
    figures = measure(args.queued, args.chats)
    if args.json:
        print(json.dumps({"machine": machine(), "figures": [f.to_dict() for f in figures]}))
        return 0
    print("| what | measured | goal |\n| --- | --- | --- |")
    print("\n".join(figure.to_row() for figure in figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
