"""What the keys and values of one model's rows may take, in all its batches together."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from core.engines.batchable import mask_dtype
from core.engines.keyvalues import TOKENS_STEP, KeyValues, places
from core.engines.waiting import Row
from core.errors import UnavailableError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PREFIX_SHARE = 0.25
"""Part of the memory that is for what ended rows have read."""


class Budget(NamedTuple):
    """What the keys and values of a batch may take."""

    prefix_bytes: int
    """For what ended rows have read."""
    places: int
    """Tokens in all rows together."""
    row_places: int
    """Tokens of a row that is alone; at least as many."""

    def part_for(self, group: Iterable[Row]) -> "Budget":
        """Return what a group that runs apart has: half, or all where one of its rows needs more.

        It depends on nothing but the group, which so gives the same tokens again.
        """
        half = Budget(self.prefix_bytes // 2, self.places // 2, self.places // 2)
        needed = max((places(1, row.places) for row in group), default=0)
        return half if needed <= half.places else self

    def without(self, part: "Budget") -> "Budget":
        """Return what is left for the others."""
        left = self.places - part.places
        return Budget(self.prefix_bytes - part.prefix_bytes, left, left)

    def check(self, row: Row) -> None:
        """Refuse a row that could not be served even if it were alone.

        Raises:
            UnavailableError: it may need more tokens than there is memory for.
        """
        if places(1, row.places) > self.row_places:
            most = self.row_places // TOKENS_STEP * TOKENS_STEP
            raise UnavailableError(
                f"prompt and answer may come to {row.places:,} tokens, and there is memory for "
                f"{most:,} of this model; shorten the prompt or ask for fewer tokens"
            )


def budget_of(model: "PreTrainedModel", limit_bytes: int, row_bytes: int) -> Budget:
    """Divide the bytes for keys and values; one token is read to see what it takes.

    A row that is alone may take `row_bytes`, if that is more than what all rows may take together.
    """
    import torch

    cache = KeyValues(model.device, mask_dtype(model))
    cache.add()
    positions = cache.aim(0, [1])
    with torch.inference_mode():
        model(
            input_ids=torch.zeros_like(positions),
            attention_mask=cache.mask(),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
    token_bytes = max(1, cache.size_bytes // places(1, 1))
    for_prefixes = int(limit_bytes * PREFIX_SHARE)
    count = (limit_bytes - for_prefixes) // token_bytes
    return Budget(for_prefixes, count, max(count, row_bytes // token_bytes))
