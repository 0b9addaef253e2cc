"""`python -m training.worker RUN_FOLDER`: carry out a run, from its last checkpoint if it has one.

It ends with 0 when the run is completed; 75 when it was told to stop (SIGTERM, SIGINT) and has
saved; 2 when the settings, the data or the model are wrong, so that another attempt would fail the
same way; 1 when it failed otherwise; 70 for a bug. Another worker on the same folder: 2.
"""

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from core.errors import AppError, InputError, NotFoundError
from core.settings import Settings
from training.events import EventLog
from training.heartbeat import Heartbeat
from training.job_lock import held
from training.run_folder import read_run
from training.teller import Teller

COMPLETED, FAILED, USAGE, CRASHED, STOPPED = 0, 1, 2, 70, 75
FINAL = (InputError, NotFoundError)
"""Errors that another attempt would end with too."""
LOG = "log.txt"
QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "warning",
}
"""What the libraries are told, before they are imported."""


def main(arguments: list[str]) -> int:
    """Carry out the run in the folder that is named; return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return USAGE
    return work(Path(arguments[0]).resolve())


def work(folder: Path) -> int:
    """Carry out the run in this folder; return the exit code."""
    os.environ.update(QUIET)
    rank = int(os.environ.get("RANK", "0"))
    with ExitStack() as stack:
        try:
            spec = read_run(folder)
            if rank == 0:
                stack.enter_context(held(folder))
                stack.enter_context(_logged(folder))
            teller = Teller(EventLog(folder) if rank == 0 else None)
        except AppError as error:
            sys.stderr.write(f"{error}\n")
            return USAGE if isinstance(error, FINAL) else FAILED
        stop = threading.Event()
        stack.enter_context(_stopping(stop))
        pulse = stack.enter_context(Heartbeat(folder if rank == 0 else None))
        from training.attempt import Attempt

        attempt = Attempt(folder, spec, Settings.from_env(os.environ), teller, pulse)
        return _told(teller, pulse, lambda: attempt.carry_out(stop))


def _told(teller: Teller, pulse: Heartbeat, carry_out: Callable[[], int]) -> int:
    """Carry out an attempt and say how it ended; the one place that catches everything."""
    try:
        return carry_out()
    except FINAL as error:
        return _failed(teller, error, USAGE)
    except AppError as error:
        return _failed(teller, error, FAILED)
    except Exception as error:  # noqa: BLE001  # the training job's outer edge
        return _failed(teller, error, CRASHED)
    finally:
        pulse.phase = "ended"


def _failed(teller: Teller, error: BaseException, code: int) -> int:
    """Write why the run failed, to the log too if no event can be written."""
    traceback.print_exception(error)
    is_known = isinstance(error, AppError)
    text = str(error) if is_known else f"{type(error).__name__}: {error}"
    values = {"error": text[:2000], "code": getattr(error, "code", "CRASH")}
    try:
        teller("failed", teller.step, {**values, "is_final": code == USAGE})
    except AppError as second:
        sys.stderr.write(f"{second}\n")
    return code


@contextmanager
def _logged(folder: Path) -> Iterator[None]:
    """Send all output to the run's log, what native code prints included."""
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    yield
    sys.stdout.flush()
    sys.stderr.flush()


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """Take the signals that ask for an end as "save after this step, then end"."""

    def asked(_number: int, _frame: object) -> None:
        stop.set()

    before = {number: signal.signal(number, asked) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
