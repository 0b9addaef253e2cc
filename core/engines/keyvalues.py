"""Keys and values of a changing set of rows, as a model sees the library's caches.

Row i holds its tokens at the places 0 to `lengths[i]`, whatever the other rows hold, so a row
joins, leaves or takes over a known beginning without moving any other. What lies behind a row's
length is never looked at: the mask says so.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from core.engines.prefixes import Known

    Pair = tuple[torch.Tensor, torch.Tensor]

ROWS_STEP = 4
TOKENS_STEP = 128
"""Buffers grow by so many rows and places at once: each growth copies what is in use."""
SLACK = 4
"""They shrink when less than one part in so many is in use."""


def places(rows: int, tokens: int) -> int:
    """Return how many places of tokens the buffers take for so many rows of so many tokens."""
    return _rows_up(rows) * _up(tokens, TOKENS_STEP)


def _rows_up(rows: int) -> int:
    """Return for how many rows buffers are made: one that is alone pays for itself only."""
    return rows if rows <= 2 else _up(rows, ROWS_STEP)


def _up(count: int, step: int) -> int:
    return -(-count // step) * step


class KeyValues:
    """The buffers of all rows; only the thread that owns the model touches them."""

    def __init__(self, device: "torch.device", mask_dtype: "torch.dtype | None") -> None:
        self.lengths: list[int] = []
        """Tokens of each row that the model has read."""
        self.size_bytes = 0
        self._device = device
        self._mask_dtype = mask_dtype
        """For attention that adds the mask; None where it takes yes and no."""
        self._layers: list[Pair] = []
        """Keys and values by layer, each (rows, heads, places, size)."""
        self._shape = (0, 0)
        """Rows and places that the buffers have."""
        self._numbers: torch.Tensor
        """0, 1, 2 and so on, as many as there are rows and places."""
        self._first, self._end, self._width = 0, 0, 0

    def aim(self, first: int, counts: Sequence[int]) -> "torch.Tensor":
        """Make the next forward read so many tokens more for the rows from `first` on.

        Returns their positions, (rows, largest count); those behind a row's count repeat its last.
        `lengths` is left to the caller.
        """
        import torch

        end, tokens = first + len(counts), max(counts)
        starts = torch.tensor(self.lengths[first:end], device=self._device)[:, None]
        self._first, self._end = first, end
        self._width = max(self.lengths[first:end]) + tokens
        self.fit(self._width)
        self._rows = self._numbers[first:end, None]
        self._positions = starts + self._numbers[:tokens]
        if min(counts) == tokens:
            return self._positions
        lasts = torch.tensor(counts, device=self._device)[:, None] - 1
        return starts + torch.minimum(self._numbers[:tokens], lasts)

    def fit(self, tokens: int) -> None:
        """Give the buffers room for all rows, one of which will have so many tokens."""
        longest = max(tokens, *self.lengths)
        rows, width = self._shape
        is_small = len(self.lengths) > rows or longest > width
        if is_small or places(len(self.lengths), longest) * SLACK < rows * width:
            self._resize(longest)

    @property
    def held_places(self) -> int:
        """Return how many places of tokens the buffers have."""
        return self._shape[0] * self._shape[1]

    def trim(self) -> None:
        """Give back what the buffers hold beyond the rows that there are."""
        if self.lengths and self.held_places > places(len(self.lengths), max(self.lengths)):
            self._resize(max(self.lengths))

    def mask(self) -> "torch.Tensor":
        """Return which places each position sees, (rows, 1, tokens, places)."""
        import torch

        seen = self._numbers[: self._width] <= self._positions[:, None, :, None]
        if self._mask_dtype is None:
            return seen
        hidden = torch.finfo(self._mask_dtype).min
        return torch.zeros_like(seen, dtype=self._mask_dtype).masked_fill_(~seen, hidden)

    def update(
        self,
        key_states: "torch.Tensor",
        value_states: "torch.Tensor",
        layer_idx: int,
        *_: object,
        **__: object,
    ) -> "Pair":
        """Write what the forward at hand has computed, and return what it may look at.

        Called by the model's attention, in the order of layers. Shapes: (rows, heads, tokens, size)
        and (rows, heads, places, size).
        """
        if layer_idx == len(self._layers):
            self._add_layer(key_states[0], value_states[0])
        keys, values = self._layers[layer_idx]
        keys[self._rows, :, self._positions] = key_states.transpose(1, 2)
        values[self._rows, :, self._positions] = value_states.transpose(1, 2)
        seen = slice(self._first, self._end), slice(None), slice(0, self._width)
        return keys[seen], values[seen]

    def get_seq_length(self, *_: object, **__: object) -> int:
        """Return the longest row's length, as models ask for it before the forward."""
        return self._width - self._positions.shape[1]

    def get_mask_sizes(self, *_: object, **__: object) -> tuple[int, int]:
        """Return how many places there are, and where the first is."""
        return self._width, 0

    def add(self) -> None:
        """Add an empty row behind the last."""
        self.lengths.append(0)

    def move(self, source: int, target: int) -> None:
        """Write one row over another."""
        length = self.lengths[target] = self.lengths[source]
        for buffer in self._buffers() if length else ():
            buffer[target, :, :length] = buffer[source, :, :length]

    def beginning(self, row: int) -> "list[Pair]":
        """Return views of what the row has read, by layer, each (heads, tokens, size)."""
        length = self.lengths[row]
        return [(keys[row, :, :length], values[row, :, :length]) for keys, values in self._layers]

    def begin(self, known: "Known") -> None:
        """Let the last row, which is empty, begin with what is known."""
        row = len(self.lengths) - 1
        self.fit(known.tokens)
        for index, pair in enumerate(known.layers):
            if index == len(self._layers):
                self._add_layer(*pair)
            for buffer, part in zip(self._layers[index], pair, strict=True):
                buffer[row, :, : known.tokens] = part[:, : known.tokens]
        self.lengths[row] = known.tokens

    def pop(self) -> None:
        """Forget the last row."""
        length = self.lengths.pop()
        if not self.lengths:
            self._layers, self._shape, self.size_bytes = [], (0, 0), 0
            return
        for buffer in self._buffers() if length else ():
            # Hidden places are weighted with zero, which makes no zero of a NaN.
            buffer[len(self.lengths), :, :length] = 0

    def _add_layer(self, *examples: "torch.Tensor") -> None:
        """Make the buffers of the next layer for keys and values like these, (heads, any, size)."""
        rows, width = self._shape
        keys, values = (e.new_zeros(rows, e.shape[0], width, e.shape[2]) for e in examples)
        self._layers.append((keys, values))
        self._count()

    def _buffers(self) -> "list[torch.Tensor]":
        return [buffer for pair in self._layers for buffer in pair]

    def _resize(self, tokens: int) -> None:
        """Give every layer buffers that are just large enough for all rows."""
        import torch

        rows = _rows_up(len(self.lengths))
        width = _up(tokens, TOKENS_STEP)
        # Should memory run out half way, every layer still has this much.
        self._shape = (min(rows, self._shape[0]), min(width, self._shape[1]))
        kept = slice(0, len(self.lengths)), slice(None), slice(0, self._shape[1])
        self._numbers = torch.arange(max(rows, width), device=self._device)
        for index, pair in enumerate(self._layers):
            made = []
            for old in pair:
                new = old.new_zeros(rows, old.shape[1], width, old.shape[3])
                part = old[kept]
                new[: part.shape[0], :, : part.shape[2]] = part
                made.append(new)
            self._layers[index] = (made[0], made[1])
        self._shape = (rows, width)
        self._count()

    def _count(self) -> None:
        self.size_bytes = sum(b.numel() * b.element_size() for b in self._buffers())
