"""What one training run is: chosen once, stored with the run, never changed after.

Under each field: meaning, unit, and where its default comes from. QLoRA is Dettmers et al. (2023),
arXiv:2305.14314; LoRA is Hu et al. (2021), arXiv:2106.09685.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from core.errors import InputError
from training.presets import PRESETS

Recipe = Literal["sft", "dpo", "kto"]
Method = Literal["qlora", "lora", "full"]
RECIPES: tuple[Recipe, ...] = get_args(Recipe)
METHODS: tuple[Method, ...] = get_args(Method)
MAX_SEED = 2**32 - 1
"""NumPy's generators take no larger one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One training run."""

    model: str
    """Id in the catalog of the base model, a local one."""
    dataset: str
    """`NAME@VERSION`, a version's folder, or a file of rows in JSON Lines."""
    recipe: Recipe = "sft"
    """`sft`: imitate answers; `dpo`: prefer one answer of a pair; `kto`: thumbs up and down."""
    method: Method = "qlora"
    """`qlora`: an adapter on a 4-bit base; `lora`: on an unquantised one; `full`: all weights."""
    preset: str | None = None
    """Named values that stand wherever this file says nothing; `training/presets.py` lists them."""
    rank: int = 16
    """Rank of the adapter's matrices. TRL's ModelConfig; Hu et al. find small ranks enough."""
    alpha: int = 32
    """The adapter's output is scaled by alpha / rank. TRL's ModelConfig."""
    dropout: float = 0.05
    """Share of the adapter's inputs dropped in training, 0.0 to below 1.0. QLoRA, table 9."""
    learning_rate: float = 2e-4
    """Peak of the schedule: 3% warm-up, then a cosine to zero. QLoRA, table 9, up to 13B."""
    epochs: float = 1.0
    """Passes over the training examples; `max_steps` overrules it."""
    max_steps: int | None = None
    """Optimizer steps in all; None: what `epochs` makes."""
    max_length: int = 1024
    """Tokens of an example that are read; the rest is cut off, and the audit counts such rows."""
    batch_size: int = 16
    """Examples per optimizer step; pairs for `dpo`. QLoRA, table 9."""
    batch_tokens: int | None = None
    """Tokens per optimizer step instead, for `sft`: as many examples as fit, one at least."""
    micro_tokens: int = 4096
    """Most tokens in memory at once, padding included; a step is done in as many parts as that
    needs, and the parts change no result but by rounding. Less takes less memory."""
    packing: bool = True
    """Several examples in one row where they fit, each blind to the others; `sft` only."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, about a third slower."""
    beta: float = 0.1
    """How close `dpo` and `kto` hold the model to the base, above 0. TRL's DPOConfig, KTOConfig."""
    eval_every: int | None = None
    """Steps between evaluations on the version's eval split; None: a tenth of all steps."""
    patience: int | None = None
    """Evaluations in a row without a better loss after which the run ends; None: it goes on."""
    checkpoint_every_s: float = 300.0
    """Longest time between two checkpoints in seconds: what a power cut may cost."""
    checkpoint_every: int | None = None
    """Steps between checkpoints, besides those by time; None: by time alone."""
    mirror: str | None = None
    """Where checkpoints are copied to: any fsspec URL. Its credentials stay in the environment."""
    seed: int = 1
    """Of the data's order, the dropout and the adapter's first values, 0 to 4294967295."""

    def __post_init__(self) -> None:
        """Refuse values outside their ranges."""
        _check_choices(self)
        unset = {field.name for field in fields(self) if field.default is None}
        for name, (allowed, words) in RANGES.items():
            value = getattr(self, name)
            if not (value is None and name in unset) and not allowed(value):
                raise InputError(f"{name} must be {words}, got {value!r}")
        _check_together(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the run's settings as they stand in `run.yaml`."""
        return asdict(self)

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> "TrainConfig":
        """Read settings; a preset's values stand wherever `raw` has no such key.

        Raises:
            InputError: a key is missing or unknown, or a value is out of range.
        """
        known = {field.name: field for field in fields(TrainConfig)}
        for key in raw:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"choose from: {', '.join(known)}"
                raise InputError(f"unknown key {str(key)[:60]!r} in the run's settings; {hint}")
        missing = [n for n, f in known.items() if f.default is MISSING and n not in raw]
        if missing:
            raise InputError(f"the run's settings lack {missing[0]!r}")
        preset = raw.get("preset")
        if preset is not None and (not isinstance(preset, str) or preset not in PRESETS):
            raise InputError(f"no preset named {preset!r}; choose one of: {', '.join(PRESETS)}")
        under = PRESETS[preset].values if preset is not None else {}
        return TrainConfig(**{**under, **raw})


def _whole(low: int, high: int | None = None) -> Callable[[Any], bool]:
    return lambda v: type(v) is int and low <= v and (high is None or v <= high)


def _above(low: float, high: float = float("inf")) -> Callable[[Any], bool]:
    """Say whether a number, no yes or no, lies above `low` and below `high`."""
    return lambda v: type(v) in (int, float) and low < v < high


RANGES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "rank": (_whole(1, 1024), "a whole number of 1 to 1024"),
    "alpha": (_whole(1), "a whole number above 0"),
    "dropout": (lambda v: v == 0 or _above(0, 1)(v), "at least 0.0 and below 1.0"),
    "learning_rate": (_above(0, 1), "above 0.0 and below 1.0"),
    "epochs": (_above(0, 1000), "above 0.0 and below 1000"),
    "max_steps": (_whole(1), "a whole number above 0"),
    "max_length": (_whole(8), "a whole number of at least 8"),
    "batch_size": (_whole(1), "a whole number above 0"),
    "batch_tokens": (_whole(1), "a whole number above 0"),
    "micro_tokens": (_whole(8), "a whole number of at least 8"),
    "packing": (lambda v: isinstance(v, bool), "true or false"),
    "gradient_checkpointing": (lambda v: isinstance(v, bool), "true or false"),
    "beta": (_above(0), "above 0.0"),
    "eval_every": (_whole(1), "a whole number above 0"),
    "patience": (_whole(1), "a whole number above 0"),
    "checkpoint_every_s": (_above(0), "above 0 seconds"),
    "checkpoint_every": (_whole(1), "a whole number above 0"),
    "seed": (_whole(0, MAX_SEED), f"a whole number of 0 to {MAX_SEED}"),
}
"""What each number may be, and in words."""


