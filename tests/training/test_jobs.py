"""Jobs carried out by real processes; workers are scripted, everything else is the real thing."""

import itertools
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import InputError, NotFoundError
from core.settings import PROJECT, Settings
from core.store import open_store
from tests.training.jobs_home import Home, go_on, kill, starts, steps_done
from tests.training.jobs_supervisor import MODULE, WORKER, scripted_jobs
from training.events import EventLog
from training.job_home import start_supervisor
from training.job_lock import is_held

ALL_ONCE = dict.fromkeys(range(1, 6), 1)


@pytest.fixture
def home(settings: Settings, sqlite_url: str) -> Iterator[Home]:
    yield from opened(settings, sqlite_url)


@pytest.fixture
def any_home(settings: Settings, database_url: str) -> Iterator[Home]:
    """Return a home on each database that we promise."""
    yield from opened(settings, database_url)


def opened(settings: Settings, url: str) -> Iterator[Home]:
    settings = replace(settings, database_url=url)
    with closing(open_store(url)) as store:
        made = Home(settings, store)
        yield made
        made.kill_all()


def test_a_queued_run_is_carried_out_and_the_supervisor_ends(any_home: Home) -> None:
    home = any_home
    assert home.submit("one").job.status in ("queued", "starting", "running", "completed")
    done = home.until_status("one", "completed").to_dict()
    assert {key: done[key] for key in ("step", "total_steps", "loss", "last_commit")} == {
        "step": 5,
        "total_steps": 5,
        "loss": 2.0,
        "last_commit": 5,
    }
    assert (done["error"], done["resumable"], done["attempt"]) == (None, False, 1)
    home.until("one", lambda _: not is_held(home.jobs.folder))
    assert steps_done(home.settings.home / "runs" / "one") == ALL_ONCE


@pytest.mark.slow
@pytest.mark.parametrize(
    "order",
    [
        # The long form has all six.
        pytest.param(order, marks=[pytest.mark.long] if place % 2 else [])
        for place, order in enumerate(itertools.permutations(["app", "supervisor", "worker"]))
    ],
)
def test_kill_9_in_any_order_loses_nothing_and_repeats_nothing(
    home: Home, order: tuple[str, ...]
) -> None:
    folder = home.run("night", steps=12, waits_at=6)
    app = home.start_app("night")
    home.until("night", lambda view: (view.facts.step or 0) >= 2)
    for what in order:
        if what == "app":
            app.kill()
            app.communicate()
        for process in home.supervisors() if what == "supervisor" else home.workers("night"):
            if what != "app":
                kill(process)
    seen = home.jobs.show("night").job.status
    assert seen in ("queued", "starting", "running")
    go_on(folder)
    home.until_status("night", "completed")
    assert sorted(steps_done(folder)) == list(range(1, 13))
    # A step that was done and not yet committed when its worker was killed is done again.
    assert sum(steps_done(folder).values()) <= 12 + starts(folder) - 1
    assert starts(folder) <= 3


def test_a_worker_outlives_app_and_supervisor_and_is_taken_over(any_home: Home) -> None:
    home = any_home
    folder = home.run("long", steps=40, waits_at=20)
    app = home.start_app("long")
    (worker,) = home.until("long", lambda view: view.job.status == "running") and home.workers(
        "long"
    )
    app.kill()
    app.communicate()
    for supervisor in home.supervisors():
        kill(supervisor)
    assert worker.is_running()
    assert home.jobs.show("long").job.status == "running"
    go_on(folder)
    home.until_status("long", "completed")
    assert (starts(folder), sum(steps_done(folder).values())) == (1, 40)


@pytest.mark.slow
def test_a_supervisor_that_is_killed_at_random_moments_starts_nothing_twice(
    home: Home,
) -> None:
    folder = home.run("steady", steps=60, step_s=0.1)
    home.jobs.submit("steady")
    draw = random.Random(6)
    kills = 0
    while kills < 8 and home.jobs.show("steady").job.status != "completed":
        for supervisor in home.supervisors():
            until = time.monotonic() + draw.random()
            while time.monotonic() < until:
                home.jobs.show("steady")
            kill(supervisor)
            kills += 1
        start_supervisor(home.settings, MODULE)
        home.until("steady", lambda _: bool(home.supervisors()))
    assert kills == 8
    home.until_status("steady", "completed")
    assert starts(folder) == 1
    assert steps_done(folder) == dict.fromkeys(range(1, 61), 1)


