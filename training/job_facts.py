"""What a run's folder tells of its worker: steps, checkpoints, and how it ended.

Events are read from both ends of the newest attempt's part of `events.jsonl`, so that a run of
100,000 steps costs no more than one of a few thousand.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from training.checkpoints import committed
from training.events import NAME, Event, parse
from training.run_warnings import warning_text

LOG, CHECKPOINTS = "log.txt", "checkpoints"
HEAD_BYTES, TAIL_BYTES = 2**16, 2**19
"""What is read of each end: some thousand steps at the tail."""
WARNINGS = 5
"""Warnings that are kept of a run."""
STEP_FIGURES = ("loss", "tokens_per_s", "memory_gb")


@dataclass(frozen=True, slots=True)
class Ending:
    """What a worker said last."""

    kind: Literal["completed", "stopped", "failed"]
    error: str | None = None
    is_final: bool = False
    """Whether another attempt would fail the same way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """The newest attempt of a run, as far as its folder tells."""

    has_started: bool = False
    ending: Ending | None = None
    step: int | None = None
    """Newest optimizer step that was done."""
    total_steps: int | None = None
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    tokens_per_s: float | None = None
    memory_gb: float | None = None
    last_event_at: float | None = None
    """Seconds since 1970."""
    committed: int | None = None
    """Step of the newest checkpoint that counts."""
    resumed_from: str | None = None
    """Checkpoint that the newest attempt went on from."""
    warnings: tuple[str, ...] = ()
    """What the workers warned of, each once, the newest last; no more than a few."""
    size: int = 0
    """Bytes of `events.jsonl`."""


def run_facts(folder: Path, start: int = 0) -> RunFacts:
    """Read the events from byte `start` on, and which checkpoints there are."""
    lines, size = _ends(folder / NAME, start)
    steps = committed(folder / CHECKPOINTS)
    facts = RunFacts(committed=steps[-1] if steps else None, size=size)
    for line in lines:
        event = parse(line)
        if event is not None:
            facts = _with(facts, event)
    return facts


def log_end(folder: Path) -> str:
    """Return the last line of the log that says something; empty without any."""
    lines, _ = _ends(folder / LOG, 0)
    texts = (line.decode(errors="replace").strip() for line in reversed(lines))
    return next((text for text in texts if text), "")


def _ends(path: Path, start: int) -> tuple[list[bytes], int]:
    """Return the lines at head and tail of what follows `start`, and the file's size."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(start)
            if size - start <= HEAD_BYTES + TAIL_BYTES:
                return file.read(size - start).splitlines(keepends=True), size
            head = file.read(HEAD_BYTES)
            file.seek(size - TAIL_BYTES)
            tail = file.read(TAIL_BYTES)
    except OSError:
        return [], 0
    head, tail = head[: head.rfind(b"\n") + 1], tail[tail.find(b"\n") + 1 :]
    return (head + tail).splitlines(keepends=True), size


def _with(facts: RunFacts, event: Event) -> RunFacts:
    """Return the facts after one more event."""
    kind, step = event["kind"], event["step"]
    known: dict[str, Any] = {"last_event_at": event.get("t", facts.last_event_at)}
    if kind == "started":
        known |= {"has_started": True, "ending": None, "step": step}
        known["total_steps"] = event.get("total_steps")
        known["resumed_from"] = event.get("resumed_from")
    elif kind == "step":
        known |= {name: _number(event[name]) for name in STEP_FIGURES if name in event}
        known |= {"step": step, "learning_rate": _number(event.get("lr"))}
    elif kind == "eval":
        known["eval_loss"] = _number(event.get("loss"))
    elif kind == "warning":
        text = warning_text(event)
        known["warnings"] = (*(w for w in facts.warnings if w != text), text)[-WARNINGS:]
    elif kind in ("completed", "stopped", "failed"):
        known["ending"] = Ending(kind, event.get("error"), event.get("is_final") is True)
    return replace(facts, **known)


def _number(value: object) -> float | None:
    """Return a figure; None for what is no number, which events hold as text."""
    return value if isinstance(value, int | float) else None
