"""Held-out figures of an embedded model: exact calls, calls in the wrong dress, declines.

Exact: the completion is nothing but the right calls, in the template's tags. Contains: the right
calls are somewhere in the text, in prose, a fence or behind an announcement.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from core.messages import ToolCall
from core.tool_calls import find_calls, same_call, split_calls
from training.pretrain.mix import SPLITS, HeldOut, held_out

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

MAX_NEW_TOKENS = 160
REPORTED_SEED = 1
"""Of the requests that figures are reported on; those of seed 0 are for looking at."""
BATCH = 50
"""Prompts generated together."""


@dataclass(frozen=True, slots=True)
class SplitResult:
    """One split's figures: counts of `n` held-out requests."""

    split: str
    n: int
    exact: int
    """The completion is the right calls and nothing else; for `decline`: it calls nothing."""
    contained: int
    """Wrong as they stand, but with the right calls in them."""
    low: float
    """Lower end of the 95 % Wilson interval of exact / n."""
    high: float
    """Upper end of the same."""
    outcomes: str
    """One letter a request, in order: e(xact), c(ontained), w(rong)."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        return asdict(self)


def evaluate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    count: int,
    seed: int = REPORTED_SEED,
) -> Iterator[SplitResult]:
    """Yield the figures of each split on `count` held-out requests, greedy."""
    from scipy.stats import binomtest

    for split in (*SPLITS, "decline"):
        requests = [held_out(split, index, seed) for index in range(count)]
        answers = complete(model, tokenizer, requests)
        graded = [grade(*pair) for pair in zip(requests, answers, strict=True)]
        exact = graded.count("exact")
        interval = binomtest(exact, count).proportion_ci(method="wilson")
        yield SplitResult(
            split=split,
            n=count,
            exact=exact,
            contained=graded.count("contained"),
            low=float(interval.low),
            high=float(interval.high),
            outcomes="".join(outcome[0] for outcome in graded),
        )


def grade(request: HeldOut, answer: str) -> str:
    """Return `exact`, `contained` or `wrong`."""
    parts = split_calls(answer)
    if not request.calls:
        names = [tool["function"]["name"] for tool in request.tools]
        return "wrong" if find_calls(answer, names) else "exact"
    if not parts.content and _match(parts.calls, request):
        return "exact"
    names = [tool["function"]["name"] for tool in request.tools]
    return "contained" if _match(find_calls(answer, names), request) else "wrong"


def _match(calls: Sequence[ToolCall], request: HeldOut) -> bool:
    wanted = request.calls
    return len(calls) == len(wanted) and all(
        same_call(call, target["name"], target["arguments"])
        for call, target in zip(calls, wanted, strict=True)
    )


def complete(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", requests: Sequence[HeldOut]
) -> list[str]:
    """Return the greedy completions, in order; prompts of similar length run together."""
    import torch

    tokenizer.padding_side = "left"
    prompts = [
        tokenizer.apply_chat_template(
            r.messages, tools=r.tools, add_generation_prompt=True, tokenize=False
        )
        for r in requests
    ]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    texts = [""] * len(prompts)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        batch = tokenizer([prompts[i] for i in chosen], return_tensors="pt", padding=True)
        batch = batch.to(model.device)
        with torch.inference_mode():
            tokens = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=MAX_NEW_TOKENS,
                do_sample=False,
            )
        new = tokens[:, batch["input_ids"].shape[1] :]  # (batch, new tokens)
        for index, row in zip(chosen, new, strict=True):
            texts[index] = tokenizer.decode(row, skip_special_tokens=True)
    return texts
