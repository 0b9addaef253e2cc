"""Which examples make which step, and how a step is laid out in memory.

Both follow from lengths, settings and seed alone, so a resumed run sees what an uninterrupted one
would have seen. Layout changes no result but by rounding: the loss of a step is a sum over its
examples, and examples in one row don't see each other.
"""

import random
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from core.errors import InputError

Step = tuple[int, ...]
"""Indices of the examples of one optimizer step."""
Row = tuple[int, ...]
"""Indices of examples that stand in one row, one after another."""
Part = tuple[Row, ...]
"""Rows that are computed together."""
ROW = 256
"""Tokens that a packed row may have though its longest example is shorter."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is trained: passes over the examples, unless a number of steps is given."""

    epochs: float
    max_steps: int | None = None


@dataclass(frozen=True, slots=True)
class StepSize:
    """What one optimizer step holds: a number of examples, or of tokens."""

    examples: int
    tokens: int | None = None
    """Most tokens of a step instead of examples; a longer example is a step of its own."""


def plan_steps(
    lengths: Sequence[int], size: StepSize, extent: Extent, seed: int
) -> tuple[Step, ...]:
    """Return the examples of each step; each pass goes through all of them in an order of its own.

    A step may end one pass and begin the next. Only the last may be short.

    Raises:
        InputError: there are no examples.
    """
    if not lengths:
        raise InputError("there are no examples to train on")
    if extent.max_steps is not None:
        return tuple(islice(_steps(lengths, size, _endless(len(lengths), seed)), extent.max_steps))
    wanted = max(1, round(extent.epochs * len(lengths)))
    return tuple(_steps(lengths, size, islice(_endless(len(lengths), seed), wanted)))


def _endless(count: int, seed: int) -> Iterator[int]:
    """Yield indices pass after pass."""
    epoch = 0
    while True:
        order = list(range(count))
        random.Random(f"order:{seed}:{epoch}").shuffle(order)
        yield from order
        epoch += 1


def _steps(lengths: Sequence[int], size: StepSize, indices: Iterator[int]) -> Iterator[Step]:
    step: list[int] = []
    tokens = 0
    for index in indices:
        if size.tokens is not None:
            is_full = bool(step) and tokens + lengths[index] > size.tokens
        else:
            is_full = len(step) == size.examples
        if is_full:
            yield tuple(step)
            step, tokens = [], 0
        step.append(index)
        tokens += lengths[index]
    if step:
        yield tuple(step)


def lay_out(
    indices: Sequence[int], lengths: Sequence[int], micro_tokens: int, *, packing: bool
) -> tuple[Part, ...]:
    """Return the parts that a step's examples are computed in, the largest first.

    A part's rows times its longest row are at most `micro_tokens`, unless it is a single row.
    """
    order = sorted(indices, key=lambda index: (-lengths[index], index))
    rows = _packed(order, lengths) if packing else [(index,) for index in order]
    rows.sort(key=lambda row: -row_length(row, lengths))
    parts: list[list[Row]] = []
    for row in rows:
        width = row_length(parts[-1][0], lengths) if parts else 0
        if not parts or (len(parts[-1]) + 1) * width > micro_tokens:
            parts.append([])
        parts[-1].append(row)
    return tuple(tuple(part) for part in parts)


def row_length(row: Row, lengths: Sequence[int]) -> int:
    """Return the tokens of a row."""
    return sum(lengths[index] for index in row)


def _packed(order: Sequence[int], lengths: Sequence[int]) -> list[Row]:
    """Put examples, longest first, each into the fullest row with room: best fit decreasing.

    Rows are hardly longer than the longest example, for attention costs their length squared.
    """
    capacity = max(lengths[order[0]], min(ROW, sum(lengths[index] for index in order)))
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, row), ascending
    for index in order:
        at = bisect_left(room, (lengths[index], -1))
        if at == len(room):
            rows.append([])
            left, row = capacity, len(rows) - 1
        else:
            left, row = room.pop(at)
        rows[row].append(index)
        insort(room, (left - lengths[index], row))
    return [tuple(row) for row in rows]
