"""What a trainer tells the worker while it trains, and what it asks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from training.checkpoint_saving import Saving
from training.teller import Report

PREFERENCES = {
    "rewards/margins": "reward_margin",
    "rewards/accuracies": "reward_accuracy",
    "kl": "kl",
}
"""What TRL calls the figures of DPO and KTO, and what our events do."""
GB = 1e9


@dataclass(frozen=True, slots=True)
class Progress:
    """One step that was done."""

    step: int
    tokens: int
    """Without padding."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Hooks:
    """The worker, as a trainer sees it."""

    report: Report
    """Called for each event, on the main process alone."""
    stops: Callable[[], bool]
    """Says whether to save and end after this step."""
    saving: Saving | None = None
    """None: nothing is saved, as in a measurement."""

    def stepped(self, done: Progress, logs: Mapping[str, float]) -> None:
        """Report a step."""
        values = {
            "loss": logs["loss"],
            "lr": logs["learning_rate"],
            "grad_norm": logs.get("grad_norm"),
            "tokens": done.tokens,
            "tokens_per_s": round(done.tokens / max(done.seconds, 1e-9), 1),
            "memory_gb": round(memory_bytes() / GB, 3),
        }
        self.report("step", done.step, values | _preferences(logs, ""))

    def evaluated(self, step: int, logs: Mapping[str, float]) -> None:
        """Report an evaluation."""
        self.report("eval", step, {"loss": logs["eval_loss"]} | _preferences(logs, "eval_"))


def memory_bytes() -> int:
    """Return what this process holds: on CUDA at most so far there, else now in main memory."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return int(psutil.Process().memory_info().rss)


def _preferences(logs: Mapping[str, float], prefix: str) -> dict[str, float]:
    return {own: logs[prefix + name] for name, own in PREFERENCES.items() if prefix + name in logs}
