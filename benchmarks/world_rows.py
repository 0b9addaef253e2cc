"""Conversations of the embedded models' world, as a file that people would import."""

import json
from dataclasses import replace
from pathlib import Path

from training.pretrain.config import SKILL
from training.pretrain.mix import conversation


def write_world(path: Path, rows: int, seed: str, habitual: int = 0) -> None:
    """Write conversations in OpenAI's shape, one a line; the same seed gives the same ones.

    Every `habitual`-th has the habits of real bases: announcements, fences, malformed calls.
    """
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            has_habits = habitual > 0 and number % habitual == habitual - 1
            made = conversation(f"{seed}:{number}", replace(SKILL, habits=has_habits))
            row = {"id": f"{number:05d}", "messages": made.messages}
            if made.tools:
                row["tools"] = made.tools
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
