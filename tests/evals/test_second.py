"""A second process that answers part of a run: killed, orphaned, or not worth it."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from core.settings import PROJECT, Settings
from evals.second import LEAST_REQUESTS, second_for
from tests.evals.run_parts import TASK, write_task

ITEMS = LEAST_REQUESTS + 26
SHARED = """
import json, os, signal, sys
from contextlib import closing
from core.services import make_services
from core.settings import Settings
from evals.bench import Bench
from evals.manifest import RunConfig
from evals.progress import Watch
from evals.run import carry_out, plan_run
from evals.second import second_for
from tests.evals.run_parts import TASK

settings, items = Settings.from_env(os.environ), int(sys.argv[1])
by_second = []
with second_for(settings, "understudy", items) as share, closing(make_services(settings)) as made:
    import psutil
    (child,) = psutil.Process().children()

    def helper(waiting, stop, on_rows):
        def noted(pairs):
            by_second.extend(ask.key.id for ask, _ in pairs)
            on_rows(pairs)
            child.send_signal(signal.SIGKILL)
        return share(waiting, stop, noted)

    bench = Bench.of(made)
    folder = plan_run(bench, RunConfig("understudy", TASK, uses_cache=False))
    (summary,) = carry_out(bench, [folder], Watch(), helper)
    rows = [row.key.id for row in folder.rows()]
print(json.dumps({"second": by_second, "rows": rows, "status": summary["status"]}))
"""


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    write_task(tmp_path, ITEMS)
    return {**os.environ, "UNDERSTUDY_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}


def settings_of(environment: dict[str, str]) -> Settings:
    return Settings.from_env(environment)


def test_what_a_killed_second_process_was_at_is_answered_by_the_first(environment):
    command = [sys.executable, "-W", "ignore", "-c", SHARED, str(ITEMS)]
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["status"] == "completed"
    assert len(found["rows"]) == len(set(found["rows"])) == ITEMS
    assert 0 < len(found["second"]) < ITEMS
    assert "going on with one" in done.stderr


def test_the_second_process_ends_with_the_first(environment):
    command = [sys.executable, "-m", "evals", "run", "--model", "understudy", "--task", TASK]
    with subprocess.Popen(
        [*command, "--no-cache"], cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert TASK in process.stderr.readline()
        children = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGKILL)
    assert children
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


def test_where_one_process_is_enough_there_is_no_second(environment):
    settings = settings_of(environment)
    for model, requests in (
        ("understudy", LEAST_REQUESTS - 1),
        ("no-such-model", ITEMS),
        (None, ITEMS),
    ):
        with second_for(settings, model, requests) as helper:
            assert helper is None