def _check_choices(config: TrainConfig) -> None:
    for name, choices in (("recipe", RECIPES), ("method", METHODS)):
        value = getattr(config, name)
        if value not in choices:
            raise InputError(f"no {name} named {value!r}; choose one of: {', '.join(choices)}")
    for name in ("model", "dataset"):
        value = getattr(config, name)
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{name} must be a text, got {value!r}")
    if config.mirror is not None and (not isinstance(config.mirror, str) or not config.mirror):
        raise InputError(f"mirror must be a URL as a text, got {config.mirror!r}")


def _check_together(config: TrainConfig) -> None:
    """Refuse values that exclude each other."""
    together = 1 if config.recipe == "sft" else 2
    if config.micro_tokens < together * config.max_length:
        raise InputError(
            f"micro_tokens ({config.micro_tokens}) must be at least {together} x max_length "
            f"({config.max_length}): that much is in memory at once"
        )
    if config.recipe != "sft":
        if config.method == "full":
            raise InputError(
                f"recipe {config.recipe!r} compares with the untouched base, so it trains an "
                "adapter; choose method 'qlora' or 'lora'"
            )
        if config.batch_tokens is not None:
            raise InputError(f"recipe {config.recipe!r} counts examples; set batch_size instead")
    if config.recipe == "kto" and config.batch_size < 2:
        raise InputError("recipe 'kto' compares examples with each other; set batch_size above 1")
    if config.mirror is not None and urlsplit(config.mirror).password is not None:
        raise InputError("the mirror's URL holds a password; put it in the environment instead")
