"""A job as people and programs see it: its row, and what its folder tells."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from core.messages import JsonValue
from training.heartbeat import NAME as HEARTBEAT
from training.job_facts import LOG, RunFacts, run_facts
from training.job_rows import Job
from training.job_states import RESUMABLE, WORKING
from training.mirror_state import MirrorState, mirror_state


@dataclass(frozen=True, slots=True)
class Beat:
    """A worker's last sign of life."""

    phase: str | None = None
    beat_at: float | None = None
    """Seconds since 1970."""
    step_at: float | None = None
    """When the last step was done."""


@dataclass(frozen=True, slots=True)
class JobView:
    """One job now."""

    job: Job
    facts: RunFacts
    folder: Path
    place: int | None = None
    """Jobs before it in the queue and itself; None unless it waits."""
    beat: Beat = Beat()
    adapter: str | None = None
    """What was made of it, as `MODEL@VERSION`."""
    mirror: MirrorState | None = None
    """Where the mirror is; None: there is none, or none yet."""

    @property
    def is_resumable(self) -> bool:
        """Whether `resume` would go on with it."""
        return self.job.status in RESUMABLE

    @property
    def eta_s(self) -> float | None:
        """Seconds until the last step at the pace so far; None where it is not known."""
        facts, started = self.facts, self.job.started_at
        is_at_work = self.job.status == "running" and started is not None
        if not is_at_work or facts.last_event_at is None or facts.total_steps is None:
            return None
        done = (facts.step or 0) - (self.job.committed_step or 0)
        assert started is not None
        took_s = facts.last_event_at - started.timestamp()
        return (facts.total_steps - (facts.step or 0)) * took_s / done if done > 0 else None

    @property
    def quiet_s(self) -> float | None:
        """Seconds since the worker's last sign of life; None where there is no worker."""
        signs = [at for at in (self.facts.last_event_at, self.beat.beat_at) if at is not None]
        return time.time() - max(signs) if signs and self.job.status in WORKING else None

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the job as JSON; times are ISO 8601 in UTC."""
        job, facts = self.job, self.facts
        return {
            "id": job.id,
            "status": job.status,
            "step": facts.step,
            "total_steps": facts.total_steps,
            "loss": facts.loss,
            "last_commit": facts.committed,
            "last_mirrored": None if self.mirror is None else self.mirror.step,
            "mirror": None if self.mirror is None else self.mirror.to_dict(),
            "resumable": self.is_resumable,
            "error": job.error,
            "resumed_from": facts.resumed_from,
            "warnings": list(facts.warnings),
            "adapter": self.adapter,
            "eval_loss": facts.eval_loss,
            "learning_rate": facts.learning_rate,
            "tokens_per_s": facts.tokens_per_s,
            "memory_gb": facts.memory_gb,
            "eta_s": self.eta_s,
            "phase": self.beat.phase if job.status in WORKING else None,
            "quiet_s": self.quiet_s,
            "place": self.place,
            "attempt": job.attempt,
            "failures": job.failures,
            "executor": job.executor,
            "processes": job.processes,
            "created_at": _text(job.created_at),
            "queued_at": _text(job.queued_at),
            "not_before": _text(job.not_before),
            "started_at": _text(job.started_at),
            "seen_at": _text(job.seen_at),
            "ended_at": _text(job.ended_at),
            "folder": str(self.folder),
            "log": str(self.folder / LOG),
        }


def job_view(job: Job, folder: Path) -> JobView:
    """Return a job with what its folder tells now."""
    told = _object(folder / HEARTBEAT)
    beat = Beat(**{name: told.get(name) for name in ("phase", "beat_at", "step_at")})
    return JobView(job, run_facts(folder), folder, beat=beat, mirror=mirror_state(folder))


def _object(path: Path) -> Mapping[str, Any]:
    """Return a JSON file that others write whole; empty while there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
