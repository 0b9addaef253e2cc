"""What is decided after each step: evaluate, save, or end."""

from typing import Any

from training.config import TrainConfig
from training.recipes.course import best_of, eval_losses, is_stale
from training.recipes.hooks import Hooks


def beat(config: TrainConfig, hooks: Hooks) -> Any:
    """Return the callback of a trainer that goes through the course."""
    from transformers import TrainerCallback

    class Beat(TrainerCallback):  # type: ignore[misc]  # the library has no types
        """Decides after each step; everything it remembers is in the trainer's history."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            stops = hooks.stops()
            is_due = hooks.saving is not None and hooks.saving.is_due(state.global_step)
            stops, is_due = _agreed(args.world_size, stops, is_due)
            control.should_save = control.should_save or stops or is_due
            control.should_training_stop = control.should_training_stop or stops

        def on_evaluate(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
            losses = eval_losses(state.log_history)
            if best_of(losses) == state.global_step or is_stale(losses, config.patience):
                control.should_save = True
            if is_stale(losses, config.patience):
                control.should_training_stop = True

    return Beat()


def _agreed(world: int, stops: bool, is_due: bool) -> tuple[bool, bool]:
    """Let the first process decide for all: clocks and signals differ between them."""
    if world == 1:
        return stops, is_due
    from torch.distributed import broadcast_object_list

    told = [stops, is_due]
    broadcast_object_list(told, src=0)
    return told[0], told[1]
