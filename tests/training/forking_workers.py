"""Forks a worker for each line of its input: `python -m tests.training.forking_workers HOME`.

A line is `{"folder": ..., "file_limit": bytes?}`. Two lines answer it: `{"pid": ...}` when the
worker has been forked and `{"code": ...}` when it has ended.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "UNDERSTUDY_HOME": sys.argv[1], "HF_HUB_OFFLINE": "1"}

import bitsandbytes  # noqa: F401
from trl import DPOTrainer, KTOTrainer, SFTTrainer  # noqa: F401

import training.attempt  # noqa: F401
from training.worker import work


def fork(asked: dict[str, Any]) -> int:
    """Fork a worker that carries out the run; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    if "file_limit" in asked:
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_limit"],) * 2)
    code = 70
    try:
        code = work(Path(asked["folder"]))
    finally:
        os._exit(code)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        pid = fork(json.loads(line))
        print(json.dumps({"pid": pid}), file=answers, flush=True)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"code": code}), file=answers, flush=True)


main()
os._exit(0)
