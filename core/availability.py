"""Whether the catalog's models can answer now, from this disk and environment alone."""

import json
from dataclasses import dataclass
from pathlib import Path

from core.catalog import Catalog, ModelEntry, Target, located


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a model can answer now, and if not, what is missing."""

    is_ready: bool
    reason: str = ""
    """Empty when ready; else for the user: "needs GROQ_API_KEY"."""
    is_download: bool = False
    """Whether it becomes ready by downloading it at first use."""


def availability_of(catalog: Catalog, name: str) -> Availability:
    """Say whether an id can answer now: a chain with one of its models, an ensemble with all."""
    states = [availability(catalog, target) for target in catalog.targets(name)]
    if name in catalog.chains:
        return next((state for state in states if state.is_ready), states[0])
    return next((state for state in states if not state.is_ready), states[0])


def availability(catalog: Catalog, target: Target) -> Availability:
    """Say whether the target can answer now, from this disk and environment alone."""
    if names := catalog.missing.get(target.model_id):
        return Availability(False, f"needs {' and '.join(names)}")
    model = target.model
    if model.provider in ("endpoint", "ollama"):
        return Availability(True)
    if model.provider == "replay":
        found = located(str(model.path)).is_file()
        return Availability(found, "" if found else f"file {model.path} is not on this disk")
    if target.adapter and not located(target.adapter.path).is_dir():
        return Availability(False, f"adapter folder {target.adapter.path} is not on this disk")
    if model.path:
        found = (located(model.path) / "config.json").exists()
        return Availability(found, "" if found else f"folder {model.path} is not on this disk")
    return _hub_availability(model)


def _hub_availability(model: ModelEntry) -> Availability:
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(str(model.hub), "config.json", revision=model.revision)
    if isinstance(cached, str) and _has_weights(Path(cached).parent):
        return Availability(True)
    size = f"{model.download_gb:g} GB" if model.download_gb else "an unknown size"
    return Availability(False, f"not on this disk; will download {size}", is_download=True)


def _has_weights(folder: Path) -> bool:
    """Say whether all weights are there; a download that was interrupted lacks some."""
    if (folder / "model.safetensors").exists():
        return True
    try:
        index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
        parts = set(index["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return all((folder / part).exists() for part in parts)
