"""`python -m training`: what it prints, what it exits with, and that a run outlives it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import yaml

from core.services import Services, make_services
from core.settings import PROJECT, Settings
from tests.training.jobs_home import kill
from training.job_lock import is_held
from training.jobs import Jobs

KEYS = {
    *("id", "status", "step", "total_steps", "loss", "last_commit", "last_mirrored"),
    *("resumable", "error"),
}
NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gil", "Hana")


@pytest.fixture
def home(services: Services) -> Iterator[Path]:
    """Return a home with a tiny model and rows, and end what is left in it."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Where does {name} sit, please?"},
                {"role": "assistant", "content": f"{name} sits at table {number}."},
            ]
        }
        for number, name in enumerate(NAMES)
    ]
    home = services.settings.home
    (home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    yield home
    import psutil

    for process in psutil.process_iter():
        try:
            words, environment = process.cmdline(), process.environ()
        except psutil.Error:
            continue
        is_ours = any(word.startswith("training.") for word in words)
        if is_ours and environment.get("UNDERSTUDY_HOME") == str(home):
            kill(process)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "training", *words]


def run(*words: str, exit_code: int = 0) -> dict:
    """Run a command with `--json`; return the one object that it prints."""
    done = subprocess.run(
        [*command(*words), "--json"], cwd=PROJECT, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == exit_code, done.stderr
    return json.loads(done.stdout)


def config(home: Path, **values: object) -> str:
    path = home / "run.yaml"
    raw = {
        "model": "tiny",
        "dataset": "desk@v1",
        "method": "lora",
        "rank": 4,
        "alpha": 8,
        "learning_rate": 0.01,
        "max_steps": 6,
        "batch_size": 4,
        "max_length": 64,
    }
    path.write_text(yaml.safe_dump({**raw, **values}))
    return str(path)


@pytest.mark.slow
def test_from_a_file_of_rows_to_an_adapter_that_answers(home: Path, services: Services) -> None:
    imported = run("data", "import", str(home / "rows.jsonl"), "--name", "desk")
    assert (imported["read"], imported["refused"]) == (8, 0)
    done = run("run", config(home), "--name", "first")
    assert done.keys() >= KEYS
    assert (done["id"], done["status"], done["step"], done["total_steps"]) == (
        "first",
        "completed",
        6,
        6,
    )
    assert (done["error"], done["resumable"], done["last_commit"]) == (None, False, 6)
    assert done["adapter"] == "tiny@tiny-sft-v1"
    (listed,) = run("adapters", "list")["adapters"]
    assert (listed["id"], listed["run"]) == ("tiny@tiny-sft-v1", "first")
    assert run("adapters", "show", "tiny-sft-v1") == listed
    assert run("jobs", "show", "first")["status"] == "completed"
    assert [job["id"] for job in run("jobs", "list")["jobs"]] == ["first"]
    exported = run("adapters", "export", "tiny-sft-v1", "--to", str(home / "out"))
    assert exported["digest"] == listed["digest"]
    asked = subprocess.run(
        [sys.executable, "-m", "core", "chat", "tiny@tiny-sft-v1", "Who?", "--json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    adapter = json.loads(asked.stdout)["adapter"]
    assert adapter == {"id": "tiny-sft-v1", "digest": listed["digest"]}


@pytest.mark.slow
def test_ctrl_c_leaves_the_run_alone_and_stop_and_resume_lose_nothing(home: Path) -> None:
    run("data", "import", str(home / "rows.jsonl"), "--name", "desk")
    words = command("run", config(home, max_steps=4000), "--name", "long", "--json")
    follower = subprocess.Popen(
        words,
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what it puts in the background with Ctrl-C ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert follower.stderr is not None
    for line in follower.stderr:
        if "step " in line:
            break
    follower.send_signal(signal.SIGINT)
    out, told = follower.communicate(timeout=60)
    assert follower.returncode == 0
    assert json.loads(out)["status"] == "running"
    assert "long goes on; `jobs show long` tells how far it is" in told
    stopping = run("jobs", "stop", "long")
    assert stopping["status"] in ("stopping", "stopped")
    stopped = waited("long", "stopped")
    assert stopped["resumable"]
    assert stopped["last_commit"] == stopped["step"] > 0
    assert run("jobs", "resume", "long")["status"] in ("queued", "starting", "running")
    again = waited("long", "running")
    assert again["attempt"] == 2
    run("jobs", "stop", "long")
    assert waited("long", "stopped")["step"] >= stopped["step"]


def waited(name: str, status: str) -> dict:
    deadline = time.monotonic() + 120
    while (found := run("jobs", "show", name))["status"] != status:
        assert time.monotonic() < deadline, found
    return found


@pytest.mark.slow
def test_a_run_that_cannot_succeed_fails_with_the_reason(home: Path) -> None:
    run("data", "import", str(home / "rows.jsonl"), "--name", "desk")
    done = run("run", config(home, max_length=5000, micro_tokens=5000), exit_code=70)
    assert done["status"] == "failed"
    assert "reads at most" in str(done["error"])
    assert done["attempt"] == 1
    assert done["id"].startswith("tiny-sft-")


def test_an_empty_home_has_no_jobs_and_no_adapters(home: Path, settings: Settings) -> None:
    assert run("jobs", "list") == {"jobs": []}
    assert run("adapters", "list") == {"adapters": []}
    with closing(make_services(settings)) as services:
        jobs = Jobs.of(settings, services.store)
        assert not is_held(jobs.folder)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["jobs", "show", "nothing"], "no job named 'nothing'; `jobs list` names them all"),
        (["jobs", "show"], "jobs show needs the id of a job"),
        (["jobs", "list", "x"], "jobs list takes no id"),
        (["adapters", "show", "nothing"], "no adapter named 'nothing'"),
        (["adapters", "export", "x"], "--to names the new folder of an export"),
        (["run", "nowhere.yaml"], "'nowhere.yaml' can't be read: No such file"),
        (["data", "split", "nothing"], "nothing"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    home: Path, words: list[str], part: str
) -> None:
    error = run(*words, exit_code=2)["error"]
    assert part in error["message"]


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"model": "nobody"}, "no model named 'nobody'"),
        ({"rank": 0}, "rank must be a whole number of 1 to 1024, got 0"),
        ({"ranks": 4}, "unknown key 'ranks' in the run's settings; did you mean 'rank'?"),
        ({"dataset": "none@v1"}, "none"),
        ({"mirror": "nosuch://place"}, "the mirror's URL can't be used: Protocol not known"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_queued(
    home: Path, values: dict, part: str
) -> None:
    error = run("run", config(home, **values), exit_code=2)["error"]
    assert part in error["message"]
    assert run("jobs", "list") == {"jobs": []}
    assert not list((home / "runs").glob("*")) if (home / "runs").exists() else True


def test_people_get_lines_and_no_json(home: Path) -> None:
    done = subprocess.run(
        command("jobs", "list"), cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "no jobs yet\n")
    assert os.environ["UNDERSTUDY_HOME"] == str(home)
