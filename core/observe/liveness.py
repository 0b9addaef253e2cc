"""Whether the process that started something still runs."""

import os
import socket
from datetime import timedelta
from pathlib import Path

PROC = Path("/proc")
UNKNOWN_START = "?"
"""Stands for the start time where the system has no /proc."""
MAX_REMOTE_AGE = timedelta(hours=1)
"""No request lives longer: what another host left running this long ago has ended."""


def process_mark() -> str:
    """Name this process as no other is named: host, process id and start time."""
    return f"{socket.gethostname()} {os.getpid()} {_start_of(os.getpid()) or UNKNOWN_START}"


def has_ended(mark: str, age: timedelta) -> bool:
    """Say whether a marked process is gone; one on another host is judged by age."""
    host, pid, start = mark.rsplit(" ", 2)
    if host != socket.gethostname():
        return age > MAX_REMOTE_AGE
    if start != UNKNOWN_START:
        return _start_of(int(pid)) != start
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _start_of(pid: int) -> str | None:
    """Return the start time in clock ticks since boot; None for an ended process."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # Field 2 is the command in brackets and may hold anything; source: proc(5).
    state, *rest = stat.rpartition(")")[2].split()
    return None if state == "Z" else rest[18]
