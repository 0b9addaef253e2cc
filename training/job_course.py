"""What becomes of a job, from what can be seen of its worker; pure functions.

An attempt that ended early is tried again, later each time, unless trying again can't help: the
worker says so, it failed at the same step before, or five attempts brought no checkpoint.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from training.job_facts import Ending, RunFacts
from training.job_rows import Job
from training.job_states import ACTIVE, WORKING
from training.launch.base import WorkerStatus

FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 600.0
MAX_FAILURES = 5
"""Attempts in a row without a new checkpoint after which a person has to look."""
USAGE_ERROR = 2
BEFORE_ANY = -1
SEEN_S = 10.0
"""How often it is noted that a worker is alive."""
STOP_PATIENCE_S = 600.0
"""How long a worker that was asked to save and end may take before it is killed."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a job: first the worker, then its folder."""

    worker: WorkerStatus
    facts: RunFacts
    now: datetime
    log_end: str = ""
    """Last line of the log."""


def course(job: Job, look: Look) -> tuple[Job, ...]:
    """Return the states that a job goes through from here; nothing when it stays as it is."""
    if job.status not in WORKING:
        return ()
    if look.worker.presence != "absent":
        return _seen(job, look)
    done = replace(job, ended_at=look.now, not_before=None)
    ending = look.facts.ending
    if ending is not None and ending.kind == "completed":
        return (replace(done, status="completed", error=None),)
    if job.status == "stopping" and _is_stop(ending, look.facts):
        return (replace(done, status="stopped", error=None),)
    return _ended_early(done, look)


def launched(job: Job, facts: RunFacts, now: datetime) -> Job:
    """Return a queued job whose next worker is about to be started."""
    return replace(
        job,
        status="starting",
        attempt=job.attempt + 1,
        events_from=facts.size,
        committed_step=facts.committed,
        started_at=now,
        signalled_at=None,
        ended_at=None,
        not_before=None,
        error=None,
    )


def failed_here(job: Job, look: Look, reason: str, *, may_pass: bool) -> tuple[Job, ...]:
    """Return what becomes of a job over something that failed here and not in its worker."""
    failed = replace(job, status="failed", error=reason, ended_at=look.now)
    is_over = job.status == "stopping" or not may_pass
    return (failed,) if is_over else _again(failed, look, _step_of(look))


def broken(job: Job, error: Exception, now: datetime) -> tuple[Job, ...]:
    """Return what becomes of a job over a failure that nobody foresaw."""
    if job.status not in ACTIVE:
        return ()
    reason = f"{type(error).__name__}: {error}"[:2000]
    return (replace(job, status="failed", error=reason, ended_at=now),)


def requeued(job: Job, now: datetime) -> Job:
    """Return a job that a person asked to go on with."""
    fresh = replace(job, failures=0, failed_step=None, not_before=None, signalled_at=None)
    return replace(fresh, status="queued", queued_at=now, error=None, ended_at=None)


def is_overdue(job: Job, now: datetime) -> bool:
    """Say whether a worker takes too long to save and end."""
    asked = job.signalled_at
    return asked is not None and now - asked > timedelta(seconds=STOP_PATIENCE_S)


def _seen(job: Job, look: Look) -> tuple[Job, ...]:
    """Return a job whose worker is there; that it was seen is noted now and then."""
    if job.status == "starting" and look.worker.presence == "running":
        return (replace(job, status="running", seen_at=look.now),)
    is_fresh = job.seen_at is not None and look.now - job.seen_at < timedelta(seconds=SEEN_S)
    return () if is_fresh else (replace(job, seen_at=look.now),)


def _is_stop(ending: Ending | None, facts: RunFacts) -> bool:
    """Say whether the worker ended as it was asked to: it says so, or had not begun."""
    return not facts.has_started if ending is None else ending.kind == "stopped"


def _ended_early(job: Job, look: Look) -> tuple[Job, ...]:
    ending, code = look.facts.ending, look.worker.exit_code
    if ending is not None and ending.kind == "failed":
        failed = replace(job, status="failed", error=ending.error or "the worker gave no reason")
        may_pass, is_own_doing = not ending.is_final, True
    else:
        failed = replace(job, status="interrupted", error=_silent_reason(look))
        # Who did not see the end may come after a power cut, and that is not the run's doing.
        may_pass, is_own_doing = code != USAGE_ERROR, ending is None and code is not None
    if job.status == "stopping" or not may_pass:
        return (failed,)
    return _again(failed, look, _step_of(look) if is_own_doing else None)


def _step_of(look: Look) -> int:
    return BEFORE_ANY if look.facts.step is None else look.facts.step


def _silent_reason(look: Look) -> str:
    code = look.worker.exit_code
    if look.facts.ending is not None:
        return "the worker was told to end, and not by this job"
    if code is None:
        return "the worker is gone without a word: a power cut, a restart, a kill"
    if code < 0:
        hint = "; that is what the system does when memory runs out" if code == -9 else ""
        return f"the worker was killed by signal {-code}{hint}"
    return f"the worker ended with code {code}; its log ends: {look.log_end[:300]}"


def _again(job: Job, look: Look, step: int | None) -> tuple[Job, ...]:
    """Queue another attempt after a wait, unless there were too many in vain.

    `step` is where this one failed by its own doing; None: something else ended it.
    """
    has_moved = (look.facts.committed or 0) > (job.committed_step or 0)
    failures = 1 if has_moved else job.failures + 1
    if step is not None and step == job.failed_step:
        where = f"step {step}" if step >= 0 else "its start"
        return (replace(job, status="failed", error=f"failed twice at {where}: {job.error}"),)
    if failures >= MAX_FAILURES:
        text = f"{failures} attempts in a row brought no checkpoint; the last one: {job.error}"
        return (replace(job, status="failed", failures=failures, error=text),)
    wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (failures - 1)) if step is not None else 0.0
    queued = replace(
        job,
        status="queued",
        failures=failures,
        failed_step=job.failed_step if step is None else step,
        not_before=look.now + timedelta(seconds=wait_s),
    )
    return (job, queued)
