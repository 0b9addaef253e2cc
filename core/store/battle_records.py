"""What the store takes and hands out of battles: sides, votes, and how many there are of each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, get_args

from core.messages import Generation, GenerationParams, Message, Tool
from core.outcomes import Outcome

Source = Literal["person", "judge"]
SideName = Literal["a", "b"]
SIDES: tuple[SideName, ...] = get_args(SideName)
Status = Literal["begun", "complete", "failed"]
Exclusion = Literal["names_itself", "identical", "repeated", "too_many"]
"""Why a vote is kept but not counted; `evals.arena.votes` says when and why."""
EXCLUSIONS: tuple[Exclusion, ...] = get_args(Exclusion)
RECENT = timedelta(minutes=10)
"""How far back `History.recent` looks."""


@dataclass(frozen=True, slots=True)
class Arm:
    """What answers on one side, as it was when the battle was drawn."""

    model: str
    """Catalog id: `MODEL`, `MODEL@VERSION`, a chain or an ensemble."""
    digest: str
    """`sha256:...` of all that its answers depend on: weights or server, adapter, precision."""
    adapter: str | None = None
    """Version of its adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBattle:
    """A battle before anything of it is generated."""

    voter: str
    """Pseudonym of the visitor, or `judge MODEL`; never a visitor's id."""
    messages: tuple[Message, ...]
    """What both sides are asked."""
    params: GenerationParams
    """With the seed that both sides get."""
    a: Arm
    b: Arm
    tools: tuple[Tool, ...] = ()
    source: Source = "person"
    task: str | None = None
    item: str | None = None
    """Id of the task's sample."""
    experiment: str | None = None


@dataclass(frozen=True, slots=True)
class SideEnd:
    """How one side of a battle ended: with a generation, or with an error."""

    generation: Generation | None = None
    names_itself: bool = False
    """Whether its answer says which model it is."""
    error: str | None = None
    """Code of the error, `GENERATION_FAILED`; None: there was none."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a stored battle."""

    name: SideName
    arm: Arm
    answer: str
    """As people read it, tool calls included; empty until the battle has ended."""
    generation: Generation | None
    """With tokens, cost and timings; None until the battle has ended, and for a failed side."""
    error: str | None
    """Code of the error that ended it; None: none did."""
    names_itself: bool


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a voter says."""

    outcome: Outcome
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vote:
    """What was said of a battle."""

    outcome: Outcome
    reasons: tuple[str, ...]
    voted_at: datetime
    excluded_because: Exclusion | None
    """None: it counts."""


@dataclass(frozen=True, slots=True)
class StoredBattle:
    """A battle with both sides, and the vote if there is one."""

    id: str
    created_at: datetime
    voter: str
    source: Source
    status: Status
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    params: GenerationParams
    task: str | None
    item: str | None
    experiment: str | None
    prompt: str
    """Digest of what was asked, `prompt_digest`: battles of one prompt share it."""
    a: Side
    b: Side
    vote: Vote | None = None
    corrections: Mapping[SideName, str] = field(default_factory=dict, hash=False)
    """Newest edited answer of each side that has one."""

    @property
    def question(self) -> str:
        """Return the last message of a person."""
        return question_of(self.messages)


class History(NamedTuple):
    """Earlier votes of the voter of a battle."""

    repeats: int
    """Counted ones on the same prompt and the same two models, whichever side they were on."""
    recent: int
    """All of the last ten minutes."""


class RatedBattle(NamedTuple):
    """One counted vote, as ratings and experiments read it."""

    battle: str
    prompt: str
    """Digest of what was asked: battles of one prompt share it. Battles from before it left out
    the server's system prompt keep the key that they were stored with."""
    model_a: str
    model_b: str
    outcome: Outcome
    length_a: int
    """Characters of the answer."""
    length_b: int
    voted_at: datetime
    digest_a: str
    """The drawn arm's, `Arm.digest`."""
    digest_b: str


class Measured(NamedTuple):
    """What one side's generation took; each None when it is not known."""

    model: str
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    first_token_s: float | None
    queue_s: float | None
    """Waiting behind other requests, part of `total_s`."""
    total_s: float | None
    tokens_per_s: float | None


@dataclass(frozen=True, slots=True)
class BattleCounts:
    """How many battles and votes there are."""

    begun: int
    """Being answered by a running process, or never asked for."""
    cut_off: int
    """Their process ended before they were complete."""
    failed: int
    complete: int
    """With both answers, voted on or not."""
    counted: int
    """Votes that count."""
    outcomes: Mapping[Outcome, int] = field(hash=False)
    """Of the counted ones."""
    excluded: Mapping[Exclusion, int] = field(hash=False)
    """Votes that don't count, by reason; a reason without votes is left out."""


def question_of(messages: Sequence[Message]) -> str:
    """Return the last message of a person; empty when there is none."""
    return next((each.text for each in reversed(messages) if each.role == "user"), "")


def shown_answer(generation: Generation) -> str:
    """Return an answer as people read it: the text, then each tool call in `<tool_call>` tags."""
    calls = [
        f'<tool_call>{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}</tool_call>'
        for call in generation.tool_calls
    ]
    return "\n".join(part for part in (generation.text, *calls) if part)
