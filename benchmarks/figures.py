"""What a benchmark reports: figures with their goals, spans with CPU time, the machine's load."""

import operator
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Goal = tuple[Literal["at most", "at least", "below", "above"], float]
MEETS = {
    "at most": operator.le,
    "at least": operator.ge,
    "below": operator.lt,
    "above": operator.gt,
}


@dataclass(frozen=True)
class Figure:
    """One measured value."""

    what: str
    value: float | None
    """None: unknown; it could not be measured."""
    unit: str
    """Of the value; empty for a ratio or a count."""
    goal: Goal | None = None
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without a goal or a value."""
        if self.goal is None or self.value is None:
            return None
        kind, bound = self.goal
        return MEETS[kind](self.value, bound)

    def to_dict(self) -> dict[str, Any]:
        """Return the figure as JSON."""
        return {**asdict(self), "is_met": self.is_met}

    def to_row(self) -> str:
        """Return the figure as a row of a Markdown table."""
        value = "unknown" if self.value is None else f"{self.value:.4g} {self.unit}".strip()
        goal = "" if self.goal is None else f"{self.goal[0]} {self.goal[1]:g}"
        missed = " (missed)" if self.is_met is False else ""
        what = f"{self.what} ({self.note})" if self.note else self.what
        return f"| {what} | {value} | {goal}{missed} |"


class Spans:
    """Times of one thing that was done often."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.cpu_s = 0.0

    def time(self, run: Callable[[], Any]) -> Any:
        """Run and note wall and CPU time; the CPU time is that of all threads."""
        cpu = time.process_time_ns()
        began = time.perf_counter_ns()
        result = run()
        self.seconds.append((time.perf_counter_ns() - began) / 1e9)
        self.cpu_s += (time.process_time_ns() - cpu) / 1e9
        return result

    @property
    def p50_s(self) -> float:
        """The median."""
        return statistics.median(self.seconds)

    @property
    def p99_s(self) -> float:
        """What 99 of 100 stay below."""
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[98]

    @property
    def mean_cpu_s(self) -> float:
        """CPU time of one, all threads together."""
        return self.cpu_s / len(self.seconds)


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, load now, and time stolen since the start."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    return {
        "processor": name or platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "steal_s": _steal_s(),
    }


def _steal_s() -> float | None:
    """Return the seconds that other machines on this host have taken, all cores together."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    fields = stat.read_text(encoding="utf-8").splitlines()[0].split()
    return round(int(fields[8]) / os.sysconf("SC_CLK_TCK"), 2)
