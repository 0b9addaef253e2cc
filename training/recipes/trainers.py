"""TRL's trainers for each recipe, with our steps, our checkpoints and our events.

What TRL and transformers do: the losses of DPO and KTO, the optimizer, the schedule, clipping,
the state of all that on disk. What they don't do well enough is in `coursed.py`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from training.config import TrainConfig
from training.recipes.base_model import check_trainable, linear_layers, lora_config

if TYPE_CHECKING:
    from core.providers.weights import Weights
    from training.recipes.course import Course
    from training.recipes.hooks import Hooks

WARM_UP = 0.03
"""Share of the steps until the peak rate; QLoRA, section B.2."""
CLIP = 1.0
"""Longest gradient; transformers' default."""
EVERY_STEP = 1


class Built(NamedTuple):
    """A trainer, and what it will train."""

    trainer: Any
    facts: Mapping[str, int]
    """`trainable_parameters`, `parameters`, `adapted_layers`."""


def build_trainer(weights: "Weights", course: "Course", folder: Path, hooks: "Hooks") -> Built:
    """Return a trainer that goes through the course; `folder` takes its checkpoints.

    Raises:
        TrainingError: the architecture offers no layer for an adapter, or another number of
            parameters would be trained than asked for.
    """
    from transformers import set_seed

    from training.recipes.coursed import coursed

    config = course.config
    is_full = config.method == "full"
    layers = 0 if is_full else len(linear_layers(weights.model))
    set_seed(config.seed)
    trainer = coursed(config.recipe)(
        model=weights.model,
        args=_arguments(config, folder, course),
        train_dataset=course.numbered(),
        eval_dataset=course.numbered() if course.has_eval else None,
        processing_class=weights.tokenizer,
        peft_config=None if is_full else lora_config(config, weights.model),
    )
    facts = check_trainable(trainer.model, config.method, layers)
    trainer.prepare(course, hooks)
    return Built(trainer, facts)


def _arguments(config: TrainConfig, folder: Path, course: "Course") -> Any:
    from trl import DPOConfig, KTOConfig, SFTConfig

    common = {**_common(config, course), "output_dir": str(folder)}
    if config.recipe == "sft":
        skip = {"skip_prepare_dataset": True}
        return SFTConfig(**common, dataset_kwargs=skip, max_length=None)
    if config.recipe == "dpo":
        return DPOConfig(**common, beta=config.beta, max_length=None)
    # KTO pairs neighbours within a part by itself; it asks to be told so in these words.
    common |= {"per_device_train_batch_size": 2, "train_sampling_strategy": "sequential"}
    return KTOConfig(**common, beta=config.beta, max_length=None)


def _common(config: TrainConfig, course: "Course") -> Mapping[str, Any]:
    import torch

    has_cuda = torch.cuda.is_available()
    return {
        "max_steps": course.total,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": max(1, round(WARM_UP * course.total)),
        "max_grad_norm": CLIP,
        "weight_decay": 0.0,
        "optim": "adamw_torch_fused",
        "activation_checkpointing": config.gradient_checkpointing,
        "bf16": has_cuda,
        "use_cpu": not has_cuda,
        "seed": config.seed,
        "data_seed": config.seed,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
        "logging_steps": EVERY_STEP,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "report_to": "none",
        "save_strategy": "steps",
        "save_steps": 10**9,
        "save_total_limit": None,
        "eval_strategy": "steps" if course.has_eval else "no",
        "eval_steps": course.eval_every,
        "ddp_find_unused_parameters": False,
    }
