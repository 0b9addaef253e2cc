"""A model folder in memory: loaded safely, in the precision asked for."""

import json
import logging
import sys
import threading
from glob import glob
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from core.catalog import Precision
from core.errors import MissingExtraError, UnavailableError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

DAMAGE = (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError)
"""What the libraries raise over files that are not what they should be."""
ONE_AT_A_TIME = threading.Lock()
"""Held while transformers loads: it patches PyTorch meanwhile, and two of its loads at once may
leave it patched, so that every later one lacks tensors (transformers 5.23)."""
MAX_HEAD_BYTES = 100_000_000
"""Of a safetensors file, as the library itself has it."""
GPU_DRIVERS = ("/dev/nvidia*", "/dev/nvmap", "/dev/kfd", "/dev/dxg")
"""What Linux has where PyTorch could find CUDA or ROCm, also within WSL."""


class Weights(NamedTuple):
    """What a model folder holds."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerFast"


def has_cuda() -> bool:
    """Say whether models run on a GPU here; PyTorch is imported only where there may be one."""
    if sys.platform == "linux" and not any(glob(pattern) for pattern in GPU_DRIVERS):
        return False
    import torch

    return torch.cuda.is_available()


def loaded_bytes(folder: Path, value_bytes: float | None) -> int:
    """Return what the tensors of a folder will take in memory, from the heads of its files.

    `value_bytes` is what a value will take; None: as in the file. A file that can't be read counts
    with its size on disk: whoever loads it says what is wrong.
    """
    return sum(_file_bytes(path, value_bytes) for path in _weight_files(folder))


def _weight_files(folder: Path) -> list[Path]:
    """Return the files that the libraries would read, of those that are there."""
    for name in ("model.safetensors", "adapter_model.safetensors"):
        if (folder / name).is_file():
            return [folder / name]
    return sorted(folder.glob("model-*.safetensors"))


def _file_bytes(path: Path, value_bytes: float | None) -> int:
    size = path.stat().st_size
    if value_bytes is None:
        return size
    try:
        with path.open("rb") as file:
            head_bytes = int.from_bytes(file.read(8), "little")
            head = json.loads(file.read(min(head_bytes, MAX_HEAD_BYTES)))
        head.pop("__metadata__", None)
        return int(sum(prod(entry["shape"]) for entry in head.values()) * value_bytes)
    except (*DAMAGE, OverflowError, RecursionError):
        return size


def import_transformers() -> None:
    """Import the library whole, once.

    Two threads that begin to import it at the same time may find half of it (transformers 5.23
    puts another object in its place while it is being imported).
    """
    with ONE_AT_A_TIME:
        import transformers  # noqa: F401


def load_folder(name: str, folder: Path, precision: Precision) -> Weights:
    """Load a model folder: safetensors only, no code from the folder is run.

    Raises:
        UnavailableError: the folder is missing, damaged or incomplete.
        MissingExtraError: the precision needs a package that is not installed.
    """
    import_transformers()
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    if not (folder / "config.json").is_file():
        raise UnavailableError(f"{name!r} can't be loaded: {str(folder)!r} has no config.json")
    try:
        tokenizer = load_tokenizer(name, folder)
        model = _load_weights(folder, precision)
    except ImportError as error:
        raise MissingExtraError(f"{name!r} needs a package: {_reason(error)}") from error
    except (*DAMAGE, StrictDataclassError, SafetensorError) as error:
        raise UnavailableError(
            f"{name!r} can't be loaded from {str(folder)!r}: {_reason(error)}"
        ) from error
    return Weights(model, tokenizer)


def _reason(error: Exception) -> str:
    """Return what a library says, in one line."""
    return " ".join(str(error).split())[:200] or "damaged file"


def check_context(name: str, folder: Path, context: int) -> None:
    """Refuse a context that reaches beyond the places that a model has learnt one by one.

    A token there would end everybody's answers. Models with rotary places have no such end.

    Raises:
        UnavailableError: says what the catalog may say.
    """
    import_transformers()
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (*DAMAGE, ImportError):
        return  # Loading says what is wrong.
    places = getattr(config, "max_position_embeddings", None)
    if not isinstance(places, int) or getattr(config, "rope_parameters", None):
        return
    if context > places:
        raise UnavailableError(
            f"{name!r} has {places:,} positions and the catalog lets it read {context:,} tokens; "
            f"write context: {places} there, or less"
        )


def load_tokenizer(name: str, folder: Path) -> "PreTrainedTokenizerFast":
    """Load the tokenizer of a model folder.

    Raises:
        UnavailableError: the folder has none, or a damaged one.
    """
    import_transformers()
    from transformers import AutoTokenizer

    try:
        loaded: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except DAMAGE as error:
        raise UnavailableError(
            f"{name!r} can't be loaded from {str(folder)!r}: no usable tokenizer: {_reason(error)}"
        ) from error
    return loaded


def _load_weights(folder: Path, precision: Precision) -> "PreTrainedModel":
    import torch
    from transformers import AutoModelForCausalLM

    cuda = torch.cuda.is_available()
    options: dict[str, Any] = {"dtype": _dtype(precision, cuda=cuda)}
    if precision in ("nf4", "int8"):
        options["quantization_config"] = _quantization(precision, cuda=cuda)
    elif cuda:
        options["device_map"] = "cuda"
    with ONE_AT_A_TIME:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    if absent := sorted(report["missing_keys"]):
        raise ValueError(f"the weights lack {len(absent)} tensors, {absent[0]!r} first")
    loaded: PreTrainedModel = model.eval()
    if precision in ("nf4", "int8"):
        _let_go_of_file(loaded)
    return loaded


def _let_go_of_file(model: "PreTrainedModel") -> None:
    """Copy what was not quantised: one tensor that lies in the file keeps all of it in memory."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.clone()


def _dtype(precision: Precision, *, cuda: bool) -> Any:
    import torch

    if precision == "auto":
        return "auto" if cuda else torch.float32
    is_half = precision == "bf16" or (cuda and precision in ("nf4", "int8"))
    return torch.bfloat16 if is_half else torch.float32


def _quantization(precision: Precision, *, cuda: bool) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if precision == "int8":
        # It says for every layer of every token that inputs are cast.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if cuda else torch.float32,
    )
