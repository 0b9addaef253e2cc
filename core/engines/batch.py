"""The rows of one model that generate at the same time, one forward per token for all of them.

New rows read their prompts behind the rows that generate, in pieces between two of their tokens,
and join them with their own first token.
"""

import time
from typing import TYPE_CHECKING

from core.engines.adapters import Adapters
from core.engines.base import Job
from core.engines.batchable import mask_dtype
from core.engines.budget import Budget
from core.engines.keyvalues import KeyValues, places
from core.engines.prefixes import LEAST_TOKENS, Known, Prefixes, common_length
from core.engines.sampling import choose, model_steps, sampling_steps
from core.engines.waiting import Row, Waiting

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

CALLER_ROWS = 32
"""Rows of one caller; more would only slow each other down."""
MAX_ROWS = 36
"""Rows of all callers: a newcomer need not wait for a crowd's row to end."""
PIECE_TOKENS = {"cpu": 256, "cuda": 2048}
"""Tokens of prompts that are read at once: what a generating row waits for newcomers."""


class Batch:
    """The rows in order: those that generate, then those that still read their prompts."""

    def __init__(
        self,
        model: "PreTrainedModel",
        adapters: Adapters,
        end_tokens: frozenset[int],
        budget: Budget,
    ) -> None:
        self.cache = KeyValues(model.device, mask_dtype(model))
        self.prefixes = Prefixes(budget.prefix_bytes)
        self.rows: list[Row] = []
        self.at_hand: list[Row] = []
        """The rows of the forward at hand, or of the last one: they fail if it does."""
        self._model = model
        self._adapters = adapters
        self._end_tokens = end_tokens
        self._budget = budget
        self._ready = 0
        """How many rows have read their prompts."""
        self._has_model_steps = bool(model_steps(model, 8, 8))
        self._piece = PIECE_TOKENS[model.device.type]

    @property
    def size_bytes(self) -> int:
        """Return the bytes of keys and values, of the rows and of what is kept for others."""
        return self.cache.size_bytes + self.prefixes.size_bytes

    def bound(self, budget: Budget) -> None:
        """Take in rows, and keep what ended ones have read, within this from now on."""
        if budget != self._budget:
            self._budget = budget
            self.prefixes.bound(budget.prefix_bytes)

    def fits(self, budget: Budget) -> bool:
        """Say whether the rows need no more than this at their full length, and keep to it."""
        self.bound(budget)
        longest = max((row.places for row in self.rows), default=0)
        does_fit = places(len(self.rows), longest) <= budget.places
        if does_fit:
            self.cache.trim()
        return does_fit

    def step(self, waiting: Waiting) -> None:
        """Make one token for every row; who waits joins first."""
        self._admit(waiting)
        if self.rows:
            self._advance()

    def _admit(self, waiting: Waiting) -> None:
        """Take in whose turn it is, as many as there is room for and are read at once.

        Nobody overtakes, so that large requests get their turn too.
        """
        if self._ready < len(self.rows):
            return
        while (row := waiting.first(self.rows)) is not None:
            if row.job.is_unwanted():
                waiting.take(row)
                row.end()
                continue
            known = self._known(row.job)
            if not self._has_room(row) or not self._are_read_at_once(row, known):
                return
            waiting.take(row)
            self._add(row, known)

    def _advance(self) -> None:
        """Read one piece of the newcomers' prompts, then make one token for every other row."""
        self.at_hand = [row for row in self.rows if row.job.is_unwanted()]
        self.leave(self.at_hand)
        ready = self._ready
        if ready < len(self.rows):
            self._read_prompts()
        if ready:
            self._decode(ready)

    def leave(self, leavers: list[Row], error: BaseException | None = None) -> None:
        """End these rows; others move into their places."""
        for row in leavers:
            index = self.rows.index(row)
            if error is None and index < self._ready and len(row.read) >= LEAST_TOKENS:
                views = self.cache.beginning(index)
                copies = [(keys.clone(), values.clone()) for keys, values in views]
                self.prefixes.keep(row.job.adapter, row.read, copies)
            self._drop(index)
            row.end(error)

    def fail(self, error: BaseException) -> None:
        """End the rows of the forward that failed; the others go on."""
        failed = [row for row in self.at_hand if not row.future.done()]
        self.leave([row for row in failed if row in self.rows], error)
        for row in failed:
            if not row.future.done():
                row.end(error)

    def _has_room(self, row: Row) -> bool:
        if not self.rows:  # What is too large beside any other is served alone.
            return places(1, row.places) <= self._budget.row_places
        needed = max(other.places for other in [*self.rows, row])
        count = len(self.rows) + 1
        return count <= MAX_ROWS and places(count, needed) <= self._budget.places

    def _are_read_at_once(self, row: Row, known: Known) -> bool:
        """Say whether the newcomers' prompts are not too much to read together with this one."""
        newcomers = self.rows[self._ready :]
        unread = len(row.job.prompt) - known.tokens
        longest = max([unread, *(len(other.unread) for other in newcomers)])
        return not newcomers or (len(newcomers) + 1) * longest <= self._piece

    def _add(self, row: Row, known: Known) -> None:
        job = row.job
        self.rows.append(row)
        self.cache.add()
        self.at_hand = [row]
        row.unread = job.prompt[known.tokens :]
        job.started = time.monotonic()
        job.cached_tokens = known.tokens
        if known.tokens:
            self.cache.begin(known)
        if self._has_model_steps:
            row.steps += model_steps(self._model, len(job.prompt), job.new_tokens)
        row.steps += sampling_steps(job.params, self._model.device)

    def _known(self, job: Job) -> Known:
        """Return how the prompt begins according to rows that run or have ended."""
        best = self.prefixes.find(job.adapter, job.prompt)
        for index, row in enumerate(self.rows[: self._ready]):
            if row.job.adapter == job.adapter:
                common = common_length(job.prompt, row.read)
                if common > max(best.tokens, LEAST_TOKENS - 1):
                    best = Known(common, self.cache.beginning(index))
        return best

    def _drop(self, index: int) -> None:
        """Fill the row's place with the last that generates, and that one's with the last."""
        is_ready = index < self._ready
        for last in (self._ready - 1, len(self.rows) - 1) if is_ready else (len(self.rows) - 1,):
            if index != last:
                self.rows[index] = self.rows[last]
                self.cache.move(last, index)
                index = last
        self._ready -= is_ready
        self.rows.pop()
        self.cache.pop()

    def _read_prompts(self) -> None:
        """Read the next piece of all newcomers; who has read the whole gets the first token."""
        first, rows = self._ready, self.rows[self._ready :]
        count = min(max(len(row.unread) for row in rows), self._piece // len(rows))
        pieces = [row.unread[:count] for row in rows]
        places_read = sorted({len(piece) - 1 for piece in pieces})
        logits = self._forward(first, pieces, places_read)
        for row in rows:
            del row.unread[:count]
        if not rows[0].unread:
            kept = [places_read.index(len(piece) - 1) for piece in pieces]
            self._ready = len(self.rows)
            self._take(rows, logits[range(len(rows)), kept])

    def _decode(self, count: int) -> None:
        rows = self.rows[:count]
        self._take(rows, self._forward(0, [[row.made[-1]] for row in rows], [0])[:, 0])

    def _forward(self, first: int, pieces: list[list[int]], kept: list[int]) -> "torch.Tensor":
        """Read these tokens for the rows from `first` on; return logits, (rows, kept, vocabulary).

        `kept` are places in the pieces; shorter pieces are filled up with what nobody looks at.
        """
        import torch

        end, width = first + len(pieces), max(len(piece) for piece in pieces)
        self.at_hand = self.rows[first:end]
        device = self._model.device
        filled = [piece + [0] * (width - len(piece)) for piece in pieces]
        self._adapters.aim([row.job.adapter for row in self.at_hand])
        positions = self.cache.aim(first, [len(piece) for piece in pieces])
        logits: torch.Tensor = self._model(
            input_ids=torch.tensor(filled, device=device),  # (rows, width)
            attention_mask=self.cache.mask(),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=torch.tensor(kept, device=device) if width > 1 else 1,
        ).logits
        for row, piece in enumerate(pieces, first):
            self.cache.lengths[row] += len(piece)
        return logits

    def _take(self, rows: list[Row], logits: "torch.Tensor") -> None:
        """Choose and hand over the next token of each row; who is done leaves."""
        read = [row.job.prompt + row.made if row.steps else [] for row in rows]
        done: list[Row] = []
        for row, token in zip(rows, choose(logits, [row.steps for row in rows], read), strict=True):
            row.made.append(token)
            row.job.add(token)
            is_last = token in self._end_tokens or len(row.made) == row.job.new_tokens
            if is_last or row.job.is_unwanted():
                done.append(row)
        self.leave(done)
