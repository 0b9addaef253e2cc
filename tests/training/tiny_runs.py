"""Runs of tiny models in a home of their own, and workers that can be killed for real."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from core.catalog_files import load_catalog
from core.settings import PROJECT, Settings
from tests.tiny_models import TEXT, save_gpt2, save_llama
from training.config import TrainConfig
from training.events import Event, read_events
from training.run_folder import create_run

WORDS = TEXT.split()
STATE = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
QUICK = {
    "batch_size": 4,
    "max_length": 128,
    "micro_tokens": 256,
    "learning_rate": 1e-2,
    "rank": 8,
    "alpha": 16,
    "dropout": 0.1,
}


def make_home(home: Path) -> Path:
    """Write two tiny models, a catalog that knows them, and a dataset with a split."""
    save_llama(home / "llama")
    save_gpt2(home / "gpt2")
    models = {
        name: {"provider": "local", "path": str(home / name), "context": 2048}
        for name in ("llama", "gpt2")
    }
    (home / "catalog.yaml").write_text(yaml.safe_dump({"models": models}), encoding="utf-8")
    write_rows(home / "talk", [talk(i) for i in range(40)], evaluated=8)
    return home


def talk(index: int) -> dict[str, Any]:
    """Return a conversation of its own length."""
    draw = random.Random(index)
    asked = " ".join(draw.choices(WORDS, k=draw.randint(2, 24)))
    said = " ".join(draw.choices(WORDS, k=draw.randint(1, 12)))
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return {"id": str(index), "messages": messages}


def write_rows(folder: Path, rows: Sequence[Mapping[str, Any]], evaluated: int = 0) -> Path:
    """Write rows, the last ones for evaluation."""
    (folder / "splits").mkdir(parents=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(lines, encoding="utf-8")
    if evaluated:
        ids = [str(row["id"]) for row in rows]
        for side, own in (("train", ids[:-evaluated]), ("eval", ids[-evaluated:])):
            text = "".join(f"{name}\n" for name in own)
            (folder / "splits" / f"{side}.ids").write_text(text, encoding="utf-8")
    return folder


def settings_of(home: Path) -> Settings:
    """Return the settings of a home."""
    return Settings.from_env({"UNDERSTUDY_HOME": str(home)})


def config_of(home: Path, **values: Any) -> TrainConfig:
    """Return the settings of a quick run."""
    given = {"model": "llama", "dataset": str(home / "talk"), **QUICK, **values}
    return TrainConfig.from_dict(given)


def make_run(home: Path, name: str, **values: Any) -> Path:
    """Make the folder of a quick run."""
    return create_run(home, name, config_of(home, **values), load_catalog(settings_of(home)))


def events_of(folder: Path, *kinds: str) -> list[Event]:
    """Return the run's events of these kinds."""
    return [event for event in read_events(folder) if event["kind"] in kinds]


def wait_for(folder: Path, is_so: Callable[[], object]) -> None:
    """Wait until something is so; a run that fails meanwhile fails the test."""
    while not is_so():
        assert not events_of(folder, "failed"), (folder / "log.txt").read_text()
        time.sleep(0.005)


class Workers:
    """Starts workers by forking a process that has imported everything, which saves 11 s each."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.training.forking_workers", str(home)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._running = 0

    def start(self, folder: Path, **how: Any) -> int:
        """Start a worker; return its process id. One that a failed test has left is ended."""
        if self._running:
            self.stop(self._running, signal.SIGKILL)
            self.wait()
        self._running = self._ask({"folder": str(folder), **how})["pid"]
        return self._running

    def wait(self) -> int:
        """Wait for the worker to end; return its exit code, negative for a signal."""
        code = self._answer()["code"]
        self._running = 0
        return code

    def stop(self, pid: int, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask a worker to stop and save; it may have ended by itself."""
        with suppress(ProcessLookupError):
            os.kill(pid, how)

    def run(self, folder: Path, **how: Any) -> int:
        """Start a worker and wait for it."""
        self.start(folder, **how)
        return self.wait()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, question: Mapping[str, Any]) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, int]:
        assert self._process.stdout is not None
        answer: dict[str, int] = json.loads(self._process.stdout.readline())
        return answer
