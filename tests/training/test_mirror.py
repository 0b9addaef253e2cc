"""The mirror: a copy elsewhere that a run comes back from when its disk is gone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.errors import InputError, NotFoundError
from core.settings import PROJECT
from tests.training.test_checkpoints import flip_bit, save
from tests.training.test_kills import losses
from tests.training.tiny_runs import STATE, Workers, events_of, make_run, wait_for
from training.checkpoints import MANIFEST, committed, rotate
from training.job_lock import held, is_held
from training.mirror import Mirror
from training.mirror_files import copy_checkpoint, forget, mirrored, missing, open_store, restore
from training.mirror_state import MirrorLink, MirrorState, mirror_state
from training.run_folder import CHECKPOINTS

STEPS = 80
SETTINGS = {"max_steps": STEPS, "checkpoint_every": 8, "eval_every": 40}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder with three checkpoints, without a worker."""
    folder = tmp_path / "runs" / "r1"
    (folder / "dataset").mkdir(parents=True)
    (folder / "run.yaml").write_text("run: r1\n")
    (folder / "dataset" / "rows.jsonl").write_text("{}\n")
    (folder / "mirror").mkdir()
    for step in (10, 20, 30):
        save(folder / CHECKPOINTS, step)
    return folder


def test_everything_is_copied_and_comes_back(run: Path, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store"
    assert Mirror(run, open_store(url, "r1")).run() == 0
    state = mirror_state(run)
    assert state is not None
    assert (state.step, state.behind, state.error) == (30, 0, None)
    back = restore(url, "r1", tmp_path / "elsewhere")
    for path in (p for p in run.rglob("*") if p.is_file() and p.parent.name != "mirror"):
        assert (back / path.relative_to(run)).read_bytes() == path.read_bytes()


def test_what_has_no_manifest_yet_does_not_count(run: Path, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store"
    Mirror(run, open_store(url, "r1")).run()
    (tmp_path / "store/r1" / CHECKPOINTS / "step-30" / MANIFEST).unlink()
    assert mirrored(open_store(url, "r1")) == (10, 20)
    assert committed(restore(url, "r1", tmp_path / "else") / CHECKPOINTS) == (10, 20)


def test_a_checkpoint_that_was_damaged_in_the_store_does_not_come_back(
    run: Path, tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/store"
    Mirror(run, open_store(url, "r1")).run()
    flip_bit(tmp_path / "store/r1" / CHECKPOINTS / "step-30" / "optimizer.pt")
    assert committed(restore(url, "r1", tmp_path / "else") / CHECKPOINTS) == (10, 20)


def test_the_manifest_arrives_last(run: Path, tmp_path: Path) -> None:
    """A store that is watched while it fills never shows a checkpoint that is not whole."""
    store = open_store(f"file://{tmp_path}/store", "r1")
    is_over, bad = threading.Event(), list[int]()

    def watch() -> None:
        while not is_over.is_set():
            for step in mirrored(open_store(f"file://{tmp_path}/store", "r1")):
                names = os.listdir(tmp_path / "store/r1" / CHECKPOINTS / f"step-{step}")
                if len(names) != 3:
                    bad.append(step)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for step in range(40, 60):
        save(run / CHECKPOINTS, step, size=300)
        copy_checkpoint(run, store, step)
    is_over.set()
    watcher.join()
    assert not bad


def test_what_the_run_has_given_up_is_deleted_there_too(run: Path, tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store", "r1")
    Mirror(run, store).run()
    rotate(run / CHECKPOINTS, 1, spare={10})
    forget(run, store)
    assert mirrored(store) == (10, 30)


def test_an_emptied_disk_deletes_nothing_there(run: Path, tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store", "r1")
    Mirror(run, store).run()
    shutil.rmtree(run / CHECKPOINTS)
    save(run / CHECKPOINTS, 5)
    forget(run, store)
    assert mirrored(store) == (10, 20, 30)


def test_the_newest_goes_first(run: Path) -> None:
    assert missing(run, (20,)) == (30, 10)


def test_a_run_that_is_there_is_not_overwritten(run: Path, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/store"
    Mirror(run, open_store(url, "r1")).run()
    with pytest.raises(InputError, match="is there already"):
        restore(url, "r1", run.parent)
    with pytest.raises(NotFoundError, match="no run named 'r2'"):
        restore(url, "r2", run.parent)


@pytest.mark.parametrize("url", ["nonsense://x/y", "s3://bucket/runs"])
def test_a_store_that_cannot_be_used_is_refused(run: Path, url: str) -> None:
    done = mirror("copy", str(run), url)
    assert done.returncode == 2
    assert "can't be used" in done.stderr


def test_two_mirrors_of_a_run_are_one(run: Path, tmp_path: Path) -> None:
    with held(run / "mirror"):
        done = mirror("copy", str(run), f"file://{tmp_path}/store")
    assert done.returncode == 2
    assert not (tmp_path / "store").exists()


def test_a_mirror_that_fails_is_told_and_catches_up(run: Path, tmp_path: Path) -> None:
    """While a file stands where the folder must go, training would go on; then it is copied."""
    (tmp_path / "store").write_text("in the way")
    process = start_mirror(run, f"file://{tmp_path}/store")
    try:
        wait_for(run, lambda: (state := mirror_state(run)) is not None and state.error is not None)
        state = mirror_state(run)
        assert state is not None
        assert (state.step, state.behind) == (None, 3)
        assert state.text.startswith("nothing yet, 3 checkpoints and ")
        assert str(state.error) in state.text
        assert state.lag_s >= 0
        (tmp_path / "store").unlink()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
    assert mirrored(open_store(f"file://{tmp_path}/store", "r1")) == (10, 20, 30)
    state = mirror_state(run)
    assert state is not None
    assert (state.step, state.behind, state.error) == (30, 0, None)


def test_a_run_is_warned_of_a_mirror_that_stays_behind(run: Path) -> None:
    path = run / "mirror" / "state.json"
    link = MirrorLink(run, "file:///anywhere")
    path.write_text(json.dumps(MirrorState(step=10, behind=2).to_dict()))
    assert link.lateness(30) is None
    path.write_text(json.dumps(MirrorState(step=10, behind=3, error="no route").to_dict()))
    told = link.lateness(40)
    assert told == {"mirrored": 10, "behind": 3, "error": "no route", "newest": 40}
    assert MirrorLink(run, None).lateness(40) is None


def test_a_run_whose_disk_is_gone_goes_on_from_the_mirror(
    home: Path, workers: Workers, tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/store"
    whole = make_run(home, "whole-mirror", **SETTINGS)
    folder = make_run(home, "burnt", **SETTINGS, mirror=url)
    assert workers.run(whole) == 0
    pid = workers.start(folder)
    wait_for(folder, lambda: mirrored(open_store(url, "burnt")))
    os.kill(pid, signal.SIGKILL)
    assert workers.wait() == -signal.SIGKILL
    mirror_ends(folder)
    shutil.rmtree(folder)
    assert restore(url, "burnt", home / "runs") == folder
    assert workers.run(folder) == 0, (folder / "log.txt").read_text()
    assert events_of(folder, "started")[-1]["resumed_from"] is not None
    assert losses(folder) == losses(whole)
    names = (
        "adapter/adapter_model.safetensors",
        *(f"{CHECKPOINTS}/step-{STEPS}/{n}" for n in STATE),
    )
    for name in names:
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    mirror_ends(folder)
    assert (tmp_path / "store/burnt/adapter/adapter_model.safetensors").is_file()


def mirror_ends(folder: Path) -> None:
    """Wait until the run's mirror has nothing left to do and has ended."""
    wait_for(folder, lambda: not is_held(folder / "mirror"))


def mirror(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "training.mirror", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def start_mirror(run: Path, url: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "training.mirror", "copy", str(run), url],
        cwd=PROJECT,
        stderr=subprocess.DEVNULL,
    )
