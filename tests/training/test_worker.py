"""The worker: stops and saves, resumes, refuses what it must, and says why it failed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from core.settings import PROJECT
from tests.training.test_checkpoints import flip_bit, truncate, zero_half
from tests.training.test_kills import losses
from tests.training.tiny_runs import (
    STATE,
    Workers,
    events_of,
    make_run,
    talk,
    wait_for,
    write_rows,
)
from training.checkpoints import commit, committed, part_of, read_manifest, verify
from training.events import current, endings, failed_twice_at, read_events
from training.registry import training_figures
from training.run_folder import CHECKPOINTS
from training.run_warnings import warning_text

SETTINGS = {"max_steps": 8, "checkpoint_every": 2, "eval_every": 4}
COMPLETED, FAILED, USAGE, STOPPED = 0, 1, 2, 75


@pytest.fixture(scope="module")
def whole(home: Path, workers: Workers) -> Path:
    folder = make_run(home, "whole-worker", **SETTINGS)
    assert workers.run(folder) == COMPLETED, (folder / "log.txt").read_text()
    return folder


def copy_of(run: Path, name: str) -> Path:
    """Return a copy of a run's folder, as another disk would have it."""
    target = run.parent / name
    shutil.copytree(run, target)
    return target


def test_a_run_tells_of_every_step_evaluation_and_checkpoint(whole: Path) -> None:
    (started,) = events_of(whole, "started")
    assert (started["step"], started["total_steps"], started["examples"]) == (0, 8, 32)
    assert started["adapted_layers"] == 14
    assert 0 < started["trainable_parameters"] < started["parameters"]
    steps = events_of(whole, "step")
    assert [event["step"] for event in steps] == list(range(1, 9))
    for event in steps:
        assert event["loss"] > 0
        assert event["lr"] >= 0
        assert event["tokens_per_s"] > 0
        assert event["memory_gb"] > 0
    assert [event["step"] for event in events_of(whole, "eval")] == [4, 8]
    assert {event["step"] for event in events_of(whole, "checkpoint")} == {2, 4, 6, 8}
    assert [event["when"] for event in events_of(whole, "sample")] == ["before"] * 3 + ["after"] * 3
    (completed,) = events_of(whole, "completed")
    assert completed["path"] == "adapter"
    assert json.loads((whole / "heartbeat.json").read_text())["phase"] == "ended"


