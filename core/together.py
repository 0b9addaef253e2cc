"""Requests that a local engine runs as one batch of their own, so that it can be run again.

What a model says to a prompt may differ where two tokens are as good as equal, depending on what
else is in the batch. Requests that go together are batched with each other and with nobody else.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.engines.base import Job

LOOK_S = 0.05
"""How often a request that waits for the others looks whether its caller has cancelled."""

Submit = Callable[[Sequence["Job"]], Sequence["Future[None]"]]


class Together:
    """A number of requests, each on a thread of its own; the last one to come starts them all."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._changed = threading.Condition()
        self._jobs: dict[int, Job] = {}
        self._gone: set[int] = set()
        self._futures: dict[int, Future[None]] = {}

    def leave(self, index: int) -> None:
        """Tell that the request of this index will not come; nothing happens if it has."""
        with self._changed:
            if index not in self._jobs:
                self._gone.add(index)
                self._changed.notify_all()

    def gather(self, index: int, job: "Job", submit: Submit) -> "Future[None]":
        """Wait for the others, hand over all jobs in index order, and return this job's future.

        A job that is cancelled meanwhile leaves the others to go on without it.
        """
        with self._changed:
            self._jobs[index] = job
            self._changed.notify_all()
            while not self._futures:
                if job.is_unwanted():
                    del self._jobs[index]
                    self._gone.add(index)
                    self._changed.notify_all()
                    return _ended(job)
                if len(self._jobs) + len(self._gone) >= self._size:
                    order = sorted(self._jobs)
                    futures = submit([self._jobs[i] for i in order])
                    self._futures = dict(zip(order, futures, strict=True))
                    self._changed.notify_all()
                else:
                    self._changed.wait(LOOK_S)
            return self._futures[index]


def _ended(job: "Job") -> "Future[None]":
    future: Future[None] = Future()
    job.finish()
    future.set_result(None)
    return future
