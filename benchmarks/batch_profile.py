"""Where a batch's time goes, without gateway and store: reading prompts, or making tokens.

`python benchmarks/batch_profile.py [--model lead] [--task desk_tools] [--json]`

All samples of a task are given to the transformers engine at once, as an evaluation gives them,
with one thread and with one for each core. Prints Markdown for BENCHMARKS.md.
"""

import argparse
import json
import os
import sys
from concurrent.futures import wait
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import Any

# The project first: in this folder the names of packages are those of benchmarks.
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from figures import Figure, Spans, machine  # noqa: E402  the repository is not a package
from rig import home_with  # noqa: E402

from core.catalog import ModelEntry, Target  # noqa: E402
from core.digests import folder_digest  # noqa: E402
from core.engines.base import Job  # noqa: E402
from core.engines.batch import Batch, Budget  # noqa: E402
from core.engines.transformers_engine import TransformersEngine  # noqa: E402
from core.messages import GenerationParams  # noqa: E402
from core.providers.base import ProviderCall  # noqa: E402
from core.providers.prompt import build_prompt  # noqa: E402
from core.providers.weights import load_folder  # noqa: E402
from core.settings import PROJECT  # noqa: E402
from evals.plan import ordered  # noqa: E402
from evals.task_files import load_task, samples_of  # noqa: E402


class TimedBatch(Batch):
    """Notes how long it reads and how long it makes tokens."""

    reading = Spans()
    making = Spans()

    def _read_prompts(self) -> None:
        self.reading.time(super()._read_prompts)

    def _decode(self, count: int) -> None:
        self.making.time(lambda: super(TimedBatch, self)._decode(count))


class TimedEngine(TransformersEngine):
    """Computes in timed batches, with as many threads as it is told."""

    def _make_batch(self, budget: Budget) -> Batch:
        return TimedBatch(self._model, self._adapters, self.end_tokens, budget)

    def use(self, threads: int) -> None:
        """Compute with so many threads from now on."""
        import torch

        self._owner.submit(torch.set_num_threads, threads).result()


def prompts_of(task_name: str, tokenizer: Any) -> tuple[list[list[int]], GenerationParams]:
    """Return the prompts of all samples in the order of a run, and the task's parameters."""
    task = load_task(task_name, home_with({}))
    target = Target("measured", "measured", ModelEntry("local", 1024))
    calls = (
        ProviderCall(target, sample.messages, sample.tools, task.params, Event())
        for sample in ordered(samples_of(task), 0, None)
    )
    return [build_prompt(tokenizer, call).tokens for call in calls], task.params


def figures_of(
    engine: TimedEngine, threads: int, prompts: list[list[int]], params: GenerationParams
) -> list[Figure]:
    """Answer everything with so many threads; return what it took."""
    engine.use(threads)
    jobs = [Job(each, params, None, params.max_tokens, Event()) for each in prompts]
    reading, making, whole = TimedBatch.reading, TimedBatch.making, Spans()
    reading.seconds.clear()
    making.seconds.clear()
    whole.time(lambda: wait([engine.submit(job) for job in jobs]))
    title = f"{threads} thread{'s' if threads > 1 else ''}"
    return [
        Figure(f"{title}: all of it", sum(whole.seconds), "s"),
        Figure(f"{title}: processor time", whole.cpu_s, "s"),
        Figure(f"{title}: reading prompts", sum(reading.seconds), "s"),
        Figure(f"{title}: making tokens", sum(making.seconds), "s"),
        Figure(f"{title}: tokens read", sum(len(j.prompt) - j.cached_tokens for j in jobs), ""),
        Figure(f"{title}: tokens made", sum(job.tokens.qsize() for job in jobs), ""),
    ]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="lead", help="folder in assets/models")
    parser.add_argument("--task", default="desk_tools")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = PROJECT / "assets" / "models" / args.model
    loaded = load_folder("measured", folder, "fp32")
    prompts, params = prompts_of(args.task, loaded.tokenizer)
    with closing(
        TimedEngine("measured", loaded.model, loaded.tokenizer, folder_digest(folder))
    ) as engine:
        counts = sorted({1, os.cpu_count() or 1})
        figures = [figure for n in counts for figure in figures_of(engine, n, prompts, params)]
    about = {name: version(name) for name in ("torch", "transformers")}
    if args.json:
        print(
            json.dumps({"machine": machine(), **about, "figures": [f.to_dict() for f in figures]})
        )
        return
    print(f"{machine()}, {about}\n\n| what | measured | goal |\n| --- | --- | --- |")
    print("\n".join(figure.to_row() for figure in figures))


if __name__ == "__main__":
    main()
