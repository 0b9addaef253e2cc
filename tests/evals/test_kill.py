"""`kill -9` at random moments: no answer is lost, none is there twice, the grades are the same."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from core.settings import PROJECT
from evals.lock import is_held
from evals.run_files import RunFolder, open_run
from tests.evals.run_parts import TASK, write_task

ITEMS = 400
LONGEST_S = 240.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "evals", "run", *arguments, "--json"]


def run(home: Path, *arguments: str) -> dict:
    """Carry a run out in a process of its own, to its end."""
    done = subprocess.run(
        command(*arguments), cwd=PROJECT, env=environment(home), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "UNDERSTUDY_HOME": str(home), "OMP_NUM_THREADS": "1"}


def killed(
    home: Path,
    after_s: float,
    *arguments: str,
    has_begun: Callable[[RunFolder], bool] | None = None,
) -> tuple[RunFolder, bool]:
    """Begin or take up a run, and kill it so long after it has begun; say if it was in time.

    It has begun when it holds the run, unless told otherwise.
    """
    begun = has_begun or (lambda folder: is_held(folder.path))
    with subprocess.Popen(
        command(*arguments),
        cwd=PROJECT,
        env=environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        folder = open_run(home, process.stderr.readline().strip())
        until = time.monotonic() + LONGEST_S
        while not begun(folder) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.stderr.read()
    return folder, process.returncode == -signal.SIGKILL


def answers(folder: RunFolder) -> dict:
    return {row.key: (row.text, row.tool_calls) for row in folder.rows() if row.status == "ok"}


def check_same(folder: RunFolder, first: RunFolder) -> None:
    """Check a run that was killed against one that never was."""
    assert Counter(row.key for row in folder.rows()) == dict.fromkeys(folder.manifest().keys, 1)
    assert answers(folder) == answers(first)
    name = "grades.jsonl"
    assert (folder.path / name).read_bytes() == (first.path / name).read_bytes()
    summary, whole = folder.summary(), first.summary()
    for part in ("metrics", "repaired", "failures", "n", "missing", "status", "bounds"):
        assert summary[part] == whole[part]


@pytest.mark.slow
@pytest.mark.parametrize("kills", [4, pytest.param(10, marks=pytest.mark.long)])
def test_kills_of_planned_batches_leave_the_grades_of_a_run_that_was_never_killed(tmp_path, kills):
    write_task(tmp_path, ITEMS)
    asked = ("--model", "understudy", "--task", TASK, "--deterministic")
    first = open_run(tmp_path, run(tmp_path, *asked)["run"])
    moments, left, folder = random.Random(11), kills, None
    while left:
        again = asked if folder is None else ("--resume", folder.run)
        before = {} if folder is None else answers(folder)
        folder, was_killed = killed(tmp_path, moments.uniform(0.0, 2.5), *again)
        left -= was_killed
        assert before.items() <= answers(folder).items()  # No finished batch is lost.
        if not was_killed:  # It was faster: the rest of the kills are another run's.
            check_same(folder, first)
            folder = None
        elif folder.summary() is None:
            assert folder.status() == "interrupted"
    if folder is not None:
        run(tmp_path, "--resume", folder.run)
        check_same(folder, first)


@pytest.mark.slow
def test_a_kill_of_a_free_run_costs_only_what_was_under_way(tmp_path):
    write_task(tmp_path, ITEMS)
    asked = ("--model", "understudy", "--task", TASK, "--no-cache")

    def has_answers(folder: RunFolder) -> bool:
        path = folder.generations_path
        return path.exists() and path.stat().st_size > 20_000  # Some thirty answers.

    folder, was_killed = killed(tmp_path, 0.0, *asked, has_begun=has_answers)
    before = answers(folder)
    assert was_killed
    assert 0 < len(before) < ITEMS
    resumed = run(tmp_path, "--resume", folder.run)
    assert (resumed["status"], resumed["missing"]) == ("completed", 0)
    assert Counter(row.key for row in folder.rows()) == dict.fromkeys(folder.manifest().keys, 1)
    assert before.items() <= answers(folder).items()
