"""TRL's trainers made to go through a course: its steps, its saves, its evaluations.

Differences from the libraries' own, each measured: adapters stay in 32 bits (in 16, a low rate
moves a tenth of them); a checkpoint is whole or does not count; a resumed run repeats the very
numbers; evaluation draws no random number and weighs every token alike.
"""

import math
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import StorageError, TrainingError
from training.config import Recipe
from training.recipes.course import Course, best_of, eval_losses
from training.recipes.hooks import Hooks, Progress
from training.recipes.saved import load_adapter, save_weights
from training.recipes.scored import add_scored_forward, check_loss, is_plain

if TYPE_CHECKING:
    import torch
    from transformers import Trainer as Base
else:
    Base = object


def coursed(recipe: Recipe) -> Any:
    """Return TRL's trainer of a recipe, going through a course."""
    from trl import DPOTrainer, KTOTrainer, SFTTrainer

    parents = {"sft": SFTTrainer, "dpo": DPOTrainer, "kto": KTOTrainer}
    return type("Coursed", (CoursedTrainer, parents[recipe]), {})


class CoursedTrainer(Base):  # type: ignore[misc]  # the library has no types
    """What every recipe's trainer does differently."""

    def prepare(self, course: Course, hooks: Hooks) -> None:
        """Take the course on; before training."""
        from transformers import PrinterCallback

        from training.recipes.beat import beat

        config = course.config
        self.course, self._config, self._hooks = course, config, hooks
        self._share, self._began, self._is_checked = 1.0, 0.0, False
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        if config.method != "full":
            self.model.peft_config["default"].base_model_name_or_path = config.model
        base = self.model.get_base_model() if config.method != "full" else self.model
        self._is_scored = config.recipe == "sft" and is_plain(base)
        if self._is_scored:
            add_scored_forward(base)
        self.remove_callback(PrinterCallback)
        self.add_callback(beat(config, hooks))

    # The course's steps

    def get_train_dataloader(self) -> Any:
        """Yield the steps in order; each process computes its share of each."""
        from torch.utils.data import DataLoader

        rank = self.args.process_index
        return DataLoader(
            self.train_dataset,
            batch_size=1,
            shuffle=False,
            collate_fn=lambda given: {
                "step": given[0]["step"],
                "pieces": self.course.pieces(given[0]["step"], rank),
            },
        )

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        """Leave the steps' numbers alone; the rows are in tokens already."""
        return dataset

    def _get_num_items_in_batch(self, samples: list[Any], device: Any) -> Any:
        import torch

        if self._config.recipe != "sft" or not samples:
            return None
        return torch.tensor(self.course.learnt(samples[0]["step"]), device=device)

    def floating_point_ops(self, _inputs: Any) -> int:
        """Count none: the estimate walks through all parameters at every step."""
        return 0

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Compute the step's pieces one after another; return their loss."""
        self._began = time.monotonic()
        pieces = inputs["pieces"]
        if not self._is_checked and self._config.recipe == "sft":
            self._check(pieces[-1].tensors)
        losses = []
        for number, piece in enumerate(pieces, start=1):
            self._share = piece.share
            with self._synced(model, is_last=number == len(pieces)):
                losses.append(super().training_step(model, piece.tensors, num_items_in_batch))
        return sum(losses[1:], start=losses[0])

    def _synced(self, model: Any, *, is_last: bool) -> AbstractContextManager[Any]:
        """Exchange gradients between processes after the last piece only."""
        context: AbstractContextManager[Any] = (
            nullcontext() if is_last else self.accelerator.no_sync(model)
        )
        return context

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return a piece's part of the step's loss."""
        if self._config.recipe != "sft":
            return super().compute_loss(model, inputs, return_outputs) * self._share
        # A process without an example of the step has one all the same, to take part with nothing.
        own = 1.0 if self._share else 0.0
        if self._is_scored:
            scale = own * self.accelerator.num_processes
            return self._nll(model, inputs) / num_items_in_batch * scale
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch) * own

    def _nll(self, model: Any, inputs: Any) -> Any:
        """Return the sum of the losses of the learnt tokens, in nats."""
        if self._is_scored:
            rest = {k: v for k, v in inputs.items() if k != "labels"}
            return model(**rest, scored=inputs["labels"])
        return -model(**inputs, use_cache=False, fused_lm_head=True).log_probs.sum()

    def _check(self, tensors: "dict[str, torch.Tensor]") -> None:
        """Prove that the loss is the model's own, before the first step of a process."""
        import torch

        self._is_checked = True
        inputs = self._prepare_inputs(tensors)
        self.model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            check_loss(self.model, inputs, self._nll(self.model, inputs))

    # Evaluation

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the mean loss over the eval split: by token, or by example for preferences."""
        import torch

        self.model.eval()
        total = 0.0
        with torch.no_grad(), self.compute_loss_context_manager():
            for piece in self.course.eval_pieces():
                inputs = self._prepare_inputs(piece.tensors)
                if self._config.recipe == "sft":
                    total += float(self._nll(self.model, inputs))
                else:
                    self._share = piece.share
                    total += float(self.compute_loss(self.model, inputs))
        learnt = sum(row.answer.supervised for row in self.course.eval_rows)
        metrics = {"eval_loss": total / learnt if self._config.recipe == "sft" else total}
        self.log(metrics)
        handler: Any = self.callback_handler
        self.control: Any = handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Report; a trainer's history keeps evaluations alone, or it would grow with every step.

        Raises:
            TrainingError: the loss is not finite.
        """
        super().log(logs, start_time)
        step = self.state.global_step
        if "eval_loss" in logs:
            self._hooks.evaluated(step, logs)
            return
        self.state.log_history.pop()
        if "loss" not in logs:
            return
        self._hooks.stepped(
            Progress(step, self.course.tokens(step - 1), time.monotonic() - self._began), logs
        )
        if not math.isfinite(logs["loss"]):
            raise TrainingError(
                f"the loss of step {step} is {logs['loss']}; go on from the last checkpoint with a "
                "lower learning_rate"
            )

    # Checkpoints

    def _save_checkpoint(self, _model: Any, _trial: Any) -> None:
        """Write a checkpoint that counts once it is whole."""
        step = self.state.global_step
        saving = self._hooks.saving
        if saving is None:
            return
        try:
            with saving.checkpoint(step, self.accelerator) as part:
                if self.is_world_process_zero():
                    save_weights(self.model, self._config.method, part)
                    self.state.save_to_json(str(part / "trainer_state.json"))
                self._save_optimizer_and_scheduler(str(part))
                self._save_scaler(str(part))
                self._save_rng_state(str(part))
        except (OSError, RuntimeError) as error:
            raise StorageError(saving.failure(step, error)) from error
        saving.rotate({best_of(eval_losses(self.state.log_history))})

    def load_learnt(self, checkpoint: Path) -> None:
        """Put a checkpoint's weights into the model."""
        self._load_from_checkpoint(str(checkpoint), self.model)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self._config.method == "full":
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_adapter(self.model, Path(resume_from_checkpoint))
