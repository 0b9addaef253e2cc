"""Settings that belong together, by what is to be learnt."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preset:
    """Values for a kind of task."""

    about: str
    """What it is for, in one sentence."""
    source: str
    """Where its values come from."""
    values: Mapping[str, bool | float | int | str]
    """Fields of `TrainConfig`."""


PRESETS: Mapping[str, Preset] = {
    "tool-call": Preset(
        about="Teach formats and tools: many rows, exact answers, one pass.",
        source="QLoRA (Dettmers et al. 2023), section 5 and table 9: r=64, alpha=16, lr=2e-4",
        values={
            "rank": 64,
            "alpha": 16,
            "dropout": 0.05,
            "learning_rate": 2e-4,
            "epochs": 1.0,
        },
    ),
    "persona": Preset(
        about="Teach a manner of speech: few rows, several passes, stopped when it helps no more.",
        source="TRL's ModelConfig: r=16, alpha=32; Hu et al. (2021), section 7.2: small ranks do",
        values={
            "rank": 16,
            "alpha": 32,
            "dropout": 0.05,
            "learning_rate": 2e-4,
            "epochs": 3.0,
            "patience": 2,
        },
    ),
}
