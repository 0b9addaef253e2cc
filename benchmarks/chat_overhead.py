"""What Understudy costs over the libraries it stands on, as ratios measured in one run.

`python benchmarks/chat_overhead.py`: tokens/s and first-token time through the whole gateway
against a bare `model.generate` loop in the same process; time until the page is usable against an
empty Gradio app; peak memory before and after the first chat. Prints Markdown for BENCHMARKS.md.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from core.catalog import located  # noqa: E402  the repository is not a package
from core.messages import (  # noqa: E402
    GenerationParams,
    GenerationRequest,
    Message,
)
from core.services import make_services  # noqa: E402
from core.settings import Settings  # noqa: E402
from core.tool_json import tools_from_json  # noqa: E402

QUESTIONS = (
    "Seat Marie Curie at table 4.",
    "Please play Moonlight River by The Velvet Quartet.",
    "Ada Brown is vegan. Also, remind me at 19:30 to light the candles.",
    "Tell me about the music.",
)
EMPTY_APP = """
import sys
import gradio as gr
with gr.Blocks(analytics_enabled=False) as app:
    gr.Textbox(elem_id="prompt")
app.launch(server_port=int(sys.argv[1]), ssr_mode=False, run_history=False, quiet=True)
"""


@dataclass(frozen=True)
class Sample:
    """One generation, timed."""

    tokens: int
    text: str
    first_token_s: float
    total_s: float


def request(model: str, question: str) -> GenerationRequest:
    """Return the request that the Chat tab would send."""
    folder = PROJECT / "assets" / "prompts"
    system = (folder / "desk.txt").read_text(encoding="utf-8")
    return GenerationRequest(
        model=model,
        messages=(Message("system", system), Message("user", question)),
        params=GenerationParams(max_tokens=128),
        caller="benchmark",
        tools=tools_from_json((folder / "desk_tools.json").read_text(encoding="utf-8")),
        cache="off",
    )


def through_gateway(gateway: Any, asked: GenerationRequest) -> Sample:
    """Time one generation the way every caller gets it."""
    began, first = time.perf_counter(), 0.0
    for delta in gateway.generate(asked):
        if not first and (delta.text or delta.call_text or delta.generation):
            first = time.perf_counter() - began
    total = time.perf_counter() - began
    generation = delta.generation
    text = generation.text + "".join(call.arguments for call in generation.tool_calls)
    return Sample(generation.usage.output_tokens, text, first, total)


class FirstToken:
    """The library's streamer interface, keeping only when the first token came."""

    def __init__(self) -> None:
        self.calls, self.at = 0, 0.0

    def put(self, _: Any) -> None:
        """Count the calls; the second one brings the first token."""
        self.calls += 1
        if self.calls == 2:
            self.at = time.perf_counter()

    def end(self) -> None:
        """Do nothing."""


