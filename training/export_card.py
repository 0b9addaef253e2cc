"""The model card of an exported adapter: where it comes from and what was measured, or was not."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.errors import InputError
from core.store.adapters import StoredAdapter
from training.config import TrainConfig

LIBRARY = {
    "adapter": "peft",
    "merged": "transformers",
    "gguf": "gguf",
    "gguf-adapter": "gguf",
    "ollama": "gguf",
}
SETTINGS = ("recipe", "method", "rank", "alpha", "dropout", "learning_rate", "epochs", "max_steps")


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of one evaluation."""

    task: str
    model: str
    """What was evaluated."""
    metric: str
    value: float
    low: float | None
    """Of the 95 % interval; None: it has none."""
    high: float | None
    n: int | None
    """Samples that were graded."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a card is made of."""

    stored: StoredAdapter
    config: TrainConfig
    hub: str | None
    """Hub repository of the base; None for one of this disk."""
    results: Sequence[Measured] = ()


def card_text(sheet: Sheet, kind: str, notes: Sequence[str] = ()) -> str:
    """Return the README.md of an export; `notes` say how it was made."""
    stored = sheet.stored
    header: dict[str, Any] = {
        "library_name": LIBRARY[kind],
        "pipeline_tag": "text-generation",
        "tags": ["understudy", "lora", stored.purpose],
    }
    if sheet.hub is not None:
        header["base_model"] = sheet.hub
    facts = [
        ("base", sheet.hub or stored.model),
        ("base digest", f"`{stored.base_digest}`"),
        ("dataset", stored.dataset),
        ("dataset digest", f"`{stored.dataset_digest}`"),
        ("run", stored.run),
        ("adapter digest", f"`{stored.digest}`"),
        ("made", f"{stored.created_at:%Y-%m-%d}"),
        *((name.replace("_", " "), getattr(sheet.config, name)) for name in SETTINGS),
    ]
    measured = [(name.replace("_", " "), value) for name, value in stored.figures.items()]
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n# {stored.name}",
        f"An adapter for {sheet.hub or stored.model}, trained with Understudy.",
        _table([("what", "value"), *facts]),
        "## Training figures",
        _table([("figure", "value"), *measured]),
        "## Evaluation",
        _results(sheet.results),
        *(["## This export", *notes] if notes else []),
    ]
    return "\n\n".join(parts) + "\n"


def read_results(path: Path) -> tuple[Measured, ...]:
    """Read what `python -m evals run --json` printed.

    Raises:
        InputError: the file can't be read, is no such object, or its run is not completed.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        summaries = found.get("runs", [found])
        return tuple(each for summary in summaries for each in _measured(summary))
    except OSError as error:
        raise InputError(f"results {str(path)!r} can't be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{str(path)!r} is not what `python -m evals run --json` prints: {error}"
        ) from error


def _measured(summary: Mapping[str, Any]) -> list[Measured]:
    if summary["status"] != "completed":
        raise InputError(f"run {summary['run']!r} is {summary['status']}; its figures don't count")
    return [
        Measured(
            summary["task"],
            summary["model"],
            metric,
            float(one["value"]),
            one.get("low"),
            one.get("high"),
            one.get("n"),
        )
        for metric, one in summary["metrics"].items()
    ]


def _results(results: Sequence[Measured]) -> str:
    if not results:
        return "Not measured."
    rows = [
        (one.task, one.model, one.metric, f"{one.value:.3f}", _interval(one), one.n or "not told")
        for one in results
    ]
    return _table([("task", "model", "metric", "value", "95 % interval", "n"), *rows])


def _interval(one: Measured) -> str:
    return "none" if one.low is None or one.high is None else f"{one.low:.3f} to {one.high:.3f}"


def _table(rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table; the first row is its head."""
    head, *rest = [[_cell(value) for value in row] for row in rows]
    lines = [head, ["---"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "not measured"
    text = f"{value:,.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
