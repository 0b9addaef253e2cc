"""Workers killed by the system at any moment, half of them inside a save: nothing is lost."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.training.tiny_runs import STATE, Workers, events_of, make_run, wait_for
from training.checkpoints import clear_parts, committed, newest_valid
from training.events import current, read_events
from training.run_folder import CHECKPOINTS

STEPS = 36
SETTINGS = {
    "method": "qlora",
    "rank": 64,
    "max_steps": STEPS,
    "checkpoint_every": 2,
    "eval_every": 6,
    "patience": 50,
}
LEARNT = ("adapter/adapter_model.safetensors", "adapter/adapter_config.json")


@pytest.fixture(scope="module")
def whole(home: Path, workers: Workers) -> Path:
    """A run that nothing interrupted."""
    folder = make_run(home, "whole-kills", **SETTINGS)
    assert workers.run(folder) == 0, (folder / "log.txt").read_text()
    return folder


def test_five_kills_change_no_byte(home: Path, workers: Workers, whole: Path) -> None:
    folder = make_run(home, "killed-5", **SETTINGS)
    kill_often(workers, folder, kills=5, seed=5)
    assert_same(folder, whole)


@pytest.mark.long
def test_fifteen_kills_change_no_byte(home: Path, workers: Workers, whole: Path) -> None:
    folder = make_run(home, "killed-15", **SETTINGS)
    kill_often(workers, folder, kills=15, seed=15)
    assert_same(folder, whole)


def kill_often(workers: Workers, folder: Path, *, kills: int, seed: int) -> None:
    """Kill the run's workers, every other one inside a save, then let it end."""
    draw, in_save = random.Random(seed), 0
    for number in range(kills):
        pid = workers.start(folder)
        wants_save = 2 * in_save <= number
        wait_for_moment(folder, draw, wants_save=wants_save)
        os.kill(pid, signal.SIGKILL)
        assert workers.wait() == -signal.SIGKILL, "it had ended before it could be killed"
        in_save += bool(list((folder / CHECKPOINTS).glob(".step-*.part")))
    assert 2 * in_save >= kills
    assert workers.run(folder) == 0, (folder / "log.txt").read_text()
    told = events_of(folder, "warning")
    assert sum(event["what"] == "unfinished_save_deleted" for event in told) == in_save


def wait_for_moment(folder: Path, draw: random.Random, *, wants_save: bool) -> None:
    """Return at a random moment: soon after some step, or while a checkpoint is written."""
    seen = len(events_of(folder, "step"))
    after = seen + draw.randint(1, 3)
    checkpoints = folder / CHECKPOINTS
    wait_for(folder, lambda: len(events_of(folder, "step")) >= after)
    if not wants_save:
        time.sleep(draw.uniform(0, 0.03))
        return
    clean = set(committed(checkpoints))
    while not any(name.startswith(".step-") for name in os.listdir(checkpoints)):
        assert len(clean) < STEPS
    time.sleep(draw.uniform(0, 0.004))


def assert_same(folder: Path, whole: Path) -> None:
    """Compare what was learnt, the state it can go on from, and every loss on the way."""
    for name in LEARNT + tuple(f"{CHECKPOINTS}/step-{STEPS}/{each}" for each in STATE):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert losses(folder) == losses(whole)
    assert len(losses(whole)) == STEPS + STEPS // 6
    assert clear_parts(folder / CHECKPOINTS) == ()
    assert newest_valid(folder / CHECKPOINTS)[1] == ()


def losses(folder: Path) -> list[tuple[str, int, float, float | None]]:
    """Return every loss, gradient norm and evaluation as a curve shows them, by step."""
    return [
        (event["kind"], event["step"], event["loss"], event.get("grad_norm"))
        for event in current(read_events(folder))
        if event["kind"] in ("step", "eval")
    ]
