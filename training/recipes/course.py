"""What a run goes through: the rows, the examples of each step, the parts of each step."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from training.config import TrainConfig
from training.recipes.batches import TENSORS, Tensors
from training.recipes.plan import Extent, Part, Step, StepSize, lay_out, plan_steps
from training.recipes.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset

EVALUATIONS = 10
"""How often a run is evaluated when its settings don't say."""
INDIFFERENT = (
    "dataset",
    "preset",
    "patience",
    "eval_every",
    "checkpoint_every_s",
    "checkpoint_every",
    "mirror",
    "max_steps",
    "epochs",
)
"""Settings that the numbers of a step don't follow from; how many steps there are, the plan has."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a step, ready to be computed."""

    tensors: Tensors
    share: float
    """Its share of the step's examples, 0.0 to 1.0."""


@dataclass(frozen=True)
class Course:
    """All steps of a run; everything follows from rows, settings and seed."""

    config: TrainConfig
    rows: Sequence[Row]
    eval_rows: Sequence[Row] = ()
    only: tuple[int, ...] | None = None
    """Steps to go through instead of all, for a measurement."""
    world: int = 1
    """Processes that share each step."""

    @cached_property
    def costs(self) -> tuple[int, ...]:
        """Tokens in memory by row."""
        return tuple(row.cost for row in self.rows)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The examples of each step."""
        config = self.config
        size = StepSize(config.batch_size, config.batch_tokens)
        extent = Extent(config.epochs, config.max_steps)
        planned = plan_steps(self.costs, size, extent, config.seed)
        return planned if self.only is None else tuple(planned[step] for step in self.only)

    @property
    def total(self) -> int:
        """Number of steps."""
        return len(self.steps)

    @property
    def has_eval(self) -> bool:
        """Whether there is anything to evaluate on."""
        return bool(self.eval_rows)

    @property
    def eval_every(self) -> int:
        """Steps between evaluations."""
        return self.config.eval_every or max(1, len(self.steps) // EVALUATIONS)

    def pieces(self, step: int, rank: int = 0) -> list[Piece]:
        """Return what one process computes of a step, counted from 0."""
        own = self.steps[step][rank :: self.world]
        return self._pieces(self.rows, own or self.steps[step][:1], is_empty=not own)

    def eval_pieces(self) -> list[Piece]:
        """Return the eval split."""
        return self._pieces(self.eval_rows, range(len(self.eval_rows)))

    def learnt(self, step: int) -> int:
        """Return the supervised tokens of a step, over all processes."""
        return sum(self.rows[index].answer.supervised for index in self.steps[step])

    def tokens(self, step: int) -> int:
        """Return the tokens of a step that are no padding, over all processes."""
        rows = [self.rows[index] for index in self.steps[step]]
        pairs = sum(len(row.rejected.tokens) for row in rows if row.rejected is not None)
        return pairs + sum(len(row.answer.tokens) for row in rows)

    def numbered(self) -> "Dataset":
        """Return the steps' numbers as TRL's trainers want them: a dataset, in order."""
        from datasets import Dataset

        return Dataset.from_dict({"step": list(range(self.total))})

    @cached_property
    def digest(self) -> str:
        """`sha256:...` of all that the numbers follow from, the base model aside."""
        kept = {k: v for k, v in self.config.to_dict().items() if k not in INDIFFERENT}
        total = hashlib.sha256(json.dumps([kept, self.world], sort_keys=True).encode())
        total.update(repr(self.steps).encode())
        for row in self.rows:
            for each in (row.answer, row.rejected):
                if each is not None:
                    total.update(each.tokens.tobytes() + each.labels.tobytes())
            total.update(b"+" if row.label else b"-")
        return f"sha256:{total.hexdigest()}"

    def _pieces(
        self, rows: Sequence[Row], indices: Sequence[int], *, is_empty: bool = False
    ) -> list[Piece]:
        config = self.config
        costs = [row.cost for row in rows] if rows is not self.rows else self.costs
        packing = config.packing and config.recipe == "sft"
        parts: Sequence[Part] = lay_out(indices, costs, config.micro_tokens, packing=packing)
        if config.recipe == "kto":
            parts = _paired(parts)
        tensors = TENSORS[config.recipe]
        share = 0.0 if is_empty else 1.0 / len(indices)
        return [Piece(tensors(p, rows), share * sum(map(len, p))) for p in parts]


def _paired(parts: Sequence[Part]) -> list[Part]:
    """Give an example that stands alone to the part before it: KTO needs two at least."""
    joined: list[Part] = []
    for part in parts:
        if joined and (len(part) < 2 or len(joined[-1]) < 2):
            joined[-1] = joined[-1] + part
        else:
            joined.append(part)
    return joined


def best_of(losses: Sequence[tuple[int, float]]) -> int | None:
    """Return the step with the least evaluation loss, the earliest of equals."""
    return min(losses, key=lambda each: (each[1], each[0]))[0] if losses else None


def is_stale(losses: Sequence[tuple[int, float]], patience: int | None) -> bool:
    """Say whether the last `patience` evaluations all brought nothing better."""
    if patience is None or not losses:
        return False
    best = best_of(losses)
    return sum(step > best for step, _ in losses if best is not None) >= patience


def eval_losses(history: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Return steps and losses of the evaluations so far, from a trainer's history."""
    return [(int(each["step"]), each["eval_loss"]) for each in history if "eval_loss" in each]
