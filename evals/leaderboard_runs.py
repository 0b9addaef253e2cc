"""The run folders as a leaderboard reads them: each file once, again only when it has changed."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from core.errors import NotFoundError, StorageError
from evals.leaderboard_files import FileMemory, json_object
from evals.lock import is_held
from evals.sample import Estimate

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}")
"""What a run may be called: one folder name, never a path."""
REMEMBERED = 5_000
"""Runs whose summary stays in memory, the longest unused forgotten first."""
STATUSES = ("completed", "invalid", "stopped", "interrupted", "running")


@dataclass(frozen=True, slots=True)
class Version:
    """What two runs of a task must share to stand side by side."""

    task_digest: str
    data_digest: str
    grader: str
    items: str
    """Digest of the planned items, the repeats and the parameters but for the seed."""
    size: int
    """Planned items."""

    @property
    def id(self) -> str:
        """Return twelve hexadecimal digits that name the version."""
        text = "\n".join([self.task_digest, self.data_digest, self.grader, self.items])
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class ModelKey:
    """Which weights were evaluated, and as what they ran; what differs in any is another row."""

    name: str
    """`MODEL` or `MODEL@VERSION`."""
    model_digest: str | None
    adapter_digest: str | None
    served: str | None = None
    """Where and how answers are made, as a digest, for a model whose weights nobody can name."""
    precision: str | None = None
    """Number format of the weights; None: not known."""
    device: str | None = None
    """`cpu` or `cuda`; None: not on the machine of the run."""

    @property
    def ran_as(self) -> str:
        """Return precision and device in words, as "nf4 on cuda"; empty where neither is known."""
        return " on ".join(known for known in (self.precision, self.device) if known)

    @property
    def id(self) -> str:
        """Return the name with digits of the digests, short and unique for links and widgets."""
        digests = f"{self.model_digest}\n{self.adapter_digest}\n{self.served}\n{self.ran_as}"
        return f"{self.name}~{hashlib.sha256(digests.encode('utf-8', 'replace')).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a leaderboard needs to know of a run."""

    run: str
    folder: Path
    task: str
    model: ModelKey
    version: Version
    status: str
    n: int
    missing: int
    primary: str
    metrics: Mapping[str, Estimate] = field(hash=False)
    bounds: Mapping[str, tuple[float, float]] = field(hash=False)
    """Metric to its value if all missing answers are wrong, and if all are right."""
    failures: Mapping[str, int] = field(hash=False)
    floor: float | None
    cost_usd: float | None
    tokens_per_s: float | None
    finished_at: float
    """Seconds since 1970; 0.0 where it is not known."""

    @property
    def score(self) -> Estimate | None:
        """Return the primary metric."""
        return self.metrics.get(self.primary)

    @property
    def cost_per_1000(self) -> float | None:
        """Return US dollars per 1,000 answers; None: unknown."""
        answered = self.n - self.missing
        return None if self.cost_usd is None or answered < 1 else self.cost_usd / answered * 1000


@dataclass(frozen=True, slots=True)
class DamagedRun:
    """A run folder that can't be read, and why."""

    run: str
    reason: str


