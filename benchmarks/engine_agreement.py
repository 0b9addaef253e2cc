"""How often two engines of one model answer alike under greedy decoding; counted, not assumed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event

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
