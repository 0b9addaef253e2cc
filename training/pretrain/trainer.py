"""Train one embedded model from nothing: plain PyTorch, fresh conversations at every step.

The data of a step depends on the seed and the step alone, so a run that is resumed from a
checkpoint sees exactly what an uninterrupted one would have seen.
"""

import json
import math
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from core.errors import StorageError, TrainingError
from training.pretrain.config import PretrainConfig
from training.pretrain.mix import conversation
from training.pretrain.tokenizer import CONTEXT, load_tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

POOL = 16
"""Steps whose conversations are sorted by length together, so that little is padding."""
SAVE_EVERY = 100
"""Steps between checkpoints."""
LOG_EVERY = 50
"""Steps between rows of the learning curve."""


Optimizers: TypeAlias = "Sequence[torch.optim.Optimizer]"


@dataclass(frozen=True, slots=True)
class Batch:
    """Token ids and which of them are supervised."""

    tokens: "torch.Tensor"
    supervised: "torch.Tensor"


def build_model(
    config: PretrainConfig, tokenizer: "PreTrainedTokenizerFast", seed: int
) -> "LlamaForCausalLM":
    """Return a Llama with random weights for this configuration."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads,
        intermediate_size=config.feed_forward,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(shape)


def batches(
    config: PretrainConfig, tokenizer: "PreTrainedTokenizerFast", seed: int, first_step: int
) -> Iterator[Batch]:
    """Yield the batches from `first_step` on; each depends on seed and step only."""
    step = first_step
    while True:
        pool = step // POOL
        rows = []
        for index in range(POOL * config.batch):
            seed_text = f"{config.model}:{seed}:{pool}:{index}"
            example = conversation(seed_text, config.stage(pool * POOL))
            encoded = tokenizer.apply_chat_template(
                example.messages,
                tools=example.tools or None,
                return_dict=True,
                return_assistant_tokens_mask=True,
            )
            rows.append((encoded["input_ids"][:CONTEXT], encoded["assistant_masks"][:CONTEXT]))
        rows.sort(key=lambda row: len(row[0]))
        groups = [rows[i : i + config.batch] for i in range(0, len(rows), config.batch)]
        random.Random(f"order:{seed}:{pool}").shuffle(groups)
        for group in groups[step % POOL :]:
            yield _collate(group, tokenizer.pad_token_id)
            step += 1


def _collate(rows: list[tuple[list[int], list[int]]], padding: int) -> Batch:
    import torch

    width = max(len(ids) for ids, _ in rows)
    tokens = torch.tensor([ids + [padding] * (width - len(ids)) for ids, _ in rows])
    mask = torch.tensor([mask + [0] * (width - len(mask)) for _, mask in rows], dtype=torch.bool)
    return Batch(tokens, mask)


def supervised_loss(model: "LlamaForCausalLM", batch: Batch) -> "torch.Tensor":
    """Return the mean cross-entropy of the assistant's tokens; logits exist for those only.

    Padding stands on the right, so a causal mask alone keeps it out.
    """
    import torch

    hidden = model.model(
        input_ids=batch.tokens, use_cache=False
    ).last_hidden_state  # (batch, tokens, hidden)
    targets = batch.supervised[:, 1:]
    logits = model.lm_head(hidden[:, :-1][targets])  # (supervised, vocabulary)
    return torch.nn.functional.cross_entropy(logits.float(), batch.tokens[:, 1:][targets])


def learning_rate(config: PretrainConfig, step: int) -> float:
    """Return the rate of a step: linear warm-up, then a cosine down to a twentieth of the peak."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / (config.steps - config.warmup)
    return config.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))


def build_optimizers(model: "LlamaForCausalLM", rate: float) -> "list[torch.optim.Optimizer]":
    """Return Muon for the layers' matrices and AdamW for everything else, with one rate for both.

    Source: Jordan (2024), Muon; Liu et al. (2025), whose scaling lets both share a rate.
    """
    import torch

    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def save_checkpoint(
    path: Path, model: "LlamaForCausalLM", optimizers: Optimizers, step: int, seconds: float
) -> None:
    """Write weights and optimizer state; the file appears whole or not at all."""
    from safetensors.torch import save_file

    names = {parameter: name for name, parameter in model.named_parameters()}
    tensors = {f"model/{name}": parameter.detach() for parameter, name in names.items()}
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            tensors |= {f"{key}/{names[parameter]}": value for key, value in state.items()}
    draft = path.with_suffix(".tmp")
    save_file(tensors, draft, metadata={"step": str(step), "seconds": str(seconds)})
    with draft.open("rb") as handle:
        os.fsync(handle.fileno())
    draft.replace(path)