class RunIndex:
    """The runs of one home; damaged folders are listed, never fatal."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "evals"
        self.memory: FileMemory[RunSummary | DamagedRun] = FileMemory(REMEMBERED)

    def all(self) -> tuple[list[RunSummary], list[DamagedRun]]:
        """Return the runs that have a summary, oldest first, and the damaged ones."""
        runs: list[RunSummary] = []
        damaged: list[DamagedRun] = []
        for name in self._names():
            found = self._read(name)
            if isinstance(found, RunSummary):
                is_dead = found.status == "running" and not is_held(found.folder)
                runs.append(replace(found, status="interrupted") if is_dead else found)
            elif found is not None:
                damaged.append(found)
        return sorted(runs, key=lambda run: (run.finished_at, run.run)), damaged

    def folders(self) -> list[Path]:
        """Return the folders of all runs, with or without a summary, by name."""
        return [self.folder / name for name in self._names()]

    def path(self, run: str) -> Path:
        """Return the folder of a run.

        Raises:
            NotFoundError: no such run, or the text is no run's name.
        """
        if not RUN_ID.fullmatch(run) or not (self.folder / run).is_dir():
            raise NotFoundError(f"no run named {run[:200]!r}; see `python -m evals leaderboard`")
        return self.folder / run

    def get(self, run: str) -> RunSummary:
        """Return one run.

        Raises:
            NotFoundError: no such run, or it has no summary yet.
            StorageError: its files can't be read.
        """
        self.path(run)
        found = self._read(run)
        if isinstance(found, DamagedRun):
            raise StorageError(f"run {run!r} can't be read: {found.reason}")
        if found is None:
            raise NotFoundError(f"run {run!r} has no summary yet; wait or resume it")
        return found

    def _names(self) -> list[str]:
        try:
            with os.scandir(self.folder) as entries:
                return sorted(e.name for e in entries if RUN_ID.fullmatch(e.name) and e.is_dir())
        except OSError:
            return []

    def _read(self, name: str) -> RunSummary | DamagedRun | None:
        summary = self.folder / name / "summary.json"
        manifest = self.folder / name / "manifest.json"
        if not summary.exists():
            return None
        return self.memory.get((summary, manifest), read_run)


def read_run(summary: Path, manifest: Path) -> RunSummary | DamagedRun:
    """Return a run from its two files, or why that is impossible."""
    run = summary.parent.name
    try:
        return _run(run, summary.parent, json_object(summary), json_object(manifest))
    except OSError as error:
        return DamagedRun(run, f"{Path(error.filename or '').name}: {error.strerror}")
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        text = f"no {error}" if isinstance(error, KeyError) else str(error)
        return DamagedRun(run, text[:300])


def _run(run: str, folder: Path, summary: dict[str, Any], manifest: dict[str, Any]) -> RunSummary:
    digest = _text_or_none(summary.get("model_digest"))
    model = ModelKey(
        _text(summary["model"]),
        digest,
        _text_or_none(summary.get("adapter_digest")),
        _text_or_none(manifest.get("served")) if digest is None else None,
        _text_or_none(manifest.get("precision")),
        _text_or_none(manifest.get("device")),
    )
    metrics = _metrics(summary["metrics"])
    primary = summary.get("primary")
    return RunSummary(
        run=run,
        folder=folder,
        task=_text(summary["task"]),
        model=model,
        version=_version(summary, manifest),
        status=_status(summary["status"]),
        n=_count(summary["n"]),
        missing=_count(summary["missing"]),
        primary=next(iter(metrics), "") if primary is None else _text(primary),
        metrics=metrics,
        bounds={_text(k): _pair(v) for k, v in (summary.get("bounds") or {}).items()},
        failures={_text(k): _count(v) for k, v in (summary.get("failures") or {}).items()},
        floor=_number_or_none(summary.get("floor")),
        cost_usd=_number_or_none(summary.get("cost_usd")),
        tokens_per_s=_number_or_none(summary.get("tokens_per_s")),
        finished_at=_moment(summary.get("finished_at") or summary.get("created_at")),
    )


def _version(summary: dict[str, Any], manifest: dict[str, Any]) -> Version:
    items = manifest["items"]
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise TypeError("manifest.json: items must be a list of ids")
    params = dict(manifest.get("params") or {})
    params.pop("seed", None)
    conditions = [str(manifest.get("repeats") or 1), repr(sorted(params.items()))]
    planned = "\n".join([*conditions, *sorted(items)])
    return Version(
        task_digest=_text(summary["task_digest"]),
        data_digest=_text(summary["data_digest"]),
        grader=str(summary["grader_version"])[:100],
        items=hashlib.sha256(planned.encode("utf-8", "replace")).hexdigest(),
        size=len(items),
    )


def _metrics(found: dict[str, Any]) -> dict[str, Estimate]:
    """Return the metrics that have a value; one without has no graded answer."""
    metrics: dict[str, Estimate] = {}
    for name, about in found.items():
        value = _number_or_none(about.get("value"))
        if value is not None:
            low, high = _number_or_none(about.get("low")), _number_or_none(about.get("high"))
            metrics[name] = Estimate(value, low, high, _count(about["n"]))
    return metrics


def _pair(found: Any) -> tuple[float, float]:
    low, high = found
    return float(low), float(high)


def _status(found: Any) -> str:
    if found not in STATUSES:
        raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {found!r}")
    return str(found)


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise TypeError(f"expected a text, got {found!r}")
    return found


def _text_or_none(found: Any) -> str | None:
    return None if found is None else _text(found)


def _count(found: Any) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise TypeError(f"expected a number of items, got {found!r}")
    return found


def _number_or_none(found: Any) -> float | None:
    found = found.get("value") if isinstance(found, dict) else found
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise TypeError(f"expected a number, got {found!r}")
    return float(found)


def _moment(found: Any) -> float:
    if isinstance(found, str):
        return datetime.fromisoformat(found).timestamp()
    return _number_or_none(found) or 0.0
