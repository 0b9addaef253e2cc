"""A model folder in memory: loaded safely, owned by one thread, adapters swapped in place."""

import gc
import json
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.catalog import Precision
from core.digests import folder_digest
from core.errors import MissingExtraError, UnavailableError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

DAMAGE = (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError)
"""What the libraries raise over files that are not what they should be."""
GPU_DRIVERS = ("/dev/nvidia*", "/dev/nvmap", "/dev/kfd", "/dev/dxg")
"""What Linux has where PyTorch could find CUDA or ROCm, also within WSL."""
SMALL_MODEL = 50_000_000
"""Parameters below which one thread is faster than two (gateway_and_engines 2.4)."""


@dataclass(slots=True)
class LoadedModel:
    """Weights and tokenizer; only its own thread touches the weights."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerFast"
    digest: str
    owner: ThreadPoolExecutor
    adapters: dict[str, str]
    """Adapter version to its digest, for those loaded so far."""
    lock: threading.Lock
    """Held while an adapter is loaded."""

    @property
    def size_bytes(self) -> int:
        """Return the bytes of parameters and buffers; scales of 4-bit weights are 3% more."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        sizes = {t.data_ptr(): t.numel() * t.element_size() for t in tensors}
        return sum(sizes.values())

    def close(self) -> None:
        """Free the weights."""
        import torch

        self.owner.shutdown(wait=True)
        del self.model
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def adapter_digest(self, version: str, folder: Path) -> str:
        """Load the adapter if it is not yet, and return its digest.

        Raises:
            UnavailableError: the folder is no adapter of this model, or not safetensors.
        """
        with self.lock:
            if version not in self.adapters:
                self.owner.submit(load_adapter, self.model, version, folder).result()
                self.adapters[version] = folder_digest(folder)
            return self.adapters[version]


def has_cuda() -> bool:
    """Say whether models run on a GPU here; PyTorch is imported only where there may be one."""
    if sys.platform == "linux" and not any(glob(pattern) for pattern in GPU_DRIVERS):
        return False
    import torch

    return torch.cuda.is_available()


def load_folder(
    name: str,
    folder: Path,
    precision: Precision,
    digest_of: Callable[[Path], str] = folder_digest,
) -> LoadedModel:
    """Load a model folder: safetensors only, no code from the folder is run.

    `digest_of` is asked once the weights are loaded.

    Raises:
        UnavailableError: the folder is missing, damaged or incomplete.
        MissingExtraError: the precision needs a package that is not installed.
    """
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    if not (folder / "config.json").is_file():
        raise UnavailableError(f"{name!r} can't be loaded: {str(folder)!r} has no config.json")
    try:
        tokenizer = _load_tokenizer(folder)
        model = _load_weights(folder, precision)
    except ImportError as error:
        raise MissingExtraError(f"{name!r} needs a package: {_reason(error)}") from error
    except (*DAMAGE, StrictDataclassError, SafetensorError) as error:
        raise UnavailableError(
            f"{name!r} can't be loaded from {str(folder)!r}: {_reason(error)}"
        ) from error
    count = sum(p.numel() for p in model.parameters())
    threads = 1 if count < SMALL_MODEL else max(1, torch.get_num_threads())
    owner = ThreadPoolExecutor(
        max_workers=1,
        thread_name_prefix=f"model-{name}",
        initializer=torch.set_num_threads,
        initargs=(threads,),
    )
    return LoadedModel(model, tokenizer, digest_of(folder), owner, {}, threading.Lock())


def _reason(error: Exception) -> str:
    """Return what a library says, in one line."""
    return " ".join(str(error).split())[:200] or "damaged file"


def _load_tokenizer(folder: Path) -> "PreTrainedTokenizerFast":
    from transformers import AutoTokenizer

    loaded: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(
        folder, trust_remote_code=False, local_files_only=True
    )
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
    return loaded


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


def load_adapter(model: "PreTrainedModel", version: str, folder: Path) -> None:
    """Load adapter weights beside the base's, without making them active.

    Raises:
        UnavailableError: the folder is no adapter, not safetensors, or fits another model.
    """
    from safetensors import SafetensorError

    if not (folder / "adapter_model.safetensors").exists():
        raise UnavailableError(f"{str(folder)!r} holds no adapter_model.safetensors")
    try:
        kind = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["peft_type"]
        if kind != "LORA":
            raise UnavailableError(f"{str(folder)!r} is a {kind} adapter; only LORA is supported")
        report = model.load_adapter(str(folder), adapter_name=_slot(version))
        # Other adapters' tensors are reported as missing too.
        absent = {key for key in report.missing_keys if _slot(version) in key}
        if strange := sorted(absent | report.unexpected_keys):
            raise ValueError(f"it belongs to another model: {strange[0]}")
        model.disable_adapters()
    except (*DAMAGE, SafetensorError) as error:
        _forget_adapter(model, version)
        raise UnavailableError(f"adapter {version!r} can't be loaded: {_reason(error)}") from error


def _slot(version: str) -> str:
    """Return the version as PyTorch takes it for a module's name: without dots."""
    return version.encode().hex()


def _forget_adapter(model: "PreTrainedModel", version: str) -> None:
    """Take out what a failed attempt has left in the model."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.delete_adapter(_slot(version))
    getattr(model, "peft_config", {}).pop(_slot(version), None)  # set by peft at its first adapter


def activate(model: "PreTrainedModel", loaded: bool, version: str | None) -> None:
    """Make this adapter the active one, or none; `loaded` says whether the model has any."""
    if version is not None:
        model.enable_adapters()
        model.set_adapter(_slot(version))
    elif loaded:
        model.disable_adapters()
