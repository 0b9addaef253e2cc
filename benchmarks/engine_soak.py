"""Half an hour of 16 users on one model, with adapters and cancels at random.

`python benchmarks/engine_soak.py [--minutes 30] [--engine transformers|llama.cpp] [--json]`

Every answer that was not cancelled is compared with the text of the same prompt alone on an engine
that does nothing else; cancelled ones with its beginning. Where they differ, the two best logits at
that place tell whether it was a tie. Memory is read every ten seconds.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import psutil  # noqa: E402  the repository is not a package
from engine_agreement import prompt_tokens, prompts  # noqa: E402
from figures import Figure, machine  # noqa: E402
from made_models import LEAD, make_adapter  # noqa: E402

from core.engines.base import Engine, Job  # noqa: E402
from core.engines.llama_cpp import load_llama_cpp  # noqa: E402
from core.engines.llama_server import LlamaOptions  # noqa: E402
from core.engines.transformers_engine import load_engine  # noqa: E402
from core.messages import GenerationParams  # noqa: E402

USERS, PROMPTS, NEW_TOKENS = 16, 60, 120
TIE = 1e-3
"""Logits that are this near count as equal."""
STUCK_S = 120.0


@dataclass
class Soak:
    """What was asked for and came; users share it."""

    engine: Engine
    asked: list[list[int]]
    versions: tuple[str | None, ...]
    until: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    said: dict[tuple[int, str | None], set[tuple[int, ...]]] = field(default_factory=dict)
    """Prompt and adapter to the different texts that came, whole or cut."""
    answers: int = 0
    cancelled: int = 0
    stuck: int = 0

    def user(self, number: int) -> None:
        """Ask one prompt after another; give up in the middle of some."""
        draw = random.Random(number)
        while time.monotonic() < self.until:
            which, version = draw.randrange(len(self.asked)), draw.choice(self.versions)
            cancelled = threading.Event()
            params = GenerationParams(max_tokens=NEW_TOKENS)
            job = Job(self.asked[which], params, version, NEW_TOKENS, cancelled, f"user {number}")
            future = self.engine.submit(job)
            gives_up = draw.random() < 0.25
            if gives_up:
                job.finished.wait(draw.random() * 0.5)
                cancelled.set()
            is_stuck = not job.finished.wait(STUCK_S)
            if not is_stuck:
                future.result()
            tokens = tuple(job.tokens.get_nowait().id for _ in range(job.tokens.qsize()))
            with self.lock:
                self.answers += 1
                self.cancelled += gives_up
                self.stuck += is_stuck
                self.said.setdefault((which, version), set()).add(tokens)


@dataclass
class Check:
    """Counts of the texts that came."""

    same: int = 0
    ties: int = 0
    wrong: int = 0


def alone(engine: Engine, prompt: list[int], version: str | None) -> list[int]:
    """Return the greedy text of one prompt while nothing else runs."""
    params = GenerationParams(max_tokens=NEW_TOKENS)
    job = Job(prompt, params, version, NEW_TOKENS, threading.Event())
    engine.submit(job).result()
    return [job.tokens.get_nowait().id for _ in range(job.tokens.qsize())]


def compared(soak: Soak, adapters: Mapping[str, Path]) -> Check:
    """Compare every different text with the one that an idle transformers engine gives."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    check = Check()
    for version in soak.versions:
        model: Any = AutoModelForCausalLM.from_pretrained(LEAD, dtype=torch.float32).eval()
        if version is not None:
            model = PeftModel.from_pretrained(model, adapters[version]).eval()
        for (which, of), texts in soak.said.items():
            if of != version:
                continue
            prompt = torch.tensor([soak.asked[which]])
            with torch.inference_mode():
                made = model.generate(prompt, max_new_tokens=NEW_TOKENS, do_sample=False)
            wanted = made[0, prompt.shape[1] :].tolist()
            for text in texts:
                place = next((i for i, t in enumerate(text) if t != wanted[i : i + 1][0]), None)
                if place is None:
                    check.same += 1
                    continue
                read = torch.tensor([soak.asked[which] + wanted[:place]])
                with torch.inference_mode():
                    best = model(read).logits[0, -1].topk(2)
                gap = float(best.values[0] - best.values[1])
                is_tie = gap <= TIE and text[place] in best.indices.tolist()
                check.ties += is_tie
                check.wrong += not is_tie
    return check


def memory_mb() -> float:
    """Return the memory of this process."""
    return psutil.Process().memory_info().rss / 1e6


def run(engine: Engine, adapters: Mapping[str, Path], minutes: float) -> list[Figure]:
    """Let the users ask, and return what came of it."""
    for version, folder in adapters.items():
        engine.adapter_digest(version, folder)
    asked = [prompt_tokens(engine, request) for request in prompts(PROMPTS)]
    soak = Soak(engine, asked, (None, *adapters), time.monotonic() + minutes * 60)
    threads = [threading.Thread(target=soak.user, args=(n,)) for n in range(USERS)]
    for thread in threads:
        thread.start()
    sizes = []
    while any(thread.is_alive() for thread in threads):
        time.sleep(min(10.0, minutes * 2))
        sizes.append(memory_mb())
    check = compared(soak, adapters)
    third = max(1, len(sizes) // 3)
    middle, last = max(sizes[third : 2 * third]), max(sizes[2 * third :])
    return [
        Figure("answers asked for", soak.answers, ""),
        Figure("cancelled in the middle", soak.cancelled, ""),
        Figure("stuck", soak.stuck, "", ("at most", 0)),
        Figure("different texts that equal the prompt's alone", check.same, ""),
        Figure("first differing where two logits are within 1e-3", check.ties, ""),
        Figure("differing elsewhere", check.wrong, "", ("at most", 0)),
        Figure("memory, last third to middle third", last / middle, "", ("at most", 1.05)),
        Figure("memory, largest", max(sizes), "MB"),
    ]


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--engine", choices=("transformers", "llama.cpp"), default="transformers")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    adapters = {f"v{seed}": make_adapter(LEAD, seed) for seed in (1, 2)}
    with tempfile.TemporaryDirectory() as room:
        if args.engine == "transformers":
            engine: Engine = load_engine("lead", LEAD, "fp32")
        else:
            engine = load_llama_cpp("lead", LEAD, LlamaOptions("F32", 1024, Path(room)))
        figures = run(engine, adapters, args.minutes)
        engine.close()
    if args.json:
        print(json.dumps({"machine": machine(), "figures": [f.to_dict() for f in figures]}))
        return 0
    print("| what | measured | goal |\n| --- | --- | --- |")
    print("\n".join(figure.to_row() for figure in figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
