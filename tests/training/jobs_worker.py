"""`python -m tests.training.jobs_worker FOLDER`: a worker that is scripted.

It does as `script.json` says: holds the folder, goes on after the newest checkpoint, writes events,
and commits a checkpoint after each step; nothing is trained. Before the step `waits_at` it waits
for `go_on`, so that nothing depends on how fast the machine is.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from training.checkpoints import commit, committed, part_of
from training.events import EventLog
from training.job_lock import held

folder = Path(sys.argv[1])
script = {
    "steps": 5,
    "step_s": 0.0,
    "start_s": 0.0,
    "ends": {},
    "ignores_stop": False,
    "waits_at": None,
}
script |= json.loads((folder / "script.json").read_text())
stop: list[int] = []


def on_stop(number: int, _frame: FrameType | None) -> None:
    stop.append(number)


def end(log: EventLog, step: int) -> None:
    """End as the script says for this step; a list holds one end for each attempt."""
    ends = script["ends"].get(str(step), [])
    kind, *rest = (ends[log.attempt - 1] if log.attempt <= len(ends) else None) or ["go on"]
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit":
        sys.stderr.write("cannot go on: the moon is full\n")
        sys.exit(rest[0])
    if kind == "fail":
        log.write("failed", step, error=rest[0], is_final=rest[1])
        sys.exit(70)
    if kind == "leave":
        log.write("stopped", step)
        sys.exit(0)


def must_wait(step: int) -> bool:
    return step == script["waits_at"] and not (folder / "go").exists()


def work() -> None:
    done = committed(folder / "checkpoints")
    log = EventLog(folder)
    first = done[-1] if done else 0
    time.sleep(script["start_s"])
    log.write("started", first, total_steps=script["steps"], pid=os.getpid())
    end(log, first)
    for step in range(first + 1, script["steps"] + 1):
        until = time.monotonic() + script["step_s"]
        while not stop and (time.monotonic() < until or must_wait(step)):
            time.sleep(0.01)
        if stop and not script["ignores_stop"]:
            log.write("stopped", step - 1)
            return
        with (folder / "done.txt").open("a") as file:
            file.write(f"{step} {os.getpid()}\n")
        log.write("step", step, loss=10.0 / step, lr=0.1, tokens_per_s=5.0, memory_gb=1.5)
        part = part_of(folder / "checkpoints", step)
        (part / "weights").write_text(str(step))
        commit(part, step, "plan", {})
        log.write("checkpoint", step)
        end(log, step)
    log.write("completed", script["steps"])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, on_stop)
    with held(folder):
        work()
