"""How the next token of a row is chosen: the library's own steps over its scores, then the best."""

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.messages import GenerationParams

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Gumbel:
    """Samples by adding Gumbel noise before the greedy choice (Gumbel-max trick).

    It draws from the request's own generator, so that a seed gives the same completion whatever
    else this process samples meanwhile.
    """

    def __init__(self, seed: int, device: "torch.device") -> None:
        import torch

        self._generator = torch.Generator(device).manual_seed(seed)

    def __call__(self, _input_ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """Return the scores with noise, (1, vocabulary)."""
        import torch

        noise = torch.empty_like(scores, dtype=torch.float32)  # (1, vocabulary)
        noise.exponential_(generator=self._generator)
        return scores - noise.log()


def sampling_steps(params: GenerationParams, device: "torch.device") -> list[Any]:
    """Return what the request does to the scores of one row; nothing when it is greedy."""
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    if params.temperature == 0:
        return []
    steps: list[Any] = [TemperatureLogitsWarper(params.temperature)]
    if params.top_p < 1:
        steps.append(TopPLogitsWarper(params.top_p))
    seed = secrets.randbits(32) if params.seed is None else params.seed
    return [*steps, Gumbel(seed, device)]


def model_steps(model: "PreTrainedModel", prompt_tokens: int, new_tokens: int) -> list[Any]:
    """Return what the model's own generation config does to the scores, as `generate` would.

    Such as a repetition penalty; most models ask for nothing.
    """
    config, _ = model._prepare_generation_config(
        None, max_new_tokens=new_tokens, do_sample=False, temperature=None, top_p=None, top_k=None
    )
    model._prepare_special_tokens(config, True, device=model.device)
    config.max_length = prompt_tokens + new_tokens
    return list(
        model._get_logits_processor(
            config, input_ids_seq_length=prompt_tokens, device=str(model.device)
        )
    )


def choose(
    logits: "torch.Tensor", steps: Sequence[Sequence[Any]], read: Sequence[Sequence[int]]
) -> list[int]:
    """Return the next token of each row.

    `logits` is (rows, vocabulary); `steps` and `read` hold each row's steps and the tokens that it
    has read so far.
    """
    import torch

    scores = logits.float()
    for row, row_steps in enumerate(steps):
        if row_steps:
            tokens = torch.tensor([read[row]], device=scores.device)  # (1, tokens)
            one = scores[row : row + 1]
            for step in row_steps:
                one = step(tokens, one)
            scores[row] = one[0]
    chosen: list[int] = scores.argmax(dim=-1).tolist()
    return chosen
