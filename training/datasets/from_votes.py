"""Examples from blind battles: counted votes become preference pairs, edited answers targets.

People's votes and a judge's are apart here as everywhere: a source reads one kind unless it is
asked for both. A tie and `both_bad` prefer nothing. Battles of one prompt share a group, so a
split keeps them together.

Refused with their reason: battles on items of evaluation tasks, which would no longer judge a model
that has learnt them, unless they are asked for; and answers that the length limit cut off, as what
a model should say. A row's `source` names the battle, who voted what, both models with their
weights and adapters, the parameters, and experiment, task and item where there are any.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from core.errors import InputError
from core.messages import Message
from core.rows.refusals import Refusal
from core.store import Store
from core.store.battle_records import Side, SideName, Source, StoredBattle
from core.store.battles import Battles
from core.tool_calls import split_calls
from training.datasets.example import Example, Kind

Voices = Literal["people", "judges", "all"]
SOURCES: dict[Voices, tuple[Source, ...]] = {
    "people": ("person",),
    "judges": ("judge",),
    "all": ("person", "judge"),
}


class StoreVotes:
    """Votes and edited answers of all voters, as one kind of example.

    - `sft`: edited answers, as edited;
    - `preference`: the winner before the loser, and an edited answer before what it was.

    Edited answers are taken whether or not the battle's vote counts, except where it was one of
    too many: those may be no person's.
    """

    def __init__(
        self,
        store: Store,
        kind: Kind = "preference",
        voices: Voices = "people",
        *,
        with_items: bool = False,
    ) -> None:
        """Choose what is read; `with_items`: battles on items of evaluation tasks too.

        Raises:
            InputError: votes give no examples of this kind.
        """
        if kind not in ("sft", "preference"):
            raise InputError(
                f"votes give sft or preference, not {kind!r}: a vote says which answer is better, "
                "not whether it is good"
            )
        self.name = f"votes of {voices} ({kind}{', with items of tasks' if with_items else ''})"
        self._battles = Battles(store)
        self._sources = SOURCES[voices]
        self._kind = kind
        self._with_items = with_items

    def examples(self) -> Iterator[Example | Refusal]:
        """Yield one example or refusal for each decisive vote and each edited answer.

        Raises:
            StorageError: the store can't be read.
        """
        for source in self._sources:
            for battle in self._battles.with_votes(source):
                for found in _learnt(battle, self._kind):
                    is_item = battle.item is not None and not self._with_items
                    yield _spoiling(battle) if is_item else found


def _learnt(battle: StoredBattle, kind: Kind) -> Iterator[Example | Refusal]:
    if kind == "preference" and (found := _voted(battle)) is not None:
        yield found
    yield from _edited(battle, kind)


def _spoiling(battle: StoredBattle) -> Refusal:
    spoilt = "which could not judge the model then (--with-items takes it)"
    reason = f"it is on an item of task {battle.task!r}, {spoilt}"
    return Refusal(f"battle {battle.id}", reason)


def _voted(battle: StoredBattle) -> Example | Refusal | None:
    vote = battle.vote
    if vote is None or vote.excluded_because is not None:
        return None
    if vote.outcome not in ("model_a", "model_b"):
        return None
    better, worse = battle.a, battle.b
    if vote.outcome == "model_b":
        better, worse = worse, better
    if better.generation is not None and better.generation.finish_reason == "length":
        return Refusal(f"battle {battle.id}", "the better answer was cut off by the length limit")
    told = _origin(battle, "vote", f"{_told(better)} over {_told(worse)}")
    return _pair(battle, battle.id, told, _said(better), _said(worse))


def _edited(battle: StoredBattle, kind: Kind) -> Iterator[Example | Refusal]:
    vote = battle.vote
    if vote is None or vote.excluded_because == "too_many":
        return
    sides: Sequence[tuple[SideName, Side]] = (("a", battle.a), ("b", battle.b))
    for name, side in sides:
        if (text := battle.corrections.get(name)) is None:
            continue
        own, edited = f"{battle.id}-{name}", _answer(battle, text)
        told = _origin(battle, "edited answer", f"of {_told(side)}")
        if kind == "preference":
            yield _pair(battle, own, told, edited, _said(side))
        else:
            yield _target(battle, own, told, edited)


def _pair(
    battle: StoredBattle, own: str, told: str, chosen: Message, rejected: Message
) -> Example | Refusal:
    try:
        return Example(
            id=own,
            messages=battle.messages,
            tools=battle.tools,
            group=battle.prompt,
            source=told,
            kind="preference",
            chosen=(chosen,),
            rejected=(rejected,),
        )
    except InputError as error:
        return Refusal(f"battle {battle.id}", str(error))


def _target(battle: StoredBattle, own: str, told: str, edited: Message) -> Example | Refusal:
    given = battle.messages
    muted = tuple(index for index, turn in enumerate(given) if turn.role == "assistant")
    try:
        return Example(
            id=own,
            messages=(*given, edited),
            tools=battle.tools,
            group=battle.prompt,
            source=told,
            muted=muted,
        )
    except InputError as error:
        return Refusal(f"battle {battle.id}", str(error))


def _answer(battle: StoredBattle, text: str) -> Message:
    """Return an edited text as the turn that it is: tagged calls become calls."""
    if not battle.tools:
        return Message("assistant", text)
    read = split_calls(text)
    calls = [replace(call, id=f"call_{number}") for number, call in enumerate(read.calls)]
    return Message("assistant", read.content, tuple(calls))


def _said(side: Side) -> Message:
    made = side.generation
    assert made is not None, "only a complete battle gets a vote"
    return Message("assistant", made.text, made.tool_calls)


def _origin(battle: StoredBattle, what: str, which: str) -> str:
    """Return where an example comes from; a person's pseudonym is nobody's business."""
    assert battle.vote is not None, "only battles with a vote are read"
    whose = battle.voter if battle.source == "judge" else "people"
    parts = [
        f"{what} in battle {battle.id}: {which}",
        f"vote of {whose}: {battle.vote.outcome}",
        f"params {json.dumps(battle.params.to_dict())}",
    ]
    if battle.experiment is not None:
        parts.append(f"experiment {battle.experiment}")
    if battle.item is not None:
        parts.append(f"task {battle.task}, item {battle.item}")
    return "; ".join(parts)


def _told(side: Side) -> str:
    """Name a side's model and version, and the weights and the adapter that answered."""
    arm, made = side.arm, side.generation
    assert made is not None, "only a complete battle gets a vote"
    has_version = arm.adapter is None or arm.model.endswith(f"@{arm.adapter}")
    name = arm.model if has_version else f"{arm.model}@{arm.adapter}"
    digests = [f"weights {made.model.digest or 'unknown'}"]
    if made.adapter is not None:
        digests.append(f"adapter {made.adapter.digest or 'unknown'}")
    return f"{name} ({', '.join(digests)})"
