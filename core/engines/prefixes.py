"""Keys and values of what was read lately, for prompts that begin alike.

A chat sends its whole history each time, and all chats of a model share a system prompt and tools.
What an adapter read is of no use to another, so each beginning belongs to one.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

    Pair = tuple[torch.Tensor, torch.Tensor]

LEAST_TOKENS = 16
"""Shorter beginnings are read again: looking for them costs more."""
MOST = 64
"""Beginnings that are kept, at most."""


class Known(NamedTuple):
    """A beginning of a prompt that needs no reading."""

    tokens: int
    layers: "list[Pair]"
    """Keys and values by layer, each (heads, tokens or more, size)."""


NOTHING = Known(0, [])


class Prefixes:
    """What the rows that ended have read; least recently used out first."""

    def __init__(self, limit_bytes: int) -> None:
        self.size_bytes = 0
        self._limit = limit_bytes
        self._kept: OrderedDict[tuple[str | None, tuple[int, ...]], list[Pair]] = OrderedDict()

    def find(self, adapter: str | None, prompt: list[int]) -> Known:
        """Return the longest beginning of the prompt that was read with this adapter.

        It leaves out the prompt's last token, which the model has to read to go on.
        """
        best, length = None, LEAST_TOKENS - 1
        for key in self._kept:
            if key[0] == adapter:
                common = common_length(prompt, key[1])
                if common > length:
                    best, length = key, common
        if best is None:
            return NOTHING
        self._kept.move_to_end(best)
        return Known(length, self._kept[best])

    def keep(self, adapter: str | None, tokens: list[int], layers: "list[Pair]") -> None:
        """Remember what was read; `layers` must be the caller's own copy."""
        key = (adapter, tuple(tokens))
        for old in [k for k in self._kept if k[0] == adapter and key[1][: len(k[1])] == k[1]]:
            self._forget(old)
        self._kept[key] = layers
        self.size_bytes += _size(layers)
        self._make_room()

    def bound(self, limit_bytes: int) -> None:
        """Keep no more than so many bytes from now on."""
        self._limit = limit_bytes
        self._make_room()

    def _make_room(self) -> None:
        while self._kept and (self.size_bytes > self._limit or len(self._kept) > MOST):
            self._forget(next(iter(self._kept)))

    def _forget(self, key: "tuple[str | None, tuple[int, ...]]") -> None:
        self.size_bytes -= _size(self._kept.pop(key))


def common_length(prompt: "list[int]", read: "list[int] | tuple[int, ...]") -> int:
    """Return how many tokens both begin with, the prompt's last one left out."""
    low, high = 0, min(len(prompt) - 1, len(read))
    while low < high:
        middle = (low + high + 1) // 2
        if list(read[low:middle]) == prompt[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _size(layers: "list[Pair]") -> int:
    return sum(b.numel() * b.element_size() for pair in layers for b in pair)
