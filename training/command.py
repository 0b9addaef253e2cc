"""What a command of `python -m training` hands back, and its exit codes."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.settings import Settings

USAGE_ERROR, CRASH = 2, 70


@dataclass(frozen=True, slots=True)
class Done:
    """What a command found."""

    value: Any
    """One JSON object, for `--json`."""
    text: str
    """The same for people."""
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """One word of the command line."""

    work: Callable[[argparse.Namespace, Settings], Done]
    add_arguments: Callable[[argparse.ArgumentParser], None]
