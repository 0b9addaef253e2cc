"""Workers on this machine: started apart, found again, stopped, and worlds of the right size."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.errors import TrainingError
from core.settings import PROJECT
from tests.training.jobs_home import kill
from tests.training.jobs_supervisor import WORKER
from training.events import read_events
from training.job_lock import held, is_held
from training.launch import EXECUTORS, LocalExecutor, Order
from training.launch.rank import check_world

RANKS = "tests.training.launch_rank"
HOLDER = """
import sys, time
from pathlib import Path
from training.job_lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "runs" / "one"
    made.mkdir(parents=True)
    (made / "script.json").write_text('{"steps": 1000, "step_s": 0.02}')
    return made


@pytest.fixture
def local(folder: Path) -> Iterator[LocalExecutor]:
    made = LocalExecutor(folder.parent, WORKER)
    yield made
    made.stop(Order(folder=folder), is_forced=True)
    until(lambda: made.status(Order(folder=folder)).presence == "absent")


def until(condition: Callable[[], bool], patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kinds(folder: Path) -> list[str]:
    return [event["kind"] for event in read_events(folder)]


def test_a_worker_is_a_session_of_its_own_and_is_found_by_anybody(
    folder: Path, local: LocalExecutor
) -> None:
    order = Order(folder=folder)
    assert local.status(order).presence == "absent"
    assert local.list() == ()
    local.submit(order)
    other = LocalExecutor(folder.parent, WORKER)
    assert other.status(order).presence in ("starting", "running")
    until(lambda: other.status(order).presence == "running")
    assert other.list() == ("one",)
    until(lambda: "started" in kinds(folder))
    started = next(event for event in read_events(folder) if event["kind"] == "started")
    process = psutil.Process(started["pid"])
    assert process.terminal() is None
    assert process.num_fds() < 20
    assert local.logs(order) == b""


def test_stop_lets_it_save_and_tells_the_exit_code(folder: Path, local: LocalExecutor) -> None:
    order = Order(folder=folder)
    local.submit(order)
    until(lambda: "step" in kinds(folder))
    local.stop(order)
    until(lambda: local.status(order).presence == "absent")
    assert local.status(order).exit_code == 0
    assert kinds(folder)[-1] == "stopped"
    local.stop(order)


def test_a_forced_stop_ends_what_does_not_listen(folder: Path, local: LocalExecutor) -> None:
    (folder / "script.json").write_text('{"steps": 1000, "step_s": 0.02, "ignores_stop": true}')
    order = Order(folder=folder)
    local.submit(order)
    until(lambda: "step" in kinds(folder))
    local.stop(order)
    count = len(kinds(folder))
    until(lambda: len(kinds(folder)) > count + 2)
    assert local.status(order).presence == "running"
    local.stop(order, is_forced=True)
    until(lambda: local.status(order).presence == "absent")
    assert local.status(order).exit_code == -signal.SIGKILL


def test_what_a_worker_prints_is_in_the_runs_log(folder: Path, local: LocalExecutor) -> None:
    (folder / "script.json").write_text('{"ends": {"0": [["exit", 3]]}}')
    order = Order(folder=folder)
    local.submit(order)
    until(lambda: local.status(order).presence == "absent")
    assert local.status(order).exit_code == 3
    assert local.logs(order) == b"cannot go on: the moon is full\n"
    assert local.logs(order, 7) == b"go on: the moon is full\n"


def test_a_run_without_a_folder_is_an_error(local: LocalExecutor, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="run 'two' can't be started: No such file"):
        local.submit(Order(folder=tmp_path / "runs" / "two"))
    assert local.logs(Order(folder=tmp_path / "runs" / "two")) == b""


def test_a_killed_holder_frees_the_folder_though_its_children_live(folder: Path) -> None:
    script = HOLDER.replace("sys.stdin", "import os\n    os.fork()\n    sys.stdin")
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert is_held(folder)
    until(lambda: bool(psutil.Process(holder.pid).children()))
    (child,) = psutil.Process(holder.pid).children()
    holder.kill()
    holder.communicate()
    assert child.is_running()
    assert not is_held(folder)
    with held(folder):
        pass
    kill(child)


def test_asking_does_not_stand_in_the_way_of_who_takes_the_folder(folder: Path) -> None:
    for _ in range(3):
        asking = subprocess.Popen(
            [sys.executable, "-c", ASKER, str(folder)], cwd=PROJECT, stdout=subprocess.PIPE
        )
        assert asking.stdout is not None
        asking.stdout.readline()
        for _ in range(200):
            with held(folder):
                pass
        asking.kill()
        asking.communicate()


ASKER = """
import sys
from pathlib import Path
from training.job_lock import is_held
print("asking", flush=True)
while True:
    is_held(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_several_processes_train_together_in_a_world_of_the_size_asked_for(
    folder: Path,
) -> None:
    local = LocalExecutor(folder.parent, RANKS)
    order = Order(folder=folder, processes=2)
    local.submit(order)
    until(lambda: [path.read_text() for path in folder.glob("rank-*")] == ["2", "2"], 120)
    assert local.status(order).presence != "absent"
    assert local.list() == ("one",)
    local.stop(order)
    until(lambda: local.status(order).presence == "absent", 60)
    assert sorted(path.name for path in folder.glob("saved-*")) == ["saved-0", "saved-1"]
    assert local.status(order).exit_code == 0


def test_another_size_of_the_world_is_refused() -> None:
    check_world({"WORLD_SIZE": "2"}, 2)
    with pytest.raises(TrainingError, match="2 processes were to train together .* is '1'"):
        check_world({"WORLD_SIZE": "1"}, 2)
    with pytest.raises(TrainingError, match="WORLD_SIZE is None"):
        check_world({}, 2)


def test_executors_have_names() -> None:
    assert list(EXECUTORS) == ["local"]
