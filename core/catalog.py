"""The catalog: which models and adapters may be used, where they run, and within what limits.

Nothing outside the catalog is ever loaded or called. `core/catalog_files.py` reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict

from core.errors import ModelNotAllowedError
from core.gateway.allow import Limits
from core.settings import PROJECT

Precision = Literal["auto", "fp32", "bf16", "nf4", "int8"]
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16", "nf4", "int8")
STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Price:
    """What a remote model costs, as published on a date."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    input_per_million: float
    """US dollars per million input tokens."""
    output_per_million: float
    """US dollars per million output tokens."""
    as_of: str
    """Date of the price list, YYYY-MM-DD."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What a provider allows in a window that refills continuously; None: not known."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    concurrent: int | None = None
    """Calls that may run at the same time."""


@dataclass(frozen=True, slots=True)
class ChainEntry:
    """Models to try in order, until one answers."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    models: tuple[str, ...]
    """Ids of models, adapters or other chains."""
    patience_s: float = 8.0
    """Longest wait for a model's budget before the next one is tried, in seconds."""


@dataclass(frozen=True, slots=True)
class EnsembleEntry:
    """Models that answer together and vote."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    models: tuple[str, ...]
    """Ids of models or adapters, two at least."""
    vote: Literal["first_valid", "majority", "weighted"] = "majority"
    answer: Literal["text", "json", "number", "label"] = "text"
    """What an answer is read as before it is compared."""
    threshold: float = 0.5
    """Share of the votes that the winner must exceed, 0.0 to below 1.0; else no answer is given."""
    deadline_s: float = 30.0
    """Longest wait for a member, in seconds."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Accuracy by member for `weighted`, 0.0 to 1.0."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the catalog."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    provider: Literal["local", "endpoint", "ollama", "replay"]
    """Where it runs: in this process, behind an OpenAI-compatible address, behind Ollama's own
    address, or nowhere: a recorded file answers."""
    context: int
    """Tokens it can read and write together."""
    description: str = ""
    path: str | None = None
    """Model folder of a local model, or recorded file of a replay; relative to the repository, or
    absolute."""
    hub: str | None = None
    """Hub repository of a local model, `owner/name`."""
    revision: str | None = None
    """Commit of the Hub repository."""
    download_gb: float | None = None
    """Size of the download, in gigabytes."""
    precision: Precision = "auto"
    """Number format of the weights; `auto` keeps the stored one on CUDA, fp32 on CPU."""
    engine: Literal["auto", "transformers", "llama.cpp"] = "auto"
    """What runs a local model; llama.cpp takes Llama models on a CPU, several times as fast, and
    needs `requirements-llama.txt`. `auto` chooses by device, size, precision and adapters."""
    base_url: str | None = None
    """Address of an OpenAI-compatible server, up to `/v1`."""
    served_model: str | None = None
    """The model's name on that server."""
    key: str | None = None
    """Its key, as `${NAME}`; only the provider that sends it reads the variable."""
    api_version: str | None = None
    """Azure OpenAI's `api-version`; with it the address is Azure's and the model a deployment."""
    quotas: tuple[str, ...] = ()
    """Names of `quotas` that each call counts against, besides what the server tells of itself."""
    needs: tuple[str, ...] = ()
    """Environment variables without which it can't be used."""
    system: str | None = None
    """File with the system prompt that chats start with."""
    tools: str | None = None
    """File with the tools that chats offer, a JSON list in OpenAI's shape."""
    price: Price | None = None

    @property
    def key_variable(self) -> str | None:
        """Return the name of the environment variable with the key; None when it needs none."""
        return self.key.removeprefix("${").removesuffix("}") if self.key else None


