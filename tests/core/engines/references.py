"""What the libraries themselves say, and how the engine's tokens are compared with it."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.engines.base import Job
from core.engines.transformers_engine import TransformersEngine
from core.messages import GenerationParams

TIE = 1e-3
"""Logits this close may change places when the shapes of the computation change."""


def job_of(
    prompt: Sequence[int],
    new_tokens: int = 20,
    adapter: str | None = None,
    cancelled: threading.Event | None = None,
    **params: Any,
) -> Job:
    """Return a job with these tokens as its prompt."""
    return Job(
        prompt=list(prompt),
        params=GenerationParams(**params),
        adapter=adapter,
        new_tokens=new_tokens,
        cancelled=cancelled or threading.Event(),
    )


def tokens_of(job: Job) -> list[int]:
    """Return the tokens that have come and were not taken."""
    return [job.tokens.get_nowait().id for _ in range(job.tokens.qsize())]


def run(engine: TransformersEngine, jobs: Sequence[Job]) -> list[list[int]]:
    """Run the jobs together and return their tokens."""
    futures = [engine.submit(job) for job in jobs]
    for future in futures:
        future.result(60)
    return [tokens_of(job) for job in jobs]


def model_of(folder: Path, adapter: Path | None = None) -> Any:
    """Load a model by the libraries alone."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model if adapter is None else PeftModel.from_pretrained(model, adapter)


def generated(model: Any, job: Job) -> list[int]:
    """Return what `generate` says to the prompt alone, greedily."""
    import torch

    tokens = torch.tensor([job.prompt])
    output = model.generate(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=job.new_tokens,
        do_sample=False,
    )
    said: list[int] = output[0, len(job.prompt) :].tolist()
    return said


@dataclass
class Ties:
    """How often texts differed where the two best logits are as good as equal."""

    count: int = 0

    def check(self, model: Any, job: Job, found: list[int]) -> None:
        """Fail unless the tokens are those of `generate`, or leave them at a tie."""
        import torch

        wanted = generated(model, job)
        if found == wanted:
            return
        place = next(self._differences(found, wanted))
        tokens = torch.tensor([job.prompt + wanted[:place]])
        with torch.inference_mode():
            best = model(input_ids=tokens).logits[0, -1].topk(2)
        assert float(best.values[0] - best.values[1]) <= TIE, (place, found, wanted)
        assert found[place] in best.indices.tolist()
        self.count += 1

    @staticmethod
    def _differences(found: list[int], wanted: list[int]) -> Iterator[int]:
        for place, (one, other) in enumerate(zip(found, wanted, strict=False)):
            if one != other:
                yield place
        raise AssertionError(f"one text is the other's beginning: {len(found)}, {len(wanted)}")
