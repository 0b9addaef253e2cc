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
from tests.evals.run_parts import write_task

ITEMS = LEAST_REQUESTS + 26
SHARED = """
import json, os, signal
from contextlib import closing
from core.services import make_services
from core.settings import Settings
from evals.bench import Bench
from evals.manifest import RunConfig
from evals.progress import Watch
from evals.run import carry_out, plan_run
from evals.second import Second
from tests.evals.run_parts import TASK

settings, by_second = Settings.from_env(os.environ), []
with closing(Second(settings, "understudy")) as second, closing(make_services(settings)) as made:
    import psutil
    (child,) = psutil.Process().children()

    def helper(waiting, stop, on_rows):
        def noted(pairs):
            by_second.extend(ask.key.id for ask, _ in pairs)
            on_rows(pairs)
            child.send_signal(signal.SIGKILL)
        return second.share(waiting, stop, noted)

    bench = Bench.of(made)
    folder = plan_run(bench, RunConfig("understudy", TASK, uses_cache=False))
    (summary,) = carry_out(bench, [folder], Watch(), helper)
    rows = [row.key.id for row in folder.rows()]
print(json.dumps({"second": by_second, "rows": rows, "status": summary["status"]}))
"""

ALONE = """
import os, sys
import psutil
from core.settings import Settings
from evals.second import Second

second = Second(Settings.from_env(os.environ), "understudy")
print(psutil.Process().children()[0].pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    write_task(tmp_path, ITEMS)
    return {**os.environ, "UNDERSTUDY_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}


def test_what_a_killed_second_process_was_at_is_answered_by_the_first(environment):
    command = [sys.executable, "-W", "ignore", "-c", SHARED]
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["status"] == "completed"
    assert len(found["rows"]) == len(set(found["rows"])) == ITEMS
    assert 0 < len(found["second"]) < ITEMS
    assert "going on with one" in done.stderr


def test_the_second_process_ends_with_the_first(environment):
    command = [sys.executable, "-W", "ignore", "-c", ALONE]
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        second = psutil.Process(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
    second.wait(timeout=60)


def test_where_one_process_is_enough_there_is_no_second(environment):
    settings = Settings.from_env(environment)
    for model, requests in (
        ("understudy", LEAST_REQUESTS - 1),
        ("no-such-model", ITEMS),
        (None, ITEMS),
    ):
        with second_for(settings, model, requests) as helper:
            assert helper is None
