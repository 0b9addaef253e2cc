"""What a run's events tell as curves and samples: read on from where the last look ended.

A look costs what was written since the one before, and a curve has a bounded number of points, so a
run of 100,000 steps is followed as one of a hundred is.
"""

import math
import os
import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from training.events import NAME, Event, parse
from training.thinning import bucket_size, thinned

FIGURES: Mapping[str, str] = {
    "loss": "loss",
    "learning_rate": "lr",
    "tokens_per_s": "tokens_per_s",
    "memory_gb": "memory_gb",
}
"""What a step tells: the curve's name, and the event's key."""
EVAL = "eval_loss"
REMEMBERED = 8
"""Runs whose curves stay in memory, with 48 bytes a step."""
MAX_WARNINGS = 50
"""Warnings that are kept, the newest."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure over the steps."""

    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model said to one prompt."""

    prompt: str
    target: str
    before: str | None = None
    """By the base; None: it was not asked."""
    after: str | None = None
    """By what was learnt; None: it was not asked yet."""


@dataclass(frozen=True, slots=True)
class History:
    """A run so far, without the steps that a later attempt did again."""

    curves: Mapping[str, Curve] = field(hash=False)
    """By the names of `FIGURES`, and `eval_loss`."""
    attempts: int
    resumed_at: tuple[int, ...]
    """Steps that later attempts went on from."""
    samples: tuple[Sample, ...]
    tokens: int
    """Trained on, without padding."""
    worked_s: float
    """Seconds that workers were at it, the repeated steps included."""
    started: Event = field(hash=False)
    """What the newest attempt said when it began; empty before the first."""
    completed: Event = field(hash=False)
    """What the worker said of the result; empty before the end."""


class Histories:
    """The histories of one home's runs; safe to share between threads."""

    def __init__(self, runs: Path) -> None:
        """`runs` holds the runs' folders."""
        self._runs = runs
        self._lock = threading.Lock()
        self._readers: OrderedDict[str, _Reader] = OrderedDict()

    def look(self, run: str, points: Mapping[str, int]) -> History:
        """Return a run's history, each curve with at most so many points.

        `run` must be the name of a run that exists: it is not checked here.
        """
        return self._reader(run).look(points)

    def stamp(self, run: str, points: int) -> tuple[int, ...]:
        """Return what changes once curves of so many points would look otherwise."""
        return self._reader(run).stamp(points)

    def warnings(self, run: str) -> tuple[Event, ...]:
        """Return the newest warnings of a run's workers, oldest first."""
        return self._reader(run).warnings()

    def _reader(self, run: str) -> "_Reader":
        with self._lock:
            reader = self._readers.setdefault(run, _Reader(self._runs / run / NAME))
            self._readers.move_to_end(run)
            while len(self._readers) > REMEMBERED:
                self._readers.popitem(last=False)
            return reader