@dataclass(frozen=True, slots=True)
class AdapterEntry:
    """One adapter version of a model."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    path: str
    """Adapter folder (PEFT's format, safetensors); relative to the repository, or absolute."""
    digest: str | None = None
    """Digest that the folder must have, `sha256:...`; None: any."""
    base_digest: str | None = None
    """Digest that the base must have; None: any that the adapter fits."""


@dataclass(frozen=True, slots=True)
class Target:
    """A model, with an adapter or without: what one request is sent to."""

    id: str
    """`MODEL` or `MODEL@VERSION`."""
    model_id: str
    model: ModelEntry
    version: str | None = None
    adapter: AdapterEntry | None = None


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """What a catalog file may hold."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    models: dict[str, ModelEntry]
    default_model: str
    adapters: dict[str, dict[str, AdapterEntry]] = field(default_factory=dict)
    """Model id to version to adapter."""
    chains: dict[str, ChainEntry] = field(default_factory=dict)
    ensembles: dict[str, EnsembleEntry] = field(default_factory=dict)
    quotas: dict[str, Quota] = field(default_factory=dict)
    """Provider's or model's allowance by name; models refer to it."""
    limits: Limits = field(default_factory=Limits)
    loaded_gb: float = 12.0
    """Bound on the weights that are kept in memory together, in gigabytes."""
    unload_after_s: float = 1800.0
    """How long a model stays loaded that nobody uses, in seconds."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """The effective catalog."""

    models: Mapping[str, ModelEntry]
    adapters: Mapping[str, Mapping[str, AdapterEntry]]
    default_model: str
    chains: Mapping[str, ChainEntry]
    ensembles: Mapping[str, EnsembleEntry]
    quotas: Mapping[str, Quota]
    limits: Limits
    loaded_gb: float
    unload_after_s: float
    missing: Mapping[str, tuple[str, ...]]
    """Model id to the environment variables it wants and does not find."""
    origins: Mapping[str, str]
    """Dotted key to the file that its value came from."""

    def targets(self, name: str) -> tuple[Target, ...]:
        """Return where requests to an id may go: one model, a chain's in order, or the members.

        Raises:
            ModelNotAllowedError: the catalog has no such model, adapter, chain or ensemble.
        """
        chain = self.chains.get(name)
        if chain is not None:
            found = [target for each in chain.models for target in self.targets(each)]
            return tuple({target.id: target for target in found}.values())
        ensemble = self.ensembles.get(name)
        if ensemble is not None:
            return tuple(self.resolve(each) for each in ensemble.models)
        return (self.resolve(name),)

    def resolve(self, name: str) -> Target:
        """Return what `MODEL` or `MODEL@VERSION` means; of a chain or ensemble its first model.

        Raises:
            ModelNotAllowedError: the catalog has no such model or adapter.
        """
        if name in self.chains or name in self.ensembles:
            return self.targets(name)[0]
        model_id, at, version = name.partition("@")
        model = self.models.get(model_id)
        if model is None:
            known = ", ".join((*self.models, *self.chains, *self.ensembles))
            raise ModelNotAllowedError(f"no model named {model_id[:80]!r}; choose one of: {known}")
        if not at:
            return Target(model_id, model_id, model)
        adapter = self.adapters.get(model_id, {}).get(version)
        if adapter is None:
            known = ", ".join(self.adapters.get(model_id, {})) or "none"
            raise ModelNotAllowedError(
                f"{model_id!r} has no adapter {version[:80]!r}; its adapters: {known}"
            )
        return Target(f"{model_id}@{version}", model_id, model, version, adapter)

    def ids(self) -> tuple[str, ...]:
        """Return every id: models, each with its adapters, then chains and ensembles."""
        models = (
            name
            for model_id in self.models
            for name in (model_id, *(f"{model_id}@{v}" for v in self.adapters.get(model_id, {})))
        )
        return (*models, *self.chains, *self.ensembles)


def located(path: str) -> Path:
    """Return a path of the catalog as an absolute one."""
    return PROJECT / path


def starting_model(catalog: Catalog, name: str) -> ModelEntry:
    """Return the model whose system prompt and tools chats with an id start with.

    Of a chain or ensemble the first that has any, for its other models get them as well.
    """
    models = [target.model for target in catalog.targets(name)]
    return next((model for model in models if model.system or model.tools), models[0])


def description_of(catalog: Catalog, name: str) -> str:
    """Return what people are told an id is."""
    ids = ", ".join(target.id for target in catalog.targets(name))
    if name in catalog.chains:
        return f"Chain: the first of {ids} that answers."
    if name in catalog.ensembles:
        return f"Ensemble: {ids} vote ({catalog.ensembles[name].vote})."
    return catalog.resolve(name).model.description
