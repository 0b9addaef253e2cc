"""A home with jobs whose workers are scripted, and the real processes that work in it."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from core.settings import PROJECT, Settings
from core.store import Store
from tests.training.jobs_supervisor import MODULE, WORKER, scripted_jobs
from training.events import read_events
from training.job_states import Status
from training.job_view import JobView

PATIENCE_S = 60.0
APP = """
import os, sys, time
from contextlib import closing
from core.settings import Settings
from core.store import open_store
from tests.training.jobs_supervisor import scripted_jobs
settings = Settings.from_env(os.environ)
with closing(open_store(settings.database_url)) as store:
    scripted_jobs(settings, store).submit(sys.argv[1])
    print("queued", flush=True)
    time.sleep(1000)
"""


class Home:
    """One home of the tests."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.jobs = scripted_jobs(settings, store)

    def run(self, name: str, **script: object) -> Path:
        """Make a run's folder, as complete as a scripted worker needs it."""
        folder = self.settings.home / "runs" / name
        folder.mkdir(parents=True)
        (folder / "run.yaml").write_text("{}")
        (folder / "script.json").write_text(json.dumps(script))
        return folder

    def submit(self, name: str, **script: object) -> JobView:
        self.run(name, **script)
        return self.jobs.submit(name)

    def until(self, name: str, condition: Callable[[JobView], bool]) -> JobView:
        """Ask, as a page does, until the condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            view = self.jobs.show(name)
            if condition(view):
                return view
            assert time.monotonic() < deadline, (view.to_dict(), self.log(), self.worker_log(name))
            time.sleep(0.02)

    def until_status(self, name: str, *statuses: Status) -> JobView:
        return self.until(name, lambda view: view.job.status in statuses)

    def until_started(self, folder: Path) -> None:
        """Wait for a worker that somebody else has started."""
        deadline = time.monotonic() + PATIENCE_S
        while not starts(folder):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def events(self, folder: Path) -> list[Mapping[str, Any]]:
        return list(read_events(folder))

    def log(self) -> str:
        path = self.settings.home / "jobs" / "supervisor.log"
        return path.read_text() if path.exists() else ""

    def worker_log(self, name: str) -> str:
        path = self.settings.home / "runs" / name / "log.txt"
        return path.read_text() if path.exists() else ""

    def start_app(self, run: str) -> "subprocess.Popen[str]":
        """Start an app that queues a run, and return once it has."""
        app = subprocess.Popen(
            [sys.executable, "-c", APP, run],
            cwd=PROJECT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert app.stdout is not None
        assert app.stdout.readline() == "queued\n"
        return app

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "UNDERSTUDY_HOME": str(self.settings.home),
            "UNDERSTUDY_DATABASE_URL": self.settings.database_url,
        }

    def supervisors(self) -> list[psutil.Process]:
        """Return the live supervisors of this home."""
        return [p for p in _processes(MODULE) if _home(p) == str(self.settings.home)]

    def workers(self, name: str) -> list[psutil.Process]:
        """Return the live workers of a run."""
        folder = str(self.settings.home / "runs" / name)
        return [p for p in _processes(WORKER) if folder in p.cmdline()]

    def kill_all(self) -> None:
        """End what the test has left, supervisors first: they would start new workers."""
        left = [*self.supervisors()]
        left += [p for p in _processes(WORKER) if _home(p) == str(self.settings.home)]
        for process in left:
            kill(process)


def kill(process: psutil.Process) -> None:
    """`kill -9`, and wait until it is gone."""
    with suppress(psutil.Error):
        process.kill()
        process.wait(10)


def go_on(folder: Path) -> None:
    """Let a worker pass the step it waits at."""
    (folder / "go").touch()


def steps_done(folder: Path) -> Counter[int]:
    """Return how often each step was done."""
    lines = (folder / "done.txt").read_text().splitlines()
    return Counter(int(line.split()[0]) for line in lines)


def starts(folder: Path) -> int:
    """Return how many workers have begun."""
    return sum(event["kind"] == "started" for event in read_events(folder))


def _processes(module: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if module in process.cmdline():
                yield process


def _home(process: psutil.Process) -> str | None:
    with suppress(psutil.Error):
        return process.environ().get("UNDERSTUDY_HOME")
    return None
