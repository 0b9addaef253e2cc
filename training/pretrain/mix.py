"""The stream of training conversations, and the held-out requests."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from core.errors import InputError
from training.pretrain import desk, talk
from training.pretrain.config import Stage
from training.pretrain.habits import with_habits
from training.pretrain.world import Draw

Json = dict[str, Any]
Split = Literal["unseen_values", "unseen_phrasings", "unseen_names"]
SPLITS: tuple[Split, ...] = ("unseen_values", "unseen_phrasings", "unseen_names")

TALK: Mapping[str, tuple[float, Callable[[Draw], list[Json]]]] = {
    "record": (0.10, talk.record),
    "route": (0.07, talk.route),
    "persona": (0.07, talk.persona),
    "small_talk": (0.04, talk.small_talk),
    "plan": (0.02, talk.plan),
}
"""Kind of conversation without tools to its share; the rest are desk conversations."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages in OpenAI's shape, with the tools they were offered."""

    messages: list[Json]
    tools: list[Json]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One held-out request: the prompt, and the calls that answer it (none: decline)."""

    split: str
    messages: list[Json]
    tools: list[Json]
    calls: tuple[Json, ...]


def conversation(seed: str, stage: Stage) -> Conversation:
    """Return the training conversation of this seed; the same seed and stage give the same one."""
    draw = Draw(random.Random(seed), novel_words=stage.novel_words, novel_names=stage.novel_names)
    if draw.is_novel(stage.echoes):
        return Conversation(talk.echo(draw), [])
    shape = draw.rng.random()
    messages: list[Json] = []
    tools: list[Json] = []
    for share, make in TALK.values():
        shape -= share
        if shape < 0:
            messages = make(draw)
            break
    if not messages:
        turns = (
            draw.rng.choice((1, 2, 2, 3, 3, 4))
            if draw.rng.random() < 0.97
            else draw.rng.randrange(5, 9)
        )
        messages, tools = desk.conversation(draw, turns)
    return Conversation(with_habits(messages, draw.rng) if stage.habits else messages, tools)


def held_out(split: str, index: int, seed: int = 0) -> HeldOut:
    """Return one held-out request of a split.

    `unseen_values`: words that pretraining never saw. `unseen_phrasings`: sentence patterns it
    never saw. `unseen_names`: tool names it never saw. `decline`: no offered tool fits, values
    unseen. About one in seven requests of the first three needs two calls.

    Raises:
        InputError: there is no such split.
    """
    if split not in (*SPLITS, "decline"):
        raise InputError(
            f"no held-out split named {split!r}; choose one of: {', '.join(SPLITS)}, decline"
        )
    draw = Draw(
        random.Random(f"heldout:{seed}:{split}:{index}"),
        values="heldout" if split in ("unseen_values", "decline") else "train",
        phrasings="heldout" if split == "unseen_phrasings" else "train",
        names="heldout" if split == "unseen_names" else "train",
    )
    offered = desk.offers(draw, draw.rng.choice((2, 3, 4)))
    make = desk.double if draw.rng.random() < 0.15 else desk.single
    request = desk.unanswerable(offered, draw) if split == "decline" else make(offered, draw)
    messages = [
        {"role": "system", "content": draw.rng.choice(desk.SYSTEM_PROMPTS)},
        {"role": "user", "content": request.text},
    ]
    return HeldOut(split, messages, [o.schema for o in offered], request.calls)
