"""A command, run to its end: wall time, CPU time, and when it printed what."""

import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended well."""

    began: float
    """Seconds since 1970."""
    wall_s: float
    cpu_s: float
    """Of the process and of those that it started."""
    printed: tuple[tuple[float, bytes], ...]
    """What it printed on either channel, each piece with its moment, in seconds since 1970."""

    @property
    def lines(self) -> list[str]:
        """Return all that it printed."""
        return b"".join(piece for _, piece in self.printed).decode().splitlines()


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Ran:
    """Run the command in a folder, with these variables beside ours.

    Raises:
        RuntimeError: its exit code is not 0.
    """
    before, began = _children_cpu_s(), time.time()
    with subprocess.Popen(
        list(command),
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
    ) as process:
        assert process.stdout is not None
        pieces: list[tuple[float, bytes]] = []
        while piece := process.stdout.read(65536):
            pieces.append((time.time(), piece))
    ran = Ran(began, time.time() - began, _children_cpu_s() - before, tuple(pieces))
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[1:5])} failed: {' '.join(ran.lines[-3:])[-1000:]}")
    return ran


def _children_cpu_s() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
