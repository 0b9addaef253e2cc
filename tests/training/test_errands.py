"""Errands: found again by whoever asks next, stopped with all they started, told why they ended."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from core.errors import InputError, NotFoundError
from core.settings import Settings
from training.errand_folder import LOG, Order, finish, read_order, tell
from training.errands import KEPT, MODULE, Errands
from training.estimate import Estimate
from training.estimate_command import estimate_text

AUDIT = Order("audit", "sha256:rows", {"dataset": "talk@v1", "model": "tiny"})
HOLDS = """
import subprocess, sys
from pathlib import Path
from training.job_lock import held
with held(Path(sys.argv[1])):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    print(child.pid, flush=True)
    child.wait()
"""


class Ended:
    """A process that ended at once."""

    def poll(self) -> int:
        return 1


class Started:
    """Starts processes that hold a folder, as errands do, until they are killed."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []
        self.grandchild = 0

    def __call__(self, folder: Path) -> "subprocess.Popen[str]":
        # The words at the end are those by which an errand's process is known.
        command = [sys.executable, "-c", HOLDS, str(folder), MODULE, str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout is not None
        self.grandchild = int(process.stdout.readline())
        return process

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_env({"UNDERSTUDY_HOME": str(tmp_path)})


def test_who_asks_next_finds_the_errand_and_stopping_it_ends_all_it_started(
    settings: Settings,
) -> None:
    start = Started()
    try:
        errands = Errands(settings, start)
        asked = errands.ask(AUDIT)
        assert errands.ask(AUDIT) == asked, "the same is not begun twice"
        with pytest.raises(InputError, match="another audit is at work"):
            errands.ask(Order("audit", "sha256:other", {}))
        restarted = Errands(settings)
        tell(settings.home / "errands" / asked.id, "step 3 of 10")
        found = restarted.newest("audit", AUDIT.subject)
        assert found is not None
        assert (found.id, found.status, found.progress) == (asked.id, "working", "step 3 of 10")
        assert restarted.newest("estimate") is None
        restarted.stop("audit")
        start.processes[0].wait(30)
        found = errands.newest("audit")
        assert found is not None
        assert found.status == "stopped"
        assert _is_gone(start.grandchild)
        with pytest.raises(NotFoundError, match="no audit is at work"):
            errands.stop("audit")
    finally:
        start.close()


def test_a_process_that_ends_without_a_word_is_interrupted_and_its_last_words_are_shown(
    settings: Settings,
) -> None:
    def start(folder: Path) -> Ended:
        (folder / LOG).write_text("Traceback\nMemoryError: too much\n")
        return Ended()

    errand = Errands(settings, start).ask(AUDIT)
    assert (errand.status, errand.error) == ("interrupted", "MemoryError: too much")
    assert errand.result == {}


def test_results_outlive_the_app_and_old_ones_are_swept_away(settings: Settings) -> None:
    def start(folder: Path) -> Ended:
        finish(folder, "done", {"rows": read_order(folder).arguments["n"]})
        return Ended()

    errands = Errands(settings, start)
    for n in range(KEPT + 5):
        errands.ask(Order("audit", f"rows {n % 2}", {"n": n}))
    assert len(list((settings.home / "errands").iterdir())) == KEPT
    found = Errands(settings).newest("audit", "rows 1")
    assert found is not None
    assert found.result == {"rows": KEPT + 3}


def test_a_real_process_carries_an_errand_out(settings: Settings) -> None:
    errands = Errands(settings)
    asked = errands.ask(Order("audit", "x", {
        "dataset": "gone@v1", "model": "understudy", "max_length": 64, "against": [],
    }))  # fmt: skip
    while (found := errands.newest("audit")) is None or found.status == "working":
        time.sleep(0.02)
    assert found.id == asked.id
    assert (found.status, found.error[:10]) == ("failed", "no dataset"), found


def test_an_estimate_for_people_says_what_fits_or_what_would() -> None:
    large = Estimate(fits=False, memory_gb=9.0, free_gb=4.0, advice=("set rank to 8",))
    assert "does not fit" in estimate_text(large)
    assert "set rank to 8" in estimate_text(large)
    small = Estimate(
        fits=True, memory_gb=1.0, free_gb=4.0, steps=20, step_s=0.5, tokens=9000,
        tokens_per_s=900.0, duration_s=10.0, cost=0.0125,
    )  # fmt: skip
    assert "steps: 20, 0.50 s each" in estimate_text(small)
    assert "cost: 0.0125" in estimate_text(small)


def _is_gone(pid: int) -> bool:
    """Say whether a process has ended; one that nobody has asked for yet is a zombie."""
    try:
        process = psutil.Process(pid)
        process.wait(30)
    except psutil.NoSuchProcess:
        return True
    return not process.is_running()
