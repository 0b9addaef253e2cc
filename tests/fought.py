"""Battles that were fought without any model."""

from core.messages import Generation, GenerationParams, GenerationRequest, Message
from core.store.battle_records import Arm, Ballot, NewBattle, SideEnd
from core.store.battles import Battles
from evals.arena.votes import exclusion
from tests.fakes import generation_of


def made(model: str, text: str) -> Generation:
    """Return what a model has generated."""
    asked = GenerationRequest(model, (Message("user", "?"),), GenerationParams(), "cast")
    return generation_of(asked, text)


def new_battle(voter: str = "someone", prompt: str = "Who sits where?", **changes) -> NewBattle:
    """Return a battle of two models that were never asked."""
    values = {
        "voter": voter,
        "messages": (Message("user", prompt),),
        "params": GenerationParams(temperature=0.7, seed=7),
        "a": Arm("one", "sha256:1"),
        "b": Arm("two", "sha256:2"),
    }
    return NewBattle(**{**values, **changes})


def fought(
    battles: Battles,
    outcome: str | None = None,
    said: tuple[str, str] = ("first answer", "second answer"),
    **changes,
) -> str:
    """Store a complete battle, and the vote if an outcome is given; return its id."""
    new = new_battle(**changes)
    battle_id = battles.begin(new)
    battles.start([new.voter], battle_id)
    ends = [SideEnd(made(arm.model, t)) for arm, t in zip((new.a, new.b), said, strict=True)]
    battles.finish(battle_id, *ends)
    if outcome is not None:
        battles.vote([new.voter], battle_id, Ballot(outcome), exclusion)
    return battle_id
