"""The end of a run's log, as a person would have seen it in a terminal."""

import os
import re
from pathlib import Path

from training.job_facts import LOG

TAIL_BYTES = 2**16
MAX_LINE = 500
"""Characters of a line that are kept."""
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)")
"""What turns colours on and moves the cursor."""


def log_tail(folder: Path, lines: int) -> str:
    """Return the last lines of a run's log, at most so many; empty while there is none.

    Of a line that was written over, as progress bars do, the last state is left.
    """
    try:
        with (folder / LOG).open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
            file.seek(start)
            read = file.read(TAIL_BYTES)
    except OSError:
        return ""
    if start:
        read = read[read.find(b"\n") + 1 :]
    text = ESCAPES.sub("", read.decode("utf-8", "replace"))
    shown = [_last_state(line)[:MAX_LINE] for line in text.split("\n")]
    return "\n".join([line for line in shown if line.strip()][-lines:])


def _last_state(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part.strip()), "")
