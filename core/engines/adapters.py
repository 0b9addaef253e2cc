"""Adapters of one loaded model: loaded by peft, proved at load, and added row by row.

Peft keeps the weights and stays switched off. A hook behind each adapted layer adds what each
row's adapter contributes, so rows with different adapters, and with none, share one forward.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from core.engines.adapter_files import check_adapter
from core.errors import UnavailableError
from core.providers.weights import DAMAGE

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PROBE_TOKENS = 16


class Part(NamedTuple):
    """What an adapter adds to one layer: scaling * up(down(input))."""

    down: "torch.Tensor"
    """(rank, inputs)"""
    up: "torch.Tensor"
    """(outputs, rank)"""
    bias: "torch.Tensor | None"
    scaling: float


class Adapters:
    """The adapters of one model; only the thread that owns the model touches them."""

    def __init__(self, model: "PreTrainedModel") -> None:
        self._model = model
        self._parts: dict[Any, dict[str, Part]] = {}
        """By adapted layer, then by adapter version."""
        self._groups: list[tuple[str, torch.Tensor | None]] = []
        """Versions of the forward at hand with their rows; None: all rows."""

    def aim(self, versions: Sequence[str | None]) -> None:
        """Make the next forward apply these adapters, one per row; None: the base alone."""
        import torch

        rows: dict[str, list[int]] = {}
        for row, version in enumerate(versions):
            if version is not None:
                rows.setdefault(version, []).append(row)
        device = self._model.device
        self._groups = [
            (version, None if len(held) == len(versions) else torch.tensor(held, device=device))
            for version, held in rows.items()
        ]

    def load(self, version: str, folder: Path) -> None:
        """Load adapter weights beside the base's and prove that they change its output.

        Raises:
            UnavailableError: as `add`, or it changes nothing.
        """
        self.add(version, folder)
        try:
            self.prove(version)
        except UnavailableError:
            self._forget(version)
            raise
        except DAMAGE as error:
            self._forget(version)
            raise _damaged(version, error) from error

    def add(self, version: str, folder: Path) -> None:
        """Load adapter weights beside the base's.

        Raises:
            UnavailableError: the folder is no adapter, not safetensors, fits another model, holds
                values that are no numbers, or is of a kind that can't be mixed with others or
                would change the base.
        """
        from safetensors import SafetensorError

        try:
            check_adapter(version, folder)
            _load(self._model, version, folder)
            for layer in _layers_of(self._model, version):
                self._add(layer, version)
        except UnavailableError:
            self._forget(version)
            raise
        except (*DAMAGE, SafetensorError) as error:
            self._forget(version)
            raise _damaged(version, error) from error

    def _add(self, layer: Any, version: str) -> None:
        """Let the layer's hook know the adapter."""
        slot = _slot(version)
        _check_plain(layer, version)
        down, up = layer.lora_A[slot], layer.lora_B[slot]
        if layer not in self._parts:
            self._parts[layer] = {}
            layer.base_layer.register_forward_hook(self._hook(self._parts[layer]))
        part = Part(down.weight, up.weight, up.bias, float(layer.scaling[slot]))
        _check_finite(part, version)
        self._parts[layer][version] = part

    def _hook(self, parts: dict[str, Part]) -> Callable[..., None]:
        """Return what runs after the base layer, and adds to its output in place."""
        from torch.nn.functional import linear

        def add(_layer: Any, inputs: "tuple[torch.Tensor, ...]", output: "torch.Tensor") -> None:
            for version, rows in self._groups:
                part = parts.get(version)
                if part is None:
                    continue
                read = inputs[0] if rows is None else inputs[0].index_select(0, rows)
                change = linear(linear(read.to(part.down.dtype), part.down), part.up, part.bias)
                change = change.to(output.dtype)  # (rows, tokens, outputs)
                if rows is None:
                    output.add_(change, alpha=part.scaling)
                else:
                    output.index_add_(0, rows, change, alpha=part.scaling)

        return add

    def prove(self, version: str) -> None:
        """Compare the logits of a few tokens with and without the adapter.

        Raises:
            UnavailableError: they are the same, or with it they are no numbers.
        """
        import torch

        count = min(PROBE_TOKENS, self._model.config.get_text_config().vocab_size)
        tokens = torch.arange(count, device=self._model.device)[None]  # (1, tokens)
        logits = []
        with torch.inference_mode():
            for versions in ([None], [version]):
                self.aim(versions)
                logits.append(self._model(input_ids=tokens, use_cache=False).logits)
        self.aim([None])
        plain, changed = logits
        if bool((plain.isfinite() & ~changed.isfinite()).any()):
            raise _without_numbers(version)
        if torch.equal(plain, changed):
            raise UnavailableError(
                f"adapter {version!r} changes nothing: with it the model says what it says "
                "without; train it, or leave it out of the catalog"
            )

    def _forget(self, version: str) -> None:
        """Take out what a failed attempt has left in the model."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        for module in self._model.modules():
            if isinstance(module, BaseTunerLayer):
                module.delete_adapter(_slot(version))
        for parts in self._parts.values():
            parts.pop(version, None)
        configs = getattr(self._model, "peft_config", {})  # set by peft at its first adapter
        configs.pop(_slot(version), None)


def _damaged(version: str, error: Exception) -> UnavailableError:
    text = " ".join(str(error).split())[:200] or "damaged file"
    return UnavailableError(f"adapter {version!r} can't be loaded: {text}")


def _slot(version: str) -> str:
    """Return the version as PyTorch takes it for a module's name: without dots."""
    return version.encode().hex()


def _load(model: "PreTrainedModel", version: str, folder: Path) -> None:
    """Let peft load the adapter, switched off."""
    report = model.load_adapter(str(folder), adapter_name=_slot(version))
    # Other adapters' tensors are reported as missing too.
    absent = {key for key in report.missing_keys if _slot(version) in key}
    if strange := sorted(absent | report.unexpected_keys):
        raise ValueError(f"it belongs to another model: {strange[0]}")
    model.disable_adapters()


def _layers_of(model: "PreTrainedModel", version: str) -> list[Any]:
    from peft.tuners.lora.layer import LoraLayer

    slot = _slot(version)
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    return [la for la in layers if slot in la.lora_A or slot in la.lora_embedding_A]


def _check_plain(layer: Any, version: str) -> None:
    """Refuse what is more than two small matrices beside a linear layer."""
    from peft.tuners.lora.layer import MultiheadAttention, ParamWrapper
    from torch.nn import Linear

    slot = _slot(version)
    is_linear = slot in layer.lora_A and isinstance(layer.lora_A[slot], Linear)
    is_special = isinstance(layer, MultiheadAttention | ParamWrapper)
    if not is_linear or is_special or slot in layer.lora_variant:
        raise UnavailableError(
            f"adapter {version!r} is no plain LoRA on linear layers; train it without DoRA and "
            "without embeddings or convolutions as targets"
        )


def _check_finite(part: Part, version: str) -> None:
    """Refuse what would make numbers of every row that shares a forward with it into none."""
    tensors = [tensor for tensor in (part.down, part.up, part.bias) if tensor is not None]
    if not math.isfinite(part.scaling) or not all(bool(t.isfinite().all()) for t in tensors):
        raise _without_numbers(version)


def _without_numbers(version: str) -> UnavailableError:
    return UnavailableError(
        f"adapter {version!r} holds or makes values that are no finite numbers, as a training that "
        "diverged leaves them; train it again"
    )
