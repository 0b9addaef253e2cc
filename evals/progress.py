"""How far a run is, for whoever watches it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

REMOTE_REQUESTS = 8
"""Requests under way at a server, where nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far some runs are, together."""

    done: int
    """Answers there are, those of earlier sessions included."""
    total: int
    """Answers planned."""
    failures: int
    """Answers that failed in this session."""
    tokens_per_s: float | None
    """Output tokens of this session per second since its first request; None before the first."""
    left_s: float | None
    """Expected seconds to the end; None: not known yet."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who watches runs, and may stop them."""

    on_progress: Callable[[Progress], None] = lambda _: None
    """Told after each answer, on the thread that has it; must be quick."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set it to end within seconds; what was under way is asked for again on resume."""
    concurrency: int = REMOTE_REQUESTS
    """Requests under way at a server at once, at least 1; local models have their own number."""


class Count:
    """Counts what the sessions of one pool have done; safe to share between threads."""

    def __init__(self, watch: Watch) -> None:
        self._tell = watch.on_progress
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._total = self._found = self._done = self._failures = self._tokens = 0

    def plan(self, total: int, found: int) -> None:
        """Add a run: answers planned, and how many of them are there."""
        with self._lock:
            self._total += total
            self._found += found

    def add(self, done: int, failures: int, tokens: int) -> None:
        """Count answers that ended, and tell."""
        with self._lock:
            self._done += done
            self._failures += failures
            self._tokens += tokens
            passed, ended = time.monotonic() - self._began, self._done + self._failures
            left = self._total - self._found - ended
            progress = Progress(
                done=self._found + self._done,
                total=self._total,
                failures=self._failures,
                tokens_per_s=self._tokens / passed if passed > 0 else None,
                left_s=passed / ended * left if ended else None,
            )
        self._tell(progress)