class _Reader:
    """Reads one run's events on; what a kill tore off the last line counts once it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._inode, self._offset, self._told = 0, 0, _Told()

    def look(self, points: Mapping[str, int]) -> History:
        with self._lock:
            self._read_on()
            return self._told.history(points)

    def stamp(self, points: int) -> tuple[int, ...]:
        with self._lock:
            self._read_on()
            return (self._inode, *self._told.stamp(points))

    def warnings(self) -> tuple[Event, ...]:
        with self._lock:
            self._read_on()
            return tuple(self._told.warnings)

    def _read_on(self) -> None:
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset, self._told = status.st_ino, 0, _Told()
                file.seek(self._offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        return
                    self._offset += len(line)
                    if (event := parse(line)) is not None:
                        self._told.take(event)
        except OSError:
            return


class _Told:
    """What the events so far have told."""

    def __init__(self) -> None:
        self._steps, self._tokens, self._eval_steps = array("q"), array("q"), array("q")
        self._values = {name: array("d") for name in FIGURES}
        self._eval_values = array("d")
        self._resumed_at: list[int] = []
        self._samples: dict[str, Sample] = {}
        self.warnings: list[Event] = []
        self._start: Event = {}
        self._end: Event = {}
        self._attempts = self._others = 0
        self._worked_s = 0.0
        self._last_at: tuple[object, float] = (0, math.nan)
        """Attempt and time of the newest event."""
        self._takes: Mapping[str, Callable[[Event], None]] = {
            "started": self._started,
            "step": self._stepped,
            "eval": self._evaluated,
            "sample": self._sampled,
            "warning": self._warned,
            "completed": self._completed,
        }

    def take(self, event: Event) -> None:
        """Take one more event in; kinds that no curve shows are passed over."""
        at = (event["attempt"], _number(event.get("t")))
        if at[0] == self._last_at[0] and at[1] > self._last_at[1]:
            self._worked_s += at[1] - self._last_at[1]
        self._last_at = at
        take = self._takes.get(str(event["kind"]))
        if take is not None and type(event["step"]) is int:
            take(event)

    def history(self, points: Mapping[str, int]) -> History:
        """Return what was told, thinned."""
        curves = {name: _curve(self._steps, self._values[name], points[name]) for name in FIGURES}
        curves[EVAL] = _curve(self._eval_steps, self._eval_values, points[EVAL])
        return History(
            curves=curves,
            attempts=self._attempts,
            resumed_at=tuple(self._resumed_at),
            samples=tuple(self._samples.values()),
            tokens=sum(self._tokens),
            worked_s=self._worked_s,
            started=self._start,
            completed=self._end,
        )

    def stamp(self, points: int) -> tuple[int, ...]:
        """Return how far it is, in stretches of the thinned curves."""
        done = len(self._steps)
        stretch = bucket_size(done, points)
        return stretch, done // stretch, len(self._eval_steps), self._attempts, self._others

    def _started(self, event: Event) -> None:
        """Forget what this attempt will do again."""
        step = int(event["step"])
        kept, evaluated = bisect_right(self._steps, step), bisect_right(self._eval_steps, step)
        del self._steps[kept:], self._tokens[kept:]
        for values in self._values.values():
            del values[kept:]
        del self._eval_steps[evaluated:]
        del self._eval_values[evaluated:]
        self._start, self._end = event, {}
        self._attempts += 1
        if self._attempts > 1:
            self._resumed_at = [at for at in self._resumed_at if at < step] + [step]
        self._samples = {name: replace(one, after=None) for name, one in self._samples.items()}

    def _stepped(self, event: Event) -> None:
        self._steps.append(event["step"])
        self._tokens.append(tokens if type(tokens := event.get("tokens")) is int else 0)
        for name, key in FIGURES.items():
            self._values[name].append(_number(event.get(key)))

    def _evaluated(self, event: Event) -> None:
        self._eval_steps.append(event["step"])
        self._eval_values.append(_number(event.get("loss")))

    def _sampled(self, event: Event) -> None:
        prompt, said = str(event.get("prompt")), str(event.get("completion"))
        known = self._samples.get(prompt) or Sample(prompt, str(event.get("target")))
        is_before = event.get("when") == "before"
        self._samples[prompt] = replace(known, **{"before" if is_before else "after": said})
        self._others += 1

    def _completed(self, event: Event) -> None:
        self._end = event
        self._others += 1

    def _warned(self, event: Event) -> None:
        self.warnings = [*self.warnings, event][-MAX_WARNINGS:]
        self._others += 1


def _curve(steps: "array[int]", values: "array[float]", points: int) -> Curve:
    kept = thinned(values, points)
    return Curve(tuple(steps[at] for at in kept), tuple(values[at] for at in kept))


def _number(value: Any) -> float:
    """Return a figure; NaN for what is no number, which events hold as text."""
    return float(value) if type(value) in (int, float) else math.nan
