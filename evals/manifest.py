"""What a run is, written before its first token: task, items, order, seeds, weights, versions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, NamedTuple

from core.errors import InputError, StorageError
from core.messages import GenerationParams, JsonValue

Mode = Literal["free", "deterministic", "predictions"]
"""`free`: requests are batched as they come. `deterministic`: by a recorded plan.
`predictions`: nothing is generated, a file holds the answers."""
MAX_SAMPLES = 100
SAMPLING_TEMPERATURE = 0.7
"""Of several answers to one item of a greedy task. Source: Wang et al. (2022), Self-consistency,
arXiv:2203.11171, section 3.1."""


class Key(NamedTuple):
    """One answer of a run."""

    id: str
    """Of the sample."""
    repeat: int
    """From 0."""


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What is asked of one run."""

    model: str
    """`MODEL` or `MODEL@VERSION`, by catalog id."""
    task: str
    """Name of a task."""
    limit: int | None = None
    """Items to take, from the front of the shuffled ones; None: all."""
    samples: int = 1
    """Answers for each item, 1 to 100; above 1 a greedy task is sampled, see `temperature`."""
    seed: int = 0
    """Of the order of items, and of sampling: repeat `r` uses `seed + r`."""
    temperature: float | None = None
    """Instead of the task's, 0.0 to 2.0; None: the task's, or where that is greedy and several
    answers are wanted `SAMPLING_TEMPERATURE`."""
    max_tokens: int | None = None
    """Instead of the task's, in tokens."""
    is_deterministic: bool = False
    """Whether a local model's batches are planned, recorded and run apart from all others."""
    uses_cache: bool = True
    """Whether answers that the cache has may be taken; sampled and planned ones never are."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        if self.limit is not None and self.limit < 1:
            raise InputError(f"limit must be at least 1, got {self.limit}")
        if not 1 <= self.samples <= MAX_SAMPLES:
            raise InputError(f"samples must be between 1 and {MAX_SAMPLES}, got {self.samples}")
        if not 0 <= self.seed < 2**32 - MAX_SAMPLES:
            raise InputError(f"seed must be between 0 and {2**32 - MAX_SAMPLES - 1}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which weights a run is of, read before it begins."""

    provider: str
    """`local`, `endpoint`, `ollama`, `replay`; `chain` or `ensemble` for those."""
    model_digest: str | None
    """Of the weights, or of the recorded file; None: a server that does not tell, or several."""
    adapter_digest: str | None
    served: str
    """`sha256:...` over all that is known of where and how the answers are made."""
    device: str | None
    """`cpu` or `cuda`; None: not on this machine."""
    precision: str | None
    """Number format of the weights; None: not known."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The fixed facts of a run."""

    run: str
    task: str
    task_digest: str
    data_digest: str
    grader_version: str
    model: str
    provider: str
    model_digest: str | None
    adapter_digest: str | None
    served: str
    params: Mapping[str, JsonValue] = field(hash=False)
    """As `GenerationParams.to_dict`; the seed is repeat 0's."""
    repeats: int
    items: tuple[str, ...]
    """Planned ids, in the seeded order."""
    seed: int
    mode: Mode
    plan: tuple[tuple[str, ...], ...] | None = field(hash=False)
    """Batches of ids; each repeat runs them in this order. None: batched as they come."""
    uses_cache: bool
    created_at: str
    """ISO 8601, UTC."""
    versions: Mapping[str, str] = field(hash=False)
    device: str | None
    precision: str | None

    @property
    def keys(self) -> tuple[Key, ...]:
        """Return every planned answer, in the order of grades."""
        return tuple(Key(item, repeat) for repeat in range(self.repeats) for item in self.items)

    @property
    def units(self) -> tuple[tuple[Key, ...], ...]:
        """Return the batches of all repeats, in order; none without a plan."""
        return tuple(
            tuple(Key(item, repeat) for item in batch)
            for repeat in range(self.repeats)
            for batch in self.plan or ()
        )

    @property
    def generation_params(self) -> GenerationParams:
        """Return the parameters of repeat 0."""
        values: dict[str, Any] = dict(self.params)
        return GenerationParams(**{**values, "stop": tuple(values["stop"])})

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as JSON."""
        return {**asdict(self), "params": dict(self.params), "versions": dict(self.versions)}

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> "Manifest":
        """Read what `to_dict` wrote.

        Raises:
            StorageError: a key is missing or unknown.
        """
        names = {each.name for each in fields(Manifest)}
        if odd := sorted(names ^ value.keys()):
            raise StorageError(f"manifest.json: {odd[0]!r} is missing or unknown")
        plan: Sequence[Sequence[str]] | None = value["plan"]
        listed = None if plan is None else tuple(tuple(batch) for batch in plan)
        return Manifest(**{**value, "items": tuple(value["items"]), "plan": listed})
