"""Progress on the terminal: one line that is written over, or a line now and then in a log."""

import threading
import time
from typing import TextIO

from evals.progress import Progress

TERMINAL_S = 0.2
LOG_S = 10.0
WIDTH = 24


class Bar:
    """Shows progress on a stream; safe to share between threads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._every_s = TERMINAL_S if self._is_terminal else LOG_S
        self._lock = threading.Lock()
        self._shown_at = time.monotonic() if not self._is_terminal else float("-inf")
        self._is_open = False

    def show(self, progress: Progress) -> None:
        """Show how far it is, if the last look is long enough ago or it is done."""
        is_last = progress.done == progress.total
        with self._lock:
            now = time.monotonic()
            if not is_last and now - self._shown_at < self._every_s:
                return
            self._shown_at = now
            text = progress_text(progress)
            if self._is_terminal:
                filled = WIDTH * progress.done // max(1, progress.total)
                text = f"\r\x1b[K[{'#' * filled}{'.' * (WIDTH - filled)}] {text}"
            self._stream.write(text if self._is_terminal else f"{text}\n")
            self._stream.flush()
            self._is_open = self._is_terminal

    def close(self) -> None:
        """End the line."""
        with self._lock:
            if self._is_open:
                self._stream.write("\n")
                self._stream.flush()
                self._is_open = False


def progress_text(progress: Progress) -> str:
    """Return progress in words: answers, failures, speed, time left."""
    parts = [f"{progress.done}/{progress.total}"]
    if progress.failures:
        parts.append(f"{progress.failures} failed")
    if progress.tokens_per_s:
        parts.append(f"{progress.tokens_per_s:.0f} tokens/s")
    if progress.left_s is not None and progress.done < progress.total:
        minutes, seconds = divmod(round(progress.left_s), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return ", ".join(parts)
