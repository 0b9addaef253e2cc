"""Which engine runs a local model; docs/decisions/005-engines.md has the measurements."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from core.catalog import ModelEntry
from core.engines.llama_config import read_shape
from core.errors import UnavailableError
from core.providers.weights import has_cuda

EngineName = Literal["transformers", "llama.cpp"]
LEAST_PARAMETERS = 50_000_000
"""Smaller Llamas answer a crowd sooner in a batch of transformers, and in full precision."""


class Choice(NamedTuple):
    """An engine, and why it was chosen."""

    engine: EngineName
    reason: str


def choose_engine(model: ModelEntry, folder: Path, *, has_adapters: bool) -> Choice:
    """Return what runs the model of this folder; nothing is loaded.

    llama.cpp is chosen for large Llamas on a CPU, where it is installed: never for a precision
    that only bitsandbytes has, nor for a model with adapters, for each of which it starts anew.
    """
    if model.engine != "auto":
        return Choice(model.engine, "the catalog says so")
    if has_cuda():
        return Choice("transformers", "there is a GPU")
    if has_adapters:
        return Choice("transformers", "it mixes adapters in one batch")
    if model.precision not in ("auto", "fp32"):
        return Choice("transformers", f"it is what has {model.precision}")
    if not _has_llama_cpp():
        return Choice("transformers", "llama.cpp is not installed")
    try:
        parameters = read_shape(folder).parameters
    except UnavailableError as error:
        return Choice("transformers", str(error))
    if parameters < LEAST_PARAMETERS:
        return Choice("transformers", "so small a model answers many soonest, in full precision")
    return Choice("llama.cpp", f"a Llama of {parameters / 1e6:,.0f} M parameters on a CPU")


@lru_cache(1)
def _has_llama_cpp() -> bool:
    return find_spec("xllamacpp") is not None and find_spec("gguf") is not None