def test_the_best_checkpoint_is_what_was_learnt(whole: Path) -> None:
    evals = {event["step"]: event["loss"] for event in events_of(whole, "eval")}
    best = min(evals, key=lambda step: evals[step])
    (completed,) = events_of(whole, "completed")
    assert completed["best_step"] == best
    assert completed["eval_loss"] == evals[best]
    own = whole / CHECKPOINTS / f"step-{best}" / "adapter_model.safetensors"
    assert (whole / "adapter/adapter_model.safetensors").read_bytes() == own.read_bytes()
    config = json.loads((whole / "adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "llama"


def test_a_lost_best_checkpoint_is_told_of_and_another_takes_its_place(
    whole: Path, workers: Workers
) -> None:
    folder = copy_of(whole, "best-lost")
    make_best(folder / CHECKPOINTS, last=8, best=4)
    flip_bit(folder / CHECKPOINTS / "step-4" / "adapter_model.safetensors")
    shutil.rmtree(folder / "adapter")
    assert workers.run(folder) == COMPLETED, (folder / "log.txt").read_text()
    (told,) = [e for e in events_of(folder, "warning") if e["what"] == "best_checkpoint_lost"]
    assert (told["step_lost"], told["used"]) == (4, 8)
    assert warning_text(told).startswith("step 8: the best checkpoint, step 4, is lost (adapter")
    completed = events_of(folder, "completed")[-1]
    assert (completed["best_step"], completed["best_step_lost"]) == (8, 4)
    figures = training_figures(list(current(read_events(folder))))
    assert (figures["best_step"], figures["best_step_lost"]) == (8, 4)
    own = folder / CHECKPOINTS / "step-8" / "adapter_model.safetensors"
    assert (folder / "adapter/adapter_model.safetensors").read_bytes() == own.read_bytes()


def make_best(checkpoints: Path, last: int, best: int) -> None:
    """Let the last checkpoint say that the evaluation of a step was the best."""
    own = checkpoints / f"step-{last}"
    manifest, part = read_manifest(own), part_of(checkpoints, last)
    for name in manifest.files:
        shutil.copyfile(own / name, part / name)
    state = json.loads((part / "trainer_state.json").read_text())
    for told in state["log_history"]:
        told["eval_loss"] = 0.5 if told["step"] == best else 1.0
    (part / "trainer_state.json").write_text(json.dumps(state))
    shutil.rmtree(own)
    commit(part, last, manifest.plan, manifest.setting)


def test_a_stop_saves_and_the_rest_is_as_if_there_was_none(
    home: Path, workers: Workers, whole: Path
) -> None:
    folder = make_run(home, "stopped", **SETTINGS)
    pid = workers.start(folder)
    wait_for(folder, lambda: events_of(folder, "step"))
    os.kill(pid, signal.SIGTERM)
    assert workers.wait() == STOPPED
    (stopped,) = events_of(folder, "stopped")
    assert committed(folder / CHECKPOINTS)[-1] == stopped["step"] < 8
    assert workers.run(folder) == COMPLETED
    assert losses(folder) == losses(whole)
    for name in STATE:
        path = f"{CHECKPOINTS}/step-8/{name}"
        assert (folder / path).read_bytes() == (whole / path).read_bytes()


def test_saves_by_time_change_no_number(home: Path, workers: Workers, whole: Path) -> None:
    by_time = {**SETTINGS, "checkpoint_every": None, "checkpoint_every_s": 0.001}
    folder = make_run(home, "by-time", **by_time)
    assert workers.run(folder) == COMPLETED
    assert {event["step"] for event in events_of(folder, "checkpoint")} == set(range(1, 9))
    assert committed(folder / CHECKPOINTS) in ((6, 7, 8), (4, 6, 7, 8))
    assert losses(folder) == losses(whole)


def test_a_stop_before_the_first_step_is_a_stop(home: Path, workers: Workers) -> None:
    folder = make_run(home, "hardly-begun", **SETTINGS)
    pid = workers.start(folder)
    wait_for(folder, lambda: (folder / "heartbeat.json").exists())
    workers.stop(pid)
    assert workers.wait() == STOPPED
    assert events_of(folder, "stopped")
    assert workers.run(folder) == COMPLETED


def test_a_completed_run_completes_again_without_a_step(workers: Workers, whole: Path) -> None:
    folder = copy_of(whole, "again")
    shutil.rmtree(folder / "adapter")
    assert workers.run(folder) == COMPLETED
    assert (folder / "adapter/adapter_model.safetensors").is_file()
    assert [e["attempt"] for e in events_of(folder, "step")] == [1] * 8


@pytest.mark.parametrize("damage", [truncate, zero_half, flip_bit, Path.unlink])
@pytest.mark.parametrize("name", ["optimizer.pt"])
def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
    workers: Workers, whole: Path, damage: Callable[[Path], None], name: str
) -> None:
    folder = copy_of(whole, f"damaged-{damage.__name__}")
    damage(folder / CHECKPOINTS / "step-8" / name)
    assert workers.run(folder) == COMPLETED
    (warning,) = [e for e in events_of(folder, "warning") if "damaged" in e["what"]]
    assert warning["path"] == "checkpoints/step-8.damaged"
    assert name in warning["reason"]
    assert events_of(folder, "started")[-1]["resumed_from"] == "step-6"
    assert losses(folder) == losses(whole)
    verify(folder / CHECKPOINTS / "step-8")


def test_a_second_worker_on_a_run_is_refused(home: Path, workers: Workers) -> None:
    folder = make_run(home, "contended", max_steps=2000)
    pid = workers.start(folder)
    wait_for(folder, lambda: events_of(folder, "step"))
    size = (folder / "events.jsonl").stat().st_size
    second = run_command(home, folder)
    assert second.returncode == USAGE
    assert "held by another process" in second.stderr
    assert {e["attempt"] for e in read_events(folder)} == {1}
    assert (folder / "events.jsonl").stat().st_size >= size
    os.kill(pid, signal.SIGTERM)
    assert workers.wait() == STOPPED


def test_a_full_disk_in_a_save_leaves_the_checkpoint_before(home: Path, workers: Workers) -> None:
    folder = make_run(home, "full", **SETTINGS)
    pid = workers.start(folder)
    wait_for(folder, lambda: events_of(folder, "checkpoint"))
    os.kill(pid, signal.SIGTERM)
    workers.wait()
    before = committed(folder / CHECKPOINTS)[-1]
    largest = max(p.stat().st_size for p in (folder / CHECKPOINTS / f"step-{before}").iterdir())
    assert workers.run(folder, file_limit=largest // 2) == FAILED
    (failed,) = events_of(folder, "failed")
    assert "can't be written" in failed["error"]
    assert "make room and resume" in failed["error"]
    assert failed["code"] == "STORAGE_FAILED"
    assert not failed["is_final"]
    assert committed(folder / CHECKPOINTS)[-1] == before
    verify(folder / CHECKPOINTS / f"step-{before}")
    assert not list((folder / CHECKPOINTS).glob(".*"))
    assert workers.run(folder) == COMPLETED


def test_a_loss_that_is_no_number_ends_the_run_before_it_is_saved(
    home: Path, workers: Workers
) -> None:
    folder = make_run(home, "diverging", **{**SETTINGS, "learning_rate": 0.99, "alpha": 10**9})
    for _ in range(2):
        assert workers.run(folder) == FAILED
    failed = events_of(folder, "failed")[-1]
    assert "learning_rate" in failed["error"]
    assert failed_twice_at(read_events(folder)) == failed["step"]
    assert all(step < failed["step"] for step in committed(folder / CHECKPOINTS))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_length": 16}, "no supervised token"),
        ({"recipe": "dpo", "method": "lora"}, "learns from 'preference'"),
        ({"max_length": 4096, "micro_tokens": 4096}, "reads at most 2048"),
    ],
)
def test_wrong_settings_are_final(
    home: Path, workers: Workers, change: dict[str, object], words: str
) -> None:
    folder = make_run(home, f"wrong-{next(iter(change))}-{len(words)}", **{**SETTINGS, **change})
    assert workers.run(folder) == USAGE
    (failed,) = events_of(folder, "failed")
    assert words in failed["error"]
    assert failed["is_final"]
    assert not events_of(folder, "started")


