"""Battles: which of two answers to a prompt was better, and the files they come in."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError
from core.messages import JsonValue
from core.rows.json_lines import Line, json_lines
from evals.stats.bias import OUTCOMES, Lengths, Outcome

REQUIRED = ("prompt_id", "model_a", "model_b", "outcome")
LENGTHS = ("length_a", "length_b")


@dataclass(frozen=True, slots=True)
class Battle:
    """One blind comparison of two models' answers; `model_a` was shown first."""

    prompt_id: str
    model_a: str
    model_b: str
    outcome: Outcome
    lengths: Lengths | None = None
    """Of both answers, in one unit; None: not known."""

    def __post_init__(self) -> None:
        """Refuse what is no battle."""
        if not (self.prompt_id and self.model_a and self.model_b):
            raise InputError("prompt_id, model_a and model_b must not be empty")
        if self.model_a == self.model_b:
            raise InputError(
                f"a model can't battle itself: {self.model_a[:100]!r} is on both sides"
            )
        if self.outcome not in OUTCOMES:
            raise InputError(
                f"outcome is {self.outcome!r}; it must be one of {', '.join(OUTCOMES)}"
            )
        for length in self.lengths or ():
            if not (math.isfinite(length) and length >= 0):
                raise InputError(f"a length must be a number of at least 0, got {length!r}")

    @staticmethod
    def from_dict(value: Mapping[str, JsonValue]) -> "Battle":
        """Read `prompt_id` (a text or a whole number), both models, `outcome`, optional lengths.

        Lengths are `length_a` and `length_b`; other keys are passed over.

        Raises:
            InputError: a key is missing or its value is impossible.
        """
        if missing := [key for key in REQUIRED if key not in value]:
            raise InputError(f"{missing[0]!r} is missing; a battle has {', '.join(REQUIRED)}")
        asked = value["prompt_id"]
        is_number = isinstance(asked, int) and not isinstance(asked, bool)
        texts = [str(asked) if is_number else asked, *(value[key] for key in REQUIRED[1:])]
        for key, found in zip(REQUIRED, texts, strict=True):
            if not isinstance(found, str):
                raise InputError(f"{key!r} must be a text, got {str(found)[:100]!r}")
        prompt, one, other, said = map(str, texts)
        outcome = next((known for known in OUTCOMES if known == said), None)
        if outcome is None:
            raise InputError(f"outcome is {said[:100]!r}; it must be one of {', '.join(OUTCOMES)}")
        return Battle(prompt, one, other, outcome, _lengths(value))


def _lengths(value: Mapping[str, JsonValue]) -> Lengths | None:
    found = [value.get(key) for key in LENGTHS]
    if found == [None, None]:
        return None
    numbers = [n for n in found if isinstance(n, int | float) and not isinstance(n, bool)]
    if len(numbers) < 2:
        raise InputError(f"{' and '.join(LENGTHS)} must both be numbers, or both be left out")
    try:
        return Lengths(*map(float, numbers))
    except OverflowError as error:
        raise InputError("a length is too large") from error


def read_battles(path: Path) -> list[Battle]:
    """Return the battles of a JSONL file, one on each line.

    Raises:
        NotFoundError: there is no such file.
        StorageError: the file can't be read.
        InputError: a line is no battle; the text names the line. Or there are none.
    """
    battles = [_battle(path, line) for line in json_lines(path)]
    if not battles:
        raise InputError(f"{path.name} holds no battles; it needs one JSON object on each line")
    return battles


def _battle(path: Path, line: Line) -> Battle:
    where = f"{path.name}, line {line.number}"
    if line.problem is not None:
        raise InputError(f"{where}: {line.problem}")
    if not isinstance(line.value, dict):
        raise InputError(f"{where}: a battle must be a JSON object with {', '.join(REQUIRED)}")
    try:
        return Battle.from_dict(line.value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
