"""What a page may show of a battle: a ticket before the vote, the reveal after it."""

from dataclasses import dataclass

from core.messages import Generation, GenerationParams
from core.outcomes import Outcome
from core.store.battle_records import Arm, Exclusion, Side, StoredBattle

BATTLE_PARAMS = GenerationParams(temperature=0.7, max_tokens=256)
"""What both sides are asked with; the seed is drawn for each battle."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a battle is about: a prompt, or an item of a task, which is looked up."""

    prompt: str = ""
    """What the visitor wrote; passed over when an item is named."""
    task: str | None = None
    item: str | None = None
    """Id of the task's sample; it is asked with its own messages, tools and parameters."""
    params: GenerationParams = BATTLE_PARAMS


@dataclass(frozen=True, slots=True)
class Pair:
    """The two models of a running experiment on votes."""

    experiment: str
    arms: tuple[str, str]
    """Catalog ids."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A battle that has begun; all that may be shown of it."""

    id: str
    prompt: str
    """The last message of the person."""


@dataclass(frozen=True, slots=True)
class OpenBattle:
    """A complete battle that waits for its vote."""

    id: str
    prompt: str
    answer_a: str
    answer_b: str

    @staticmethod
    def of(battle: StoredBattle) -> "OpenBattle":
        """Return what may be shown of a complete battle."""
        return OpenBattle(battle.id, battle.question, battle.a.answer, battle.b.answer)


@dataclass(frozen=True, slots=True)
class RevealedSide:
    """What was behind one side."""

    arm: Arm
    answer: str
    """As people read it, tool calls included."""
    generation: Generation
    """Model and adapter as the runtime reported them, tokens, cost, timings."""
    names_itself: bool


@dataclass(frozen=True, slots=True)
class Reveal:
    """A vote, and what it was on."""

    battle: str
    outcome: Outcome
    reasons: tuple[str, ...]
    excluded_because: Exclusion | None
    """None: the vote counts. `votes.EXCLUDED` has the words for each."""
    a: RevealedSide
    b: RevealedSide
    experiment: str | None
    task: str | None
    """Task whose item it was on; None: on the visitor's own words."""
    item: str | None
    tools: tuple[str, ...]
    """Names of the tools that both sides were offered."""

    @staticmethod
    def of(battle: StoredBattle) -> "Reveal":
        """Return the reveal of a battle that has its vote."""
        vote = battle.vote
        assert vote is not None, "only a vote reveals"
        return Reveal(
            battle=battle.id,
            outcome=vote.outcome,
            reasons=vote.reasons,
            excluded_because=vote.excluded_because,
            a=_revealed(battle.a),
            b=_revealed(battle.b),
            experiment=battle.experiment,
            task=battle.task,
            item=battle.item,
            tools=tuple(tool.name for tool in battle.tools),
        )


def _revealed(side: Side) -> RevealedSide:
    assert side.generation is not None, "only a complete battle gets a vote"
    return RevealedSide(side.arm, side.answer, side.generation, side.names_itself)
