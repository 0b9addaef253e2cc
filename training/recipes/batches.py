"""Rows as the tensors of one part of a step, one function per recipe."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from training.config import Recipe
from training.recipes.plan import Part
from training.recipes.rows import IGNORED, Row

if TYPE_CHECKING:
    import numpy as np
    import torch

Tensors: TypeAlias = "dict[str, torch.Tensor]"
Array: TypeAlias = "np.ndarray[Any, Any]"


def sft_tensors(part: Part, rows: Sequence[Row]) -> Tensors:
    """Return tokens, positions and labels; positions begin anew with each example of a row.

    That is how transformers' models tell examples of one row apart. There is no attention mask:
    padding stands on the right, where causal attention keeps it out.
    """
    import numpy as np
    import torch

    lines = [[rows[index].answer for index in line] for line in part]
    width = max(sum(len(each.tokens) for each in line) for line in lines)
    tokens = np.zeros((len(lines), width), dtype=np.int64)
    labels = np.full((len(lines), width), IGNORED, dtype=np.int64)
    positions = np.zeros((len(lines), width), dtype=np.int64)
    for at, line in enumerate(lines):
        begin = 0
        for each in line:
            end = begin + len(each.tokens)
            tokens[at, begin:end], labels[at, begin:end] = each.tokens, each.labels
            positions[at, begin:] = np.arange(width - begin)
            begin = end
    return {
        "input_ids": torch.from_numpy(tokens),  # (rows, width)
        "position_ids": torch.from_numpy(positions),  # (rows, width)
        "labels": torch.from_numpy(labels),  # (rows, width)
    }


def dpo_tensors(part: Part, rows: Sequence[Row]) -> Tensors:
    """Return the better answers and then the worse ones, as TRL's DPOTrainer takes them."""
    pairs = [rows[line[0]] for line in part]
    both = [pair.answer for pair in pairs] + [p.rejected for p in pairs if p.rejected is not None]
    return _padded([(each.tokens, each.labels) for each in both])


def kto_tensors(part: Part, rows: Sequence[Row]) -> Tensors:
    """Return answers, their labels, and each prompt with the answer to the one before it.

    From the mismatched ones TRL's KTOTrainer estimates how far the model has moved from the base.
    """
    import numpy as np
    import torch

    given = [rows[line[0]] for line in part]
    own = [(row.answer.tokens, row.answer.labels) for row in given]
    mismatched = []
    for row, other in zip(given, [given[-1], *given[:-1]], strict=True):
        begin, end = row.answer.prompt_length, other.answer.prompt_length
        mismatched.append(
            (
                np.concatenate([row.answer.tokens[:begin], other.answer.tokens[end:]]),
                np.concatenate([row.answer.labels[:begin], other.answer.labels[end:]]),
            )
        )
    tensors = _padded(own) | {f"KL_{k}": v for k, v in _padded(mismatched).items()}
    tensors["label"] = torch.tensor([row.label for row in given])
    return tensors


TENSORS: Mapping[Recipe, Callable[[Part, Sequence[Row]], Tensors]] = {
    "sft": sft_tensors,
    "dpo": dpo_tensors,
    "kto": kto_tensors,
}


def _padded(sequences: Sequence[tuple[Array, Array]]) -> Tensors:
    """Return tokens, attention and completion masks of sequences of tokens and labels."""
    import numpy as np
    import torch

    width = max(len(tokens) for tokens, _ in sequences)
    shape = (len(sequences), width)
    tokens, attention, completion = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    for at, (own, labels) in enumerate(sequences):
        tokens[at, : len(own)], attention[at, : len(own)] = own, 1
        completion[at, : len(own)] = labels != IGNORED
    return {
        "input_ids": torch.from_numpy(tokens),
        "attention_mask": torch.from_numpy(attention),
        "completion_mask": torch.from_numpy(completion),
    }
