"""Grades answers in a process of its own; started by `evals.grading`, and by nobody else.

The kernel's alarm ends the process when an answer takes too long, even inside of C code that
never returns, and when the parent is gone: so nothing is left behind.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import BinaryIO

from core.errors import AppError, InputError, ScoringError
from evals.grading_wire import (
    GradingFailure,
    Limits,
    ScorerSpec,
    failure_reply,
    line,
    read_request,
    score_reply,
)
from evals.sample import Scorer


def serve(spec: ScorerSpec, limits: Limits) -> None:
    """Grade what comes on standard input until it ends, one reply a line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    replies = _own_output()
    _limit(resource.RLIMIT_CORE, 0)
    try:
        scorer = make_scorer(spec)
    except AppError as error:
        _send(replies, line({"refused": str(error)}))
        return
    except Exception as error:  # noqa: BLE001  whatever it is, the parent must learn of it
        _send(replies, line({"broken": f"{type(error).__name__}: {error}"}))
        return
    _limit(resource.RLIMIT_AS, limits.memory_bytes)
    _send(replies, line({"ready": True}))
    for request in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_REAL, limits.seconds)
        reply = grade(scorer, request)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(replies, reply)


def make_scorer(spec: ScorerSpec) -> Scorer:
    """Return the scorer that a spec names.

    Raises:
        InputError: there is no such scorer, or the arguments are not for it.
    """
    makers: Mapping[str, Callable[..., Scorer]] = import_module(spec.registry).SCORERS
    if spec.name not in makers:
        raise InputError(f"no scorer named {spec.name!r}; choose one of: {', '.join(makers)}")
    try:
        return makers[spec.name](**spec.arguments)
    except TypeError as error:
        raise InputError(f"the scorer {spec.name!r} can't be made: {error}") from error


def grade(scorer: Scorer, request: bytes) -> bytes:
    """Return the reply to one request."""
    try:
        sample, answer = read_request(request)
        return score_reply(scorer(sample, answer))
    except ScoringError as error:
        failure = GradingFailure("sample", str(error))
    except MemoryError:
        failure = GradingFailure("memory", "grading took more memory than allowed")
    except Exception as error:  # noqa: BLE001  a scorer's bug fails one answer, not the run
        failure = GradingFailure("bug", f"{type(error).__name__}: {error}"[:400])
    return failure_reply(failure)


def _own_output() -> BinaryIO:
    """Return standard output for replies; what a scorer prints goes nowhere."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return replies


def _limit(kind: int, most: int) -> None:
    """Lower a limit of this process, where the system knows it; a lower one is kept."""
    _, hard = resource.getrlimit(kind)
    if hard == resource.RLIM_INFINITY or most < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


def _send(replies: BinaryIO, reply: bytes) -> None:
    replies.write(reply)
    replies.flush()