def bare(model: Any, tokenizer: Any, asked: GenerationRequest) -> Sample:
    """Time the shortest loop that gives the same answer."""
    import torch

    began = time.perf_counter()
    encoded = tokenizer.apply_chat_template(
        [{"role": m.role, "content": m.text} for m in asked.messages],
        tools=[tool.to_openai() for tool in asked.tools],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    watch = FirstToken()
    with torch.inference_mode():
        tokens = model.generate(
            **encoded, max_new_tokens=asked.params.max_tokens, do_sample=False, streamer=watch
        )
    new = tokens[0, encoded["input_ids"].shape[1] :]
    text = tokenizer.decode(new, skip_special_tokens=True)
    total = time.perf_counter() - began
    return Sample(len(new), text, watch.at - began, total)


def overhead(model_id: str, rounds: int) -> dict[str, float]:
    """Return the medians of paired ratios, gateway to bare, order alternating."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    home = tempfile.mkdtemp()
    settings = Settings.from_env({**os.environ, "UNDERSTUDY_HOME": home})
    speeds, firsts, raw = [], [], []
    with closing(make_services(settings)) as services:
        catalog = services.catalog
        limits = replace(catalog.limits, requests_per_minute=100_000)
        services.gateway._limiter._limits = limits  # the benchmark asks faster than people may
        folder = located(str(catalog.models[model_id].path))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        asked = [request(model_id, question) for question in QUESTIONS]
        for one in asked:  # warm both
            through_gateway(services.gateway, one)
            bare(model, tokenizer, one)
        for turn in range(rounds):
            for one in asked:
                runs = {}
                order = ("gateway", "bare") if turn % 2 else ("bare", "gateway")
                for side in order:
                    runs[side] = (
                        through_gateway(services.gateway, one)
                        if side == "gateway"
                        else bare(model, tokenizer, one)
                    )
                ours, theirs = runs["gateway"], runs["bare"]
                assert ours.tokens == theirs.tokens, "both sides must generate the same tokens"
                speeds.append((ours.tokens / ours.total_s) / (theirs.tokens / theirs.total_s))
                firsts.append(ours.first_token_s - theirs.first_token_s)
                raw.append((ours.tokens / ours.total_s, theirs.tokens / theirs.total_s))
    quartiles = statistics.quantiles(speeds, n=4)
    return {
        "n": len(speeds),
        "speed_ratio": statistics.median(speeds),
        "speed_ratio_q1": quartiles[0],
        "speed_ratio_q3": quartiles[2],
        "gateway_tokens_per_s": statistics.median(pair[0] for pair in raw),
        "bare_tokens_per_s": statistics.median(pair[1] for pair in raw),
        "first_token_added_ms": statistics.median(firsts) * 1000,
    }


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the length of the block."""
    environment = {**os.environ, "UNDERSTUDY_HOME": tempfile.mkdtemp(), "PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen(
        [sys.executable, *command], env=environment, cwd=PROJECT, stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def wait_for(address: str) -> None:
    """Return when the address answers 200."""
    while True:
        try:
            with urllib.request.urlopen(address) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.03)


def time_to_page(browser: Any, command: list[str], port: int) -> tuple[float, bool]:
    """Return seconds from start until the prompt box is in the DOM, and whether torch is loaded."""
    began = time.perf_counter()
    with started(command) as process:
        address = f"http://127.0.0.1:{port}/"
        wait_for(address)
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#prompt textarea, #prompt input", state="attached")
        seconds = time.perf_counter() - began
        page.close()
        maps = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")
        return seconds, "libtorch" in maps


def startup(rounds: int) -> dict[str, Any]:
    """Return medians of the time to a usable page, ours and an empty Gradio app's, alternating."""
    from playwright.sync_api import sync_playwright

    script = Path(tempfile.mkdtemp()) / "empty_app.py"
    script.write_text(EMPTY_APP, encoding="utf-8")
    ours, empty, torch_loaded = [], [], False
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        for _ in range(rounds):
            port = free_port()
            empty.append(time_to_page(browser, [str(script), str(port)], port)[0])
            port = free_port()
            seconds, has_torch = time_to_page(browser, ["app.py", "--port", str(port)], port)
            ours.append(seconds)
            torch_loaded = torch_loaded or has_torch
        browser.close()
    return {
        "ours_s": statistics.median(ours),
        "empty_s": statistics.median(empty),
        "ratio": statistics.median(ours) / statistics.median(empty),
        "torch_loaded": torch_loaded,
    }


def memory(model_id: str) -> dict[str, float]:
    """Return the app's peak resident memory before and after its first chat, in MB."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with started(["app.py", "--port", str(port)]) as process:
        wait_for(f"{address}/health")
        before = peak_mb(process.pid)
        body = {"model": model_id, "messages": [{"role": "user", "content": QUESTIONS[0]}]}
        asked = urllib.request.Request(
            f"{address}/v1/chat/completions",
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        urllib.request.urlopen(asked).read()
        return {"before_mb": before, "after_mb": peak_mb(process.pid)}


def peak_mb(pid: int) -> float:
    """Return a process's peak resident memory in MB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    raise ValueError(f"process {pid} tells no peak memory")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="lead")
    parser.add_argument("--rounds", type=int, default=30, help="paired rounds of four prompts")
    parser.add_argument("--starts", type=int, default=5, help="starts of each app")
    args = parser.parse_args()
    speed, start, peak = overhead(args.model, args.rounds), startup(args.starts), memory(args.model)
    rows = [
        ("tokens/s, gateway", f"{speed['gateway_tokens_per_s']:.0f}", ""),
        ("tokens/s, bare `model.generate`", f"{speed['bare_tokens_per_s']:.0f}", ""),
        (f"ratio, median of {speed['n']} pairs", f"{speed['speed_ratio']:.3f}", "at least 0.95"),
        ("its quartiles", f"{speed['speed_ratio_q1']:.3f}, {speed['speed_ratio_q3']:.3f}", ""),
        ("first token, added by the gateway", f"{speed['first_token_added_ms']:.1f} ms", ""),
        ("usable page, ours", f"{start['ours_s']:.2f} s", ""),
        ("usable page, empty Gradio app", f"{start['empty_s']:.2f} s", ""),
        ("ratio of medians", f"{start['ratio']:.3f}", "at most 1.25"),
        ("torch loaded when the page is up", "yes" if start["torch_loaded"] else "no", "no"),
        ("peak memory before the first chat", f"{peak['before_mb']:.0f} MB", ""),
        ("peak memory after the first chat", f"{peak['after_mb']:.0f} MB", ""),
    ]
    print("| what | measured | goal |\n| --- | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
