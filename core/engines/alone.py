"""One generation by the library's own `generate`: for models whose rows can't share a forward."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.engines.base import Job
from core.engines.sampling import sampling_steps

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def generate_alone(
    model: "PreTrainedModel", job: Job, between: Callable[[], None] = lambda: None
) -> None:
    """Generate, putting each token on the job's queue; ends within a token when unwanted.

    `between` is called after each token.
    """
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    _forget_growth(model)
    tokens = torch.tensor([job.prompt], device=model.device)  # (1, tokens)
    steps = sampling_steps(job.params, tokens.device)
    with torch.inference_mode():
        model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=job.new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            logits_processor=LogitsProcessorList(steps),
            stopping_criteria=StoppingCriteriaList([_Ended(job, between)]),
            streamer=_Streamer(job),
        )


def _forget_growth(model: "PreTrainedModel") -> None:
    """Let dynamic rotary angles begin as in a fresh model, not as the last long answer left them.

    The library itself does so only for prompts within the length that was trained.
    """
    for module in model.modules():
        if module.__dict__.get("rope_type") == "dynamic":
            original: torch.Tensor = module.original_inv_freq
            module.register_buffer("inv_freq", original.to(model.device), persistent=False)
            module.max_seq_len_cached = module.original_max_seq_len


class _Ended:
    """Ends a generation after the token at hand, as `transformers` asks after each one."""

    def __init__(self, job: Job, between: Callable[[], None]) -> None:
        self._job = job
        self._between = between

    def __call__(self, input_ids: "torch.Tensor", _scores: Any, **_: Any) -> "torch.Tensor":
        import torch

        self._between()
        return torch.full((len(input_ids),), self._job.is_unwanted(), device=input_ids.device)


class _Streamer:
    """The library's streamer interface: the prompt first, then one token at a time."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._is_prompt = True

    def put(self, value: "torch.Tensor") -> None:
        if self._is_prompt:
            self._is_prompt = False
            return
        for token in value.flatten().tolist():
            self._job.add(token)

    def end(self) -> None:
        """Do nothing: the job's future says when it is done."""
