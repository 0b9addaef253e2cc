"""Tokens from llama.cpp's events, as they come."""

from collections.abc import Callable
from typing import Any

from core.engines.base import Job
from core.errors import GenerationError


class Reader:
    """Takes llama.cpp's events of one answer; true ends the answer."""

    def __init__(self, job: Job, ends: frozenset[int], between: Callable[[], None]) -> None:
        """`between` is called after each token."""
        self._job = job
        self._ends = ends
        self._between = between
        self._failure: str | None = None
        self._count = 0
        self._is_over = False

    def __call__(self, event: dict[str, Any]) -> bool:
        """Take what has come, and say whether the answer ends here."""
        self._between()
        if "error" in event:
            self._failure = str(event["error"].get("message"))
            return True
        for text in event["choices"][0]["text"].split(",")[:-1]:
            self._job.add(int(text))
            self._count += 1
            self._is_over |= int(text) in self._ends
        self._is_over |= self._job.is_unwanted() or self._count >= self._job.new_tokens
        return self._is_over

    def check(self) -> None:
        """Refuse an answer that broke off.

        Raises:
            GenerationError: llama.cpp reported an error, or stopped for no reason we know.
        """
        if self._failure is not None:
            raise GenerationError(f"llama.cpp refused the request: {self._failure}")
        if not self._is_over:
            raise GenerationError(f"llama.cpp stopped after {self._count} tokens; try again")
