"""What one run may spend: tokens, money, time. Once it is used up, the run stays stopped."""

import math
import threading
import time
from collections.abc import Callable, Iterator

from core.errors import InputError, RateLimitError


class RunBudget:
    """The allowance of one agent or evaluation; safe to share between threads."""

    def __init__(
        self,
        tokens: int | None = None,
        usd: float | None = None,
        wall_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock; None leaves a quantity open.

        Raises:
            InputError: a limit is not above 0.
        """
        for name, limit in (("tokens", tokens), ("usd", usd), ("wall_s", wall_s)):
            if limit is not None and not (limit > 0 and math.isfinite(limit)):
                raise InputError(f"a run's {name} must be above 0, got {limit!r}")
        self._limits = (tokens, usd, wall_s)
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._tokens = 0
        self._usd = 0.0
        self._end: str | None = None

    def check(self) -> None:
        """Refuse the next step when the budget is used up, now or ever before.

        Raises:
            RateLimitError: it is; coming back later won't help.
        """
        with self._lock:
            if self._end is None:
                self._end = next(self._ends(), None)
            if self._end is not None:
                raise RateLimitError(
                    f"the run's budget is used up: {self._end}; start a new run with a larger one"
                )

    def spend(self, tokens: int | None, usd: float | None) -> None:
        """Count what a call used; usd 0.0 where nothing is charged.

        None: not known. A limit on what can't be counted can't be kept, so it ends the run.
        """
        with self._lock:
            max_tokens, max_usd, _ = self._limits
            if tokens is None or tokens < 0:
                if max_tokens is not None:
                    self._end = self._end or "a call did not say how many tokens it used"
            else:
                self._tokens += tokens
            if usd is None or not (usd >= 0 and math.isfinite(usd)):
                if max_usd is not None:
                    self._end = self._end or "the cost of a call is not known"
            else:
                self._usd += usd

    def _ends(self) -> Iterator[str]:
        tokens, usd, wall_s = self._limits
        if tokens is not None and self._tokens >= tokens:
            yield f"{self._tokens:,} of {tokens:,} tokens"
        if usd is not None and self._usd >= usd:
            yield f"{self._usd:.4f} of {usd:.4f} US dollars"
        if wall_s is not None and (passed := self._clock() - self._began) >= wall_s:
            yield f"{passed:,.0f} of {wall_s:,.0f} seconds"