def test_other_rows_than_the_runs_are_refused(home: Path, workers: Workers) -> None:
    write_rows(home / "passing", [talk(i) for i in range(20)])
    folder = make_run(home, "other-rows", **{**SETTINGS, "dataset": str(home / "passing")})
    path = folder / "dataset" / "rows.jsonl"
    content = path.read_text()
    path.unlink()
    path.write_text(content.replace("menu", "nemu", 1))
    assert workers.run(folder) == USAGE
    assert "have changed" in events_of(folder, "failed")[0]["error"]


def test_a_checkpoint_of_other_settings_is_refused(workers: Workers, whole: Path) -> None:
    folder = copy_of(whole, "other-settings")
    spec = yaml.safe_load((folder / "run.yaml").read_text())
    spec["config"]["learning_rate"] = 5e-3
    (folder / "run.yaml").write_text(yaml.safe_dump(spec))
    assert workers.run(folder) == USAGE
    assert "other settings" in events_of(folder, "failed")[0]["error"]


def test_patience_outlives_a_resume(home: Path, workers: Workers) -> None:
    """One answer learnt by heart makes others less likely, and so ends the run at some step."""
    rows = [talk(index) for index in range(16)]
    for row in rows[:8]:
        row["messages"][-1]["content"] = "menu menu menu"
    settings = {
        **SETTINGS,
        "dataset": str(write_rows(home / "narrow", rows, evaluated=8)),
        "max_steps": 40,
        "eval_every": 2,
        "patience": 3,
        "checkpoint_every": 1,
    }
    one, two = (make_run(home, name, **settings) for name in ("patient", "patient-stopped"))
    assert workers.run(one) == COMPLETED
    (completed,) = events_of(one, "completed")
    assert completed["is_early"]
    assert completed["step"] == completed["best_step"] + 6 < 40
    while True:
        pid = workers.start(two)
        seen = len(events_of(two, "step"))
        wait_for(two, partial(has_gone_on, two, seen))
        workers.stop(pid)
        if workers.wait() == COMPLETED:
            break
    assert len(endings(read_events(two))) > 1
    assert events_of(two, "completed")[0]["step"] == completed["step"]
    assert losses(two) == losses(one)


def has_gone_on(folder: Path, seen: int) -> bool:
    """Say whether a run has done two more steps than those seen, or is done."""
    return len(events_of(folder, "step")) >= seen + 2 or bool(events_of(folder, "completed"))


@pytest.mark.slow
def test_the_command_trains_from_nothing_to_an_adapter(home: Path) -> None:
    folder = make_run(home, "command", **SETTINGS)
    done = run_command(home, folder)
    assert done.returncode == COMPLETED, (folder / "log.txt").read_text()
    assert (folder / "adapter/adapter_model.safetensors").is_file()
    assert done.stdout == ""


def run_command(home: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the worker as everyone does."""
    return subprocess.run(
        [sys.executable, "-m", "training.worker", str(folder)],
        cwd=PROJECT,
        env={**os.environ, "UNDERSTUDY_HOME": str(home), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
