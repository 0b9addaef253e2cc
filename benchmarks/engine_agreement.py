"""How often two engines of one model answer alike under greedy decoding; counted, not assumed.

`python benchmarks/engine_agreement.py [--prompts 500] [--json]` compares the embedded lead in every
other precision and quantisation with transformers in fp32.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core.engines.base import Engine, Job
from core.messages import GenerationParams
from core.tool_calls import split_calls
from training.pretrain.mix import SPLITS, HeldOut, held_out


@dataclass(frozen=True, slots=True)
class Agreement:
    """Counts over the same prompts."""

    prompts: int
    same_tokens: int
    """Answers equal token for token."""
    same_calls: int
    """Answers whose calls are equal in name, arguments and order; none on both sides is equal."""


def prompts(count: int) -> list[HeldOut]:
    """Return requests that training never saw, the splits in turn."""
    return [held_out(SPLITS[i % len(SPLITS)], i // len(SPLITS)) for i in range(count)]


def compare(
    reference: Engine, other: Engine, requests: Sequence[HeldOut], new_tokens: int = 96
) -> Agreement:
    """Answer every request on both engines and count the answers that are equal."""
    pairs = zip(
        answers(reference, requests, new_tokens),
        answers(other, requests, new_tokens),
        strict=True,
    )
    same_tokens = same_calls = 0
    for one, two in pairs:
        same_tokens += one == two
        same_calls += _calls(reference, one) == _calls(other, two)
    return Agreement(len(requests), same_tokens, same_calls)


def answers(engine: Engine, requests: Sequence[HeldOut], new_tokens: int) -> Iterator[list[int]]:
    """Yield the tokens of the greedy answers in the order of the requests, eight at a time."""
    params = GenerationParams(max_tokens=new_tokens)
    for start in range(0, len(requests), 8):
        jobs = [
            Job(prompt_tokens(engine, request), params, None, new_tokens, Event())
            for request in requests[start : start + 8]
        ]
        for job, future in [(job, engine.submit(job)) for job in jobs]:
            future.result()
            yield [job.tokens.get_nowait().id for _ in range(job.tokens.qsize())]


def prompt_tokens(engine: Engine, request: HeldOut) -> list[int]:
    """Return the request as the model's template writes it."""
    encoded = engine.tokenizer.apply_chat_template(
        request.messages, tools=request.tools, add_generation_prompt=True, return_dict=True
    )
    tokens: list[int] = encoded["input_ids"]
    return tokens


def _calls(engine: Engine, tokens: list[int]) -> list[tuple[str, str]]:
    text = engine.tokenizer.decode(tokens, skip_special_tokens=True)
    return [(call.name, call.arguments) for call in split_calls(text).calls]


def main() -> int:
    """Compare and print."""
    from core.engines.llama_cpp import load_llama_cpp
    from core.engines.llama_server import LlamaOptions
    from core.engines.transformers_engine import load_engine

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    lead = Path(__file__).resolve().parent.parent / "assets" / "models" / "lead"
    requests, rows = prompts(args.prompts), {}
    reference = load_engine("lead", lead, "fp32")
    with tempfile.TemporaryDirectory() as room:
        for kind in ("F32", "F16", "Q8_0", "Q4_0", "fp32", "int8", "nf4"):
            is_native = kind in ("fp32", "int8", "nf4")
            other: Engine = (
                load_engine("lead", lead, kind)  # type: ignore[arg-type]  # a precision
                if is_native
                else load_llama_cpp("lead", lead, LlamaOptions(kind, 1024, Path(room)))  # type: ignore[arg-type]
            )
            rows["transformers " * is_native + "llama.cpp " * (not is_native) + kind] = compare(
                reference, other, requests
            )
            other.close()
            print(list(rows.items())[-1], file=sys.stderr, flush=True)
    reference.close()
    if args.json:
        print(json.dumps({name: asdict(row) for name, row in rows.items()}))
        return 0
    print(
        "| to transformers fp32 | prompts | same tokens | same calls |\n| --- | --- | --- | --- |"
    )
    for name, row in rows.items():
        print(f"| {name} | {row.prompts} | {row.same_tokens} | {row.same_calls} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