def test_a_run_that_ended_while_nobody_looked_is_told_as_it_is(home: Home) -> None:
    folder = home.run("quick", steps=20, waits_at=10)
    home.jobs.submit("quick")
    home.until_status("quick", "running")
    for supervisor in home.supervisors():
        kill(supervisor)
    go_on(folder)
    for worker in home.workers("quick"):
        worker.wait(30)
    assert home.jobs.show("quick").job.status == "completed"


def test_stop_saves_and_resume_goes_on_there(any_home: Home) -> None:
    home = any_home
    folder = home.run("pausing", steps=30, waits_at=15)
    home.jobs.submit("pausing")
    home.until("pausing", lambda view: (view.facts.step or 0) >= 1)
    assert home.jobs.stop("pausing").job.status in ("stopping", "stopped")
    assert home.jobs.stop("pausing").job.status in ("stopping", "stopped")
    stopped = home.until_status("pausing", "stopped")
    assert stopped.is_resumable
    assert stopped.facts.step == stopped.facts.committed
    home.jobs.resume("pausing")
    go_on(folder)
    home.until_status("pausing", "completed")
    assert steps_done(folder) == dict.fromkeys(range(1, 31), 1)


def test_a_job_that_waits_is_taken_out_of_the_queue(home: Home) -> None:
    home.submit("first", steps=100, waits_at=50)
    home.until_status("first", "running")
    assert home.submit("second").place == 1
    assert home.submit("third").place == 2
    assert home.jobs.stop("second").job.status == "stopped"
    assert home.jobs.show("third").place == 1
    assert not (home.settings.home / "runs" / "second" / "log.txt").exists()
    assert [view.job.id for view in home.jobs.list()] == ["first", "second", "third"]
    home.jobs.stop("first")
    home.until_status("third", "completed")
    assert home.jobs.show("first").job.status == "stopped"


def test_a_second_worker_on_the_folder_is_refused(home: Home) -> None:
    folder = home.run("shared", steps=100, waits_at=50)
    home.jobs.submit("shared")
    home.until_status("shared", "running")
    second = subprocess.run(
        [sys.executable, "-m", WORKER, str(folder)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode != 0
    assert "held by another process" in second.stderr
    assert starts(folder) == 1


def test_a_worker_that_somebody_started_is_taken_over_and_not_doubled(home: Home) -> None:
    folder = home.run("mine", steps=40, waits_at=20)
    worker = subprocess.Popen([sys.executable, "-m", WORKER, str(folder)], cwd=PROJECT)
    home.until_started(folder)
    home.jobs.submit("mine")
    home.until_status("mine", "running")
    go_on(folder)
    assert worker.wait(30) == 0
    home.until_status("mine", "completed")
    assert starts(folder) == 1


def test_many_who_start_supervisors_at_once_get_one(home: Home) -> None:
    folder = home.run("busy", steps=60, waits_at=30)
    home.jobs.submit("busy")
    for _ in range(4):
        start_supervisor(home.settings, MODULE)
    home.until("busy", lambda _: home.log().count("another supervisor is there") >= 4)
    home.until("busy", lambda _: len(home.supervisors()) <= 1)
    go_on(folder)
    home.until_status("busy", "completed")
    assert starts(folder) == 1


def test_jobs_queued_at_once_by_many_are_all_done_one_at_a_time(any_home: Home) -> None:
    home = any_home
    names = [f"run-{number}" for number in range(6)]
    folders = [home.run(name, steps=3, step_s=0.02) for name in names]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(home.jobs.submit, names))
    for name in names:
        home.until_status(name, "completed")
    spans = []
    for folder in folders:
        times = [event["t"] for event in home.events(folder)]
        assert starts(folder) == 1
        spans.append((times[0], times[-1]))
    spans.sort()
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))


def test_a_failure_that_may_pass_is_tried_again_where_the_checkpoint_is(home: Home) -> None:
    folder = home.run("flaky", ends={"2": [["fail", "the disk was full", False]]})
    home.jobs.submit("flaky")
    waiting = home.until("flaky", lambda view: view.job.failures == 1)
    assert waiting.job.status == "queued"
    assert waiting.job.error == "the disk was full"
    assert waiting.job.not_before is not None
    done = home.until_status("flaky", "completed")
    assert (done.job.attempt, done.job.error) == (2, None)
    assert steps_done(folder) == ALL_ONCE


