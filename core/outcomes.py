"""How a comparison of two answers can end."""

from typing import Literal, get_args

Outcome = Literal["model_a", "model_b", "tie", "both_bad"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