def load_checkpoint(
    path: Path, model: "LlamaForCausalLM", optimizers: Optimizers
) -> tuple[int, float]:
    """Restore weights and optimizers; return the next step and the seconds spent so far."""
    import torch
    from safetensors import SafetensorError, safe_open

    names = {parameter: name for name, parameter in model.named_parameters()}
    try:
        with safe_open(path, "pt") as stored:
            meta = stored.metadata()
            step, seconds = int(meta["step"]), float(meta["seconds"])
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(stored.get_tensor(f"model/{name}"))
                for optimizer in optimizers:
                    _restore(optimizer, stored, names)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise StorageError(
            f"{str(path)!r} is not a checkpoint of this model; delete it to start anew"
        ) from error
    return step, seconds


def _restore(
    optimizer: "torch.optim.Optimizer", stored: Any, names: "Mapping[torch.Tensor, str]"
) -> None:
    """Give each parameter of an optimizer the state that the checkpoint has for it."""
    keys = [key for key in sorted(stored.keys()) if not key.startswith("model/")]
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            own = [key for key in keys if key.split("/", 1)[1] == names[parameter]]
            optimizer.state[parameter] = {
                key.split("/", 1)[0]: stored.get_tensor(key).to(parameter.device) for key in own
            }


def train(
    config: PretrainConfig, folder: Path, *, seed: int, device: str
) -> Iterator[dict[str, float]]:
    """Train in `folder`, resuming from its checkpoint; yield rows of the learning curve.

    Rows have `step`, `loss` (nats per supervised token, mean since the last row), `seconds`.

    Raises:
        TrainingError: the loss is not finite.
        StorageError: the checkpoint in the folder is unreadable.
    """
    import torch

    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer()
    model = build_model(config, tokenizer, seed).to(device)
    optimizers = build_optimizers(model, config.learning_rate)
    checkpoint, first, spent = folder / "checkpoint.safetensors", 0, 0.0
    if checkpoint.exists():
        first, spent = load_checkpoint(checkpoint, model, optimizers)
    started, losses = time.monotonic() - spent, list[float]()
    stream = batches(config, tokenizer, seed, first)
    for step in range(first, config.steps):
        losses.append(_step(model, optimizers, next(stream), learning_rate(config, step)))
        if not math.isfinite(losses[-1]):
            raise TrainingError(f"the loss of step {step} is {losses[-1]}; lower the learning rate")
        done, seconds = step + 1, time.monotonic() - started
        if done % SAVE_EVERY == 0 or done == config.steps:
            save_checkpoint(checkpoint, model, optimizers, done, seconds)
        if done % LOG_EVERY == 0 or done == config.steps:
            row = {"step": done, "loss": sum(losses) / len(losses), "seconds": seconds}
            losses.clear()
            with (folder / "curve.jsonl").open("a", encoding="utf-8") as curve:
                curve.write(json.dumps(row) + "\n")
            yield row


def _step(model: "LlamaForCausalLM", optimizers: Optimizers, batch: Batch, rate: float) -> float:
    """Take one optimizer step; return its loss. Matrix products run in bfloat16."""
    import torch

    device = model.device
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
    with torch.autocast(device.type, torch.bfloat16):
        loss = supervised_loss(model, Batch(batch.tokens.to(device), batch.supervised.to(device)))
    model.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
    return loss.item()


def export(config: PretrainConfig, folder: Path, target: Path) -> None:
    """Write the newest checkpoint as a Hub model folder: bf16 safetensors and tokenizer."""
    import torch

    tokenizer = load_tokenizer()
    model = build_model(config, tokenizer, seed=0)
    load_checkpoint(folder / "checkpoint.safetensors", model, optimizers=())
    target.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(target)
    tokenizer.save_pretrained(target)
    (target / "model.safetensors").chmod(0o644)  # the library leaves it readable by us alone
