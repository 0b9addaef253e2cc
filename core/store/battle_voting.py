"""The steps of a vote, inside one write transaction."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, RowMapping, func, insert, select

from core.errors import ConflictError
from core.observe.liveness import has_ended
from core.store import battle_figures
from core.store.battle_records import RECENT, Ballot, Exclusion, History, StoredBattle
from core.store.battle_tables import battles, votes

Rule = Callable[[StoredBattle, History], Exclusion | None]
"""Says why a vote on a battle doesn't count; None: it does."""

TWICE = "this battle has its vote already; begin another one"
FAILED = "an answer of this battle failed, so there is nothing to vote on; begin another one"
CUT_OFF = "this battle was cut off before both answers were complete; begin another one"
TOO_EARLY = "both answers must be complete before a vote; wait for them"


def check_votable(row: RowMapping, battle: StoredBattle) -> None:
    """Refuse a vote on a battle that has its own, or never gets one, or not yet.

    Raises:
        ConflictError: the text says which.
    """
    if battle.vote is not None:
        raise ConflictError(TWICE)
    if battle.status == "failed":
        raise ConflictError(FAILED)
    if battle.status == "begun":
        started = row["started_at"]
        is_lost = started is not None and has_ended(row["process"], datetime.now(UTC) - started)
        raise ConflictError(CUT_OFF if is_lost else TOO_EARLY)


def wait_for_turn(connection: Connection, voters: Sequence[str]) -> None:
    """Let the votes of one voter follow each other; SQLite's writes do anyway."""
    if connection.dialect.name == "postgresql":
        for voter in sorted(voters):
            key = func.hashtextextended(voter, 0)
            connection.execute(select(func.pg_advisory_xact_lock(key)))


def history(connection: Connection, voters: Sequence[str], battle: StoredBattle) -> History:
    """Return what the voter has voted on before."""
    a, b = battle_figures.a, battle_figures.b
    models = [battle.a.arm.model, battle.b.arm.model]
    said = select(func.count()).select_from(
        battle_figures.BOTH.join(votes, votes.c.battle_id == battles.c.id)
    )
    said = said.where(battles.c.voter.in_(voters), battles.c.source == "person")
    repeats = said.where(
        battles.c.prompt == battle.prompt,
        votes.c.excluded_because.is_(None),
        a.c.model.in_(models),
        b.c.model.in_(models),
        a.c.model != b.c.model,
    )
    recent = said.where(votes.c.voted_at > datetime.now(UTC) - RECENT)
    return History(connection.scalars(repeats).one(), connection.scalars(recent).one())


def add_vote(
    connection: Connection, battle_id: str, ballot: Ballot, because: Exclusion | None
) -> None:
    """Store the vote."""
    said = {"outcome": ballot.outcome, "reasons": list(ballot.reasons)}
    new = insert(votes).values(battle_id=battle_id, **said)
    connection.execute(new.values(voted_at=datetime.now(UTC), excluded_because=because))
