"""One worker of the grading pool, as its parent sees it."""

import json
import selectors
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict

from core.errors import InputError, ScoringError
from evals.grading_wire import GradingFailure, Limits, ScorerSpec, read_reply, request_line
from evals.sample import Answer, Sample, Score

START_S = 60.0
"""How long a worker may take to start on a machine that is busy."""
GRACE_S = 2.0
"""How long after its own alarm a worker is killed from here."""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
"""All that a worker sees of ours: no keys, and the same order of sets each time."""
START = (
    "import json, sys; path, spec, limits = map(json.loads, sys.argv[1:]); sys.path[:] = path;"
    "from evals import grading_worker as worker;"
    "worker.serve(worker.ScorerSpec(**spec), worker.Limits(**limits))"
)


class WorkerProcess:
    """A process that grades one answer at a time."""

    def __init__(self, spec: ScorerSpec, limits: Limits) -> None:
        """Start the process; it gets ready while the caller goes on."""
        self._limits = limits
        self._is_ready = False
        self._is_late = False
        told = (json.dumps(value) for value in (sys.path, asdict(spec), asdict(limits)))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", START, *told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            start_new_session=True,
        )

    def is_alive(self) -> bool:
        """Say whether the process can grade another answer."""
        return self._process.poll() is None

    def grade(self, sample: Sample, answer: Answer) -> Score | GradingFailure:
        """Return the score, or why there is none; without one the process may be gone.

        Raises:
            InputError: there is no such scorer, or the arguments are not for it.
            ScoringError: the scorers can't be loaded, or the process does not start.
        """
        if not self._is_ready:
            self._wait_until_ready()
        try:
            request = request_line(sample, answer)
        except (ValueError, TypeError, RecursionError) as error:
            return GradingFailure("sample", f"the sample can't be handed on: {error}")
        reply = self._ask(request)
        return self._death() if reply is None else read_reply(reply)

    def kill(self) -> None:
        """End the process at once; may be called while another thread waits for its reply."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process and close its pipes; no thread may be waiting for a reply."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _wait_until_ready(self) -> None:
        greeting = json.loads(self._reply(START_S) or b"{}")
        if "refused" in greeting:
            raise InputError(greeting["refused"])
        if "ready" not in greeting:
            self.kill()
            why = greeting.get("broken", f"it ended with status {self._process.returncode}")
            raise ScoringError(f"the process that grades did not start: {why}")
        self._is_ready = True

    def _ask(self, request: bytes) -> bytes | None:
        """Return the reply; None when the process ended, or had to be ended, first."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        return self._reply(self._limits.seconds + GRACE_S)

    def _reply(self, patience_s: float) -> bytes | None:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(patience_s):
                self._is_late = True
                self.kill()
                return None
        # The worker writes a line at once, and dies by its alarm before it stops in the middle.
        line = self._process.stdout.readline()
        return line if line.endswith(b"\n") else None

    def _death(self) -> GradingFailure:
        """Return what the process died of; it is dead afterwards."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        self.kill()
        status = self._process.returncode
        if self._is_late or status == -signal.SIGALRM:
            seconds = self._limits.seconds
            return GradingFailure("timeout", f"grading took longer than {seconds:g} seconds")
        return GradingFailure("crashed", f"the process that graded ended with status {status}")