def test_a_final_failure_is_not_tried_again(home: Home) -> None:
    home.submit("wrong", ends={"1": [["fail", "no rows to train on", True]]})
    failed = home.until_status("wrong", "failed")
    assert (failed.job.error, failed.job.attempt) == ("no rows to train on", 1)
    home.until("wrong", lambda _: not is_held(home.jobs.folder))
    assert home.jobs.show("wrong").is_resumable


def test_a_run_whose_result_is_not_right_is_not_called_completed(home: Home) -> None:
    home.submit("odd", finish_fails=True)
    failed = home.until_status("odd", "failed")
    assert failed.job.error == "its adapter is not what was written"


def test_failing_twice_at_the_same_step_stops(home: Home) -> None:
    home.submit("poison", ends={"3": [["kill"], ["kill"], ["kill"]]})
    failed = home.until_status("poison", "failed")
    assert failed.job.attempt == 2
    assert failed.job.error is not None
    assert failed.job.error.startswith("failed twice at step 3: the worker was killed by signal 9")


def test_a_worker_that_says_nothing_is_quoted_from_its_log(home: Home) -> None:
    home.submit("mute", ends={"0": [["exit", 3], ["exit", 3]]})
    failed = home.until_status("mute", "failed")
    assert failed.job.error == (
        "failed twice at step 0: the worker ended with code 3; "
        "its log ends: cannot go on: the moon is full"
    )


def test_a_worker_that_was_told_to_end_by_the_system_goes_on_later(home: Home) -> None:
    folder = home.run("shutdown", steps=30, waits_at=15)
    home.jobs.submit("shutdown")
    home.until("shutdown", lambda view: (view.facts.step or 0) >= 1)
    for worker in home.workers("shutdown"):
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)
    go_on(folder)
    home.until_status("shutdown", "completed")
    assert starts(folder) == 2
    assert steps_done(folder) == dict.fromkeys(range(1, 31), 1)


def test_a_failure_that_nobody_foresaw_ends_one_job_and_not_the_supervisor(home: Home) -> None:
    folder = home.run("bad", steps=1, waits_at=1, finish_crashes=True)
    home.jobs.submit("bad")
    home.until_started(folder)
    home.submit("good", steps=2)
    go_on(folder)
    failed = home.until_status("bad", "failed")
    assert failed.job.error == "RuntimeError: nobody foresaw this"
    home.until_status("good", "completed")
    assert "RuntimeError: nobody foresaw this" in home.log()


def test_what_cannot_be_done_is_said(home: Home) -> None:
    with pytest.raises(NotFoundError, match="no run 'nowhere'"):
        home.jobs.submit("nowhere")
    with pytest.raises(NotFoundError, match="no job named 'nothing'; `jobs list`"):
        home.jobs.stop("nothing")
    home.submit("one", steps=1)
    home.until_status("one", "completed")
    with pytest.raises(InputError, match="'one' is completed and can't become queued"):
        home.jobs.resume("one")
    with pytest.raises(InputError, match="'one' is completed and can't become stopping"):
        home.jobs.stop("one")
    with pytest.raises(InputError, match="there is a job 'one' already"):
        home.jobs.submit("one")
    home.run("other")
    with pytest.raises(InputError, match="no executor named 'moon'; choose one of: local"):
        home.jobs.submit("other", executor="moon")


def test_two_homes_on_one_database_leave_each_other_alone(any_home: Home, tmp_path: Path) -> None:
    home = any_home
    elsewhere = replace(home.settings, home=tmp_path / "elsewhere")
    folder = home.run("here", steps=60, waits_at=30)
    home.jobs.submit("here")
    with closing(open_store(elsewhere.database_url)) as store:
        other = scripted_jobs(elsewhere, store)
        assert other.list() == ()
        with pytest.raises(NotFoundError):
            other.stop("here")
        twin = Home(elsewhere, store)
        twin.submit("here", steps=2)
        twin.until_status("here", "completed")
        twin.kill_all()
    go_on(folder)
    home.until_status("here", "completed")


def test_events_of_an_earlier_worker_are_not_taken_for_the_new_ones(home: Home) -> None:
    folder = home.run("again", steps=3)
    log = EventLog(folder)
    log.write("started", 0, total_steps=3)
    log.write("failed", 1, error="long ago", is_final=True)
    log.close()
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"kind": "failed", "step": 1, "attempt": 1, "is_final": true}')  # torn
    home.jobs.submit("again")
    home.until_status("again", "completed")
