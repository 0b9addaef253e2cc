"""What a command of `python -m evals` hands back, and its exit codes."""

from dataclasses import dataclass
from typing import Any

USAGE_ERROR, INVALID, CRASH = 2, 40, 70


@dataclass(frozen=True, slots=True)
class Done:
    """What a command found."""

    value: Any
    """One JSON object, for `--json`."""
    text: str
    """The same for people."""
    exit_code: int = 0
