"""What becomes of a job: the table of states, and the decisions from what is seen."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.errors import InputError
from training.events import EventLog
from training.job_course import (
    MAX_FAILURES,
    STOP_PATIENCE_S,
    Look,
    course,
    failed_here,
    is_overdue,
    launched,
    requeued,
)
from training.job_facts import HEAD_BYTES, TAIL_BYTES, Ending, RunFacts, log_end, run_facts
from training.job_rows import Job
from training.job_states import FOLLOWS, RESUMABLE, STATUSES, moved
from training.launch import WorkerStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ABSENT, RUNNING = WorkerStatus("absent"), WorkerStatus("running")


def job(status="running", **values) -> Job:
    facts = {"executor": "local", "processes": 1, "created_at": NOW, "queued_at": NOW}
    return Job(id="j", home="h", status=status, **{"attempt": 1, **facts, **values})


def look(worker=ABSENT, **facts) -> Look:
    return Look(worker, RunFacts(**facts), NOW, "the end of the log")


def after(job: Job, look: Look) -> list[str]:
    return [state.status for state in course(job, look)]


@pytest.mark.parametrize("old", STATUSES)
@pytest.mark.parametrize("new", STATUSES)
def test_only_legal_transitions_pass(old, new):
    if new in FOLLOWS[old]:
        assert moved("j", old, new) == new
    else:
        with pytest.raises(InputError, match=f"job 'j' is {old} and can't become {new}; it can"):
            moved("j", old, new)


def test_what_ended_is_resumable_unless_it_is_completed():
    assert set(RESUMABLE) == {"stopped", "failed", "interrupted"}
    assert FOLLOWS["completed"] == ()


@pytest.mark.parametrize("status", ["queued", "stopped", "failed", "interrupted", "completed"])
def test_jobs_without_a_worker_stay_as_they_are(status):
    assert after(job(status), look()) == []


@pytest.mark.parametrize(
    ("status", "worker", "facts", "states"),
    [
        ("starting", WorkerStatus("starting"), {}, ["starting"]),
        ("starting", RUNNING, {}, ["running"]),
        ("running", RUNNING, {}, ["running"]),
        ("stopping", RUNNING, {}, ["stopping"]),
        ("starting", ABSENT, {}, ["interrupted", "queued"]),
        ("running", ABSENT, {"ending": Ending("completed")}, ["completed"]),
        ("starting", ABSENT, {"ending": Ending("completed")}, ["completed"]),
        ("stopping", ABSENT, {"ending": Ending("completed")}, ["completed"]),
        ("stopping", ABSENT, {"ending": Ending("stopped"), "has_started": True}, ["stopped"]),
        ("stopping", ABSENT, {"has_started": False}, ["stopped"]),
        ("stopping", ABSENT, {"has_started": True}, ["interrupted"]),
        ("stopping", ABSENT, {"ending": Ending("failed", "no")}, ["failed"]),
        ("running", ABSENT, {"ending": Ending("stopped")}, ["interrupted", "queued"]),
        ("running", ABSENT, {"ending": Ending("failed", "full")}, ["failed", "queued"]),
        ("running", ABSENT, {"ending": Ending("failed", "bad", is_final=True)}, ["failed"]),
        ("running", WorkerStatus("absent", -9), {}, ["interrupted", "queued"]),
        ("running", WorkerStatus("absent", 2), {}, ["interrupted"]),
    ],
)
def test_a_worker_that_is_there_or_gone_decides(status, worker, facts, states):
    found = after(job(status), look(worker, **facts))
    assert (found or [status]) == states
    for old, new in zip([status, *states], states, strict=False):
        assert old == new or new in FOLLOWS[old]


def test_a_live_worker_is_noted_now_and_then():
    first = course(job(), look(RUNNING))[-1]
    assert first.seen_at == NOW
    assert course(first, look(RUNNING)) == ()
    later = replace(look(RUNNING), now=NOW + timedelta(seconds=11))
    assert course(first, later)[-1].seen_at == later.now


def test_waits_grow_and_progress_starts_them_anew():
    waits, at = [], job(committed_step=4)
    for step in range(5, 5 + MAX_FAILURES - 1):
        at = course(at, look(ending=Ending("failed", "full"), step=step, committed=4))[-1]
        waits.append((at.not_before - NOW).total_seconds())
        at = launched(at, RunFacts(committed=4), NOW)
    assert waits == [5.0, 10.0, 20.0, 40.0]
    last = course(at, look(ending=Ending("failed", "full"), step=99, committed=4))
    assert [state.status for state in last] == ["failed"]
    assert last[-1].error == "5 attempts in a row brought no checkpoint; the last one: full"
    moved_on = course(at, look(ending=Ending("failed", "full"), step=99, committed=9))[-1]
    assert (moved_on.status, moved_on.failures) == ("queued", 1)


def test_the_same_step_twice_is_the_end_and_another_one_is_not():
    ending = Ending("failed", "a poisonous row")
    once = course(job(), look(ending=ending, step=7))[-1]
    assert (once.status, once.failed_step) == ("queued", 7)
    again = launched(once, RunFacts(), NOW)
    assert course(again, look(ending=ending, step=8))[-1].status == "queued"
    (end,) = course(again, look(ending=ending, step=7))
    assert (end.status, end.error) == ("failed", "failed twice at step 7: a poisonous row")
    # A person who resumes it has mended something.
    fresh = launched(requeued(end, NOW), RunFacts(), NOW)
    assert course(fresh, look(ending=ending, step=7))[-1].status == "queued"


def test_an_end_that_nobody_saw_is_no_fault_of_the_run_and_goes_on_at_once():
    at = job(failed_step=7)
    for _ in range(MAX_FAILURES - 1):
        at = course(at, look(step=7))[-1]
        assert (at.status, at.not_before) == ("queued", NOW)
        at = launched(at, RunFacts(), NOW)
    assert course(at, look(step=7))[-1].status == "failed"


def test_what_fails_here_is_tried_again_if_it_may_pass():
    seen = look(step=5)
    states = failed_here(job("starting"), seen, "no memory", may_pass=True)
    assert [state.status for state in states] == ["failed", "queued"]
    (end,) = failed_here(job("starting"), seen, "no folder", may_pass=False)
    assert (end.status, end.error) == ("failed", "no folder")


def test_a_worker_that_does_not_end_is_overdue_after_a_while():
    asked = job("stopping", signalled_at=NOW)
    assert not is_overdue(job("stopping"), NOW)
    assert not is_overdue(asked, NOW + timedelta(seconds=STOP_PATIENCE_S - 1))
    assert is_overdue(asked, NOW + timedelta(seconds=STOP_PATIENCE_S + 1))


def test_facts_of_a_long_run_come_from_both_ends(tmp_path: Path):
    log = EventLog(tmp_path)
    log.write("started", 0, total_steps=100_000)
    log.close()
    line = {"t": 5.0, "kind": "step", "attempt": 1, "lr": 0.1, "tokens_per_s": 9.5}
    with (tmp_path / "events.jsonl").open("a") as file:
        for step in range(1, 20_001):
            file.write(json.dumps({**line, "step": step, "loss": 1 / step}) + "\n")
        file.write('{"t": 6.0, "kind": "step", "step": 20001')
    assert (tmp_path / "events.jsonl").stat().st_size > HEAD_BYTES + TAIL_BYTES
    facts = run_facts(tmp_path)
    assert (facts.step, facts.total_steps, facts.loss) == (20_000, 100_000, 1 / 20_000)
    assert (facts.has_started, facts.ending, facts.tokens_per_s) == (True, None, 9.5)


def test_only_the_newest_workers_end_counts(tmp_path: Path):
    log = EventLog(tmp_path)
    log.write("started", 0, total_steps=9)
    log.write("failed", 3, error="full", is_final=False)
    log.close()
    before = run_facts(tmp_path)
    assert before.ending == Ending("failed", "full")
    assert run_facts(tmp_path, before.size) == RunFacts(size=before.size)
    again = EventLog(tmp_path)
    again.write("started", 2, total_steps=9)
    again.close()
    assert (run_facts(tmp_path).ending, run_facts(tmp_path).step) == (None, 2)


def test_a_loss_that_is_no_number_is_not_shown_as_one(tmp_path: Path):
    log = EventLog(tmp_path)
    log.write("started", 0, total_steps=9)
    log.write("step", 1, loss=float("nan"), lr=0.1)
    log.close()
    assert (run_facts(tmp_path).loss, run_facts(tmp_path).learning_rate) == (None, 0.1)


def test_nothing_is_known_of_what_has_not_begun(tmp_path: Path):
    assert run_facts(tmp_path) == RunFacts()
    assert log_end(tmp_path) == ""
    (tmp_path / "log.txt").write_bytes(b"one\n\xfftwo\n\n  \n")
    assert log_end(tmp_path) == "\ufffdtwo"
