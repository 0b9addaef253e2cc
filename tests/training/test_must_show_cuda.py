"""On a GPU: a kill changes no byte, and a run takes the memory that its estimate said."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import PROJECT
from tests.training.test_kills import LEARNT, SETTINGS, losses
from tests.training.tiny_runs import config_of, events_of, make_run, settings_of, wait_for
from training.estimate import estimate

pytestmark = pytest.mark.gpu


def started(home: Path, folder: Path) -> "subprocess.Popen[bytes]":
    """Start a worker as an executor does; a fork could not use the GPU."""
    return subprocess.Popen(
        [sys.executable, "-m", "training.worker", folder],
        cwd=PROJECT,
        env={**os.environ, "UNDERSTUDY_HOME": str(home)},
    )


def test_a_kill_changes_no_byte_on_a_gpu(home: Path) -> None:
    whole, killed = (make_run(home, f"cuda-{name}", **SETTINGS) for name in ("whole", "killed"))
    assert started(home, whole).wait() == 0, (whole / "log.txt").read_text()
    for steps in (5, 17):
        with started(home, killed) as worker:
            wait_for(killed, lambda steps=steps: len(events_of(killed, "step")) >= steps)
            worker.send_signal(signal.SIGKILL)
    assert started(home, killed).wait() == 0, (killed / "log.txt").read_text()
    for name in LEARNT:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    assert losses(killed) == losses(whole)


def test_a_run_takes_what_its_estimate_said_on_a_gpu(home: Path) -> None:
    values = {**SETTINGS, "max_steps": 12}
    told = estimate(config_of(home, **values), settings_of(home))
    folder = make_run(home, "cuda-estimated", **values)
    assert started(home, folder).wait() == 0, (folder / "log.txt").read_text()
    took_gb = max(event["memory_gb"] for event in events_of(folder, "step"))
    assert told.memory_gb == pytest.approx(took_gb, rel=0.1, abs=0.05)
