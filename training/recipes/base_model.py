"""The base that is trained on, and where its adapter goes: every linear layer, or an error."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.catalog import Precision
from core.errors import InputError, TrainingError
from core.providers.weights import Weights, has_cuda, load_folder
from training.config import Method, TrainConfig
from training.recipes.causal import check_architecture, check_causal

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch import nn


def load_base(config: TrainConfig, folder: Path) -> Weights:
    """Load the base in the precision that the method trains on.

    Raises:
        UnavailableError: the folder is missing or damaged.
        InputError: it holds no causal language model, or one that reads fewer tokens than
            `max_length`.
    """
    check_architecture(config.model, folder)
    weights = load_folder(config.model, folder, precision_of(config.method))
    reads = getattr(weights.model.config.get_text_config(), "max_position_embeddings", None)
    if reads is not None and config.max_length > reads:
        raise InputError(
            f"{config.model!r} reads at most {reads} tokens; max_length is {config.max_length}"
        )
    _keep_trainable(weights.model)
    check_causal(config.model, weights.model)
    return weights


def _keep_trainable(model: "nn.Module") -> None:
    """Forbid bitsandbytes to repack 4-bit weights for inference when the model is evaluated.

    On processors with AVX512-BF16 it does so at the first forward in eval mode, for good, and what
    it repacks passes on no gradient and computes in 16 bits: training would go on with wrong
    gradients, without an error (0.50.2, `Linear4bit.forward` and `matmul_4bit`).
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010  # has no type


def precision_of(method: Method) -> Precision:
    """Return what the base's weights are kept in: 4 bits, 16 on CUDA, or 32."""
    if method == "qlora":
        return "nf4"
    return "bf16" if method == "lora" and has_cuda() else "fp32"


def linear_layers(model: "nn.Module") -> tuple[str, ...]:
    """Return the names of all linear layers but the output's, GPT-2's transposed ones included.

    Raises:
        TrainingError: the architecture has none that an adapter could go on.
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()  # type: ignore[operator]  # a causal model's
    found = tuple(
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not head
    )
    if not found:
        raise TrainingError(
            f"{type(model).__name__} has no linear layer that an adapter could go on; "
            "choose another base, or method 'full'"
        )
    return found


def lora_config(config: TrainConfig, model: "nn.Module") -> "LoraConfig":
    """Return peft's settings for an adapter on all linear layers.

    Raises:
        TrainingError: as `linear_layers`.
    """
    from peft import LoraConfig
    from transformers.pytorch_utils import Conv1D

    targets = linear_layers(model)
    ends = {name.rsplit(".", 1)[-1] for name in targets}
    others = [name for name, _ in model.named_modules() if name not in targets]
    is_plain = not any(name.rsplit(".", 1)[-1] in ends for name in others)
    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=sorted(ends if is_plain else targets),
        # GPT-2's layers have inputs and outputs the other way round, until they are quantised.
        fan_in_fan_out=isinstance(model.get_submodule(targets[0]), Conv1D),
        bias="none",
        task_type="CAUSAL_LM",
    )


def check_trainable(model: "nn.Module", method: Method, layers: int) -> dict[str, int]:
    """Return how many parameters are trained, of how many; `layers` must be adapted.

    Raises:
        TrainingError: an adapter was asked for, and something else or nothing would be trained.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    total = sum(_numel(p) for p in model.parameters())
    if method != "full":
        adapted = sum(isinstance(module, BaseTunerLayer) for module in model.modules())
        foreign = [name for name in trained if "lora_" not in name]
        if not trained or foreign or adapted != layers:
            raise TrainingError(
                f"method {method!r} must train an adapter on {layers} layers alone, and "
                f"would train {len(trained)} tensors on {adapted} layers"
                + (f", {foreign[0]!r} among them" if foreign else "")
            )
    return {
        "trainable_parameters": sum(trained.values()),
        "parameters": total,
        "adapted_layers": layers if method != "full" else 0,
    }


def _numel(parameter: Any) -> int:
    """Return a parameter's values; bitsandbytes stores two of them in a byte."""
    shape = getattr(getattr(parameter, "quant_state", None), "shape", None)
    return int(shape.numel()) if shape is not None else int(parameter.numel())
