"""Trained weights in files: an adapter as peft writes it, or a whole model."""

from pathlib import Path
from typing import Any

from core.errors import StorageError
from training.config import Method

ADAPTER = ("adapter_model.safetensors", "adapter_config.json")


def save_weights(model: Any, method: Method, folder: Path) -> None:
    """Write the trained weights.

    Raises:
        OSError, RuntimeError: the disk is full or fails.
    """
    from safetensors import SafetensorError

    try:
        if method == "full":
            model.save_pretrained(folder)
        else:
            # "auto" would ask the Hub whether the base's vocabulary has grown.
            model.save_pretrained(folder, save_embedding_layers=False)
            (folder / "README.md").unlink(missing_ok=True)
    except SafetensorError as error:
        raise RuntimeError(str(error)) from error


def load_adapter(model: Any, folder: Path) -> None:
    """Put the weights of an adapter's file into the adapter that the model has, as they are.

    The trainer's own way would change their number format, and the numbers that follow.

    Raises:
        StorageError: the file is of another adapter.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    path = folder / ADAPTER[0]
    weights = load_file(path)
    own = {name for name, _ in model.named_parameters() if "lora_" in name}
    told = set_peft_model_state_dict(model, weights)
    if told.unexpected_keys or len(weights) != len(own):
        raise StorageError(
            f"{str(path)!r} holds {len(weights)} tensors of another adapter; this one has "
            f"{len(own)}"
        )
