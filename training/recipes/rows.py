"""Examples in tokens, as each recipe needs them; masks are those that the audit counts."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import InputError
from training.config import Recipe
from training.datasets import Example, Supervised, supervise

if TYPE_CHECKING:
    import numpy as np

IGNORED = -100
"""Label of a token that is read and not learnt, in every Hugging Face model."""
NAMED = 5
"""Ids that an error names."""
KIND = {"sft": "sft", "dpo": "preference", "kto": "unpaired"}
"""Which examples each recipe learns from."""


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """One sequence."""

    tokens: "np.ndarray[Any, Any]"  # (tokens,), int32
    labels: "np.ndarray[Any, Any]"  # (tokens,), int32
    """The token itself where it is learnt, `IGNORED` elsewhere and at the first token."""

    @property
    def supervised(self) -> int:
        """Number of tokens that are learnt."""
        return int((self.labels != IGNORED).sum())

    @property
    def prompt_length(self) -> int:
        """Tokens before the first that is learnt."""
        return int((self.labels != IGNORED).argmax())


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One example: what is learnt, and for a pair what is to be avoided."""

    answer: Tokens
    rejected: Tokens | None = None
    label: bool = True
    """Of an unpaired preference: whether the answer is a good one."""
    is_truncated: bool = False

    @property
    def cost(self) -> int:
        """Tokens that the row takes in memory when it is trained on; pairs count twice."""
        if self.rejected is None:
            return len(self.answer.tokens)
        return 2 * max(len(self.answer.tokens), len(self.rejected.tokens))


def prepare(
    examples: Iterable[Example], tokenizer: Any, max_length: int, recipe: Recipe
) -> tuple[Row, ...]:
    """Return the examples in tokens.

    Raises:
        InputError: an example is of another kind than the recipe learns from, or one has no
            supervised token within `max_length`, so it would teach nothing.
    """
    rows, wrong, empty = [], [], []
    for example in examples:
        if example.kind != KIND[recipe]:
            wrong.append(example.id)
            continue
        row = _row(example, tokenizer, max_length)
        rows.append(row)
        if not all(each.supervised for each in (row.answer, row.rejected) if each is not None):
            empty.append(example.id)
    if wrong:
        raise InputError(
            f"recipe {recipe!r} learns from {KIND[recipe]!r} examples, and {len(wrong)} of "
            f"{len(wrong) + len(rows)} are of another kind, {wrong[0]!r} first"
        )
    if empty:
        named = ", ".join(repr(name) for name in empty[:NAMED])
        raise InputError(
            f"{len(empty)} of {len(rows)} examples have no supervised token within {max_length} "
            f"tokens and would teach nothing: {named}{', ...' if len(empty) > NAMED else ''}; "
            "raise max_length, or leave them out with `data audit` and `data curate`"
        )
    return tuple(rows)


def _row(example: Example, tokenizer: Any, max_length: int) -> Row:
    answer = supervise(example, tokenizer, max_length)
    if example.kind != "preference":
        return Row(_tokens(answer), None, example.label is not False, answer.is_truncated)
    rejected = supervise(example.worse, tokenizer, max_length)
    is_truncated = answer.is_truncated or rejected.is_truncated
    return Row(_tokens(answer), _tokens(rejected), True, is_truncated)


def _tokens(supervised: Supervised) -> Tokens:
    import numpy as np

    tokens = np.array(supervised.tokens, dtype=np.int32)
    labels = np.where(np.array(supervised.is_supervised, dtype=bool), tokens, IGNORED)
    labels[:1] = IGNORED  # nothing comes before it to learn it from
    return Tokens(tokens, labels.astype(np.int32))
