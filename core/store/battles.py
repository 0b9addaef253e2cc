"""Battles and votes in the store: begun before anything is generated, voted on once.

A battle belongs to a voter's pseudonym, and its visitor shows all pseudonyms that they have now:
somebody else's battle is the same as none. What is complete or failed never changes again; it
gets at most one vote, and edited answers.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from core.errors import ConflictError, InputError, NotFoundError
from core.messages import Generation, new_id
from core.observe.liveness import process_mark
from core.store import battle_figures
from core.store.battle_records import (
    Ballot,
    BattleCounts,
    Measured,
    NewBattle,
    RatedBattle,
    SideEnd,
    SideName,
    Source,
    StoredBattle,
)
from core.store.battle_rows import battle_values, end_values, read_battle, read_battles, side_values
from core.store.battle_tables import battle_corrections, battle_sides, battles, votes
from core.store.battle_voting import Rule, add_vote, check_votable, history, wait_for_turn
from core.store.database import Store
from core.store.ownership import is_id
from core.store.text import clean_text

READ_AT_ONCE = 500
"""Battles that one query reads whole."""
MOST_CORRECTIONS = 20
"""Edited answers that one battle takes."""

UNKNOWN = "there is no such battle of yours; begin one"
STREAMED = "this battle was answered already; begin another one"
NO_VOTE = "this battle has no vote yet; vote first"


class Battles:
    """The battles in a store; safe to share between threads and processes.

    Every method raises StorageError when the store can't be used.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._process = process_mark()

    def begin(self, new: NewBattle) -> str:
        """Store a battle that nothing is generated of yet; return its id."""
        with self._store.write() as connection:
            return self._begin(connection, new)

    def start(self, voters: Sequence[str], battle_id: str) -> StoredBattle:
        """Take a battle to answer it, which is possible once; return it.

        Raises:
            NotFoundError: the voter has no such battle.
            ConflictError: it was taken already.
        """
        with self._store.write() as connection:
            row = _owned(connection, voters, battle_id)
            if row["started_at"] is not None:
                raise ConflictError(STREAMED)
            started = update(battles).filter_by(id=battle_id)
            connection.execute(started.values(started_at=_now(), process=self._process))
            return read_battle(connection, row)

    def finish(self, battle_id: str, a: SideEnd, b: SideEnd) -> None:
        """Store how both sides ended; the battle has failed if one of them has.

        A battle that has ended already stays as it is.
        """
        with self._store.write() as connection:
            _finish(connection, battle_id, a, b)

    def vote(
        self, voters: Sequence[str], battle_id: str, ballot: Ballot, rule: Rule
    ) -> StoredBattle:
        """Store the battle's one vote, and return the battle with it.

        Votes of one voter wait for each other, so the rule sees all earlier ones.

        Raises:
            NotFoundError: the voter has no such battle.
            ConflictError: it has its vote, or never gets one, or not yet; the text says which.
        """
        with self._store.write() as connection:
            wait_for_turn(connection, voters)
            row = _owned(connection, voters, battle_id)
            battle = read_battle(connection, row)
            check_votable(row, battle)
            because = rule(battle, history(connection, voters, battle))
            add_vote(connection, battle_id, ballot, because)
            return read_battle(connection, row)

    def voted(self, voters: Sequence[str], battle_id: str) -> StoredBattle:
        """Return a battle of the voter that has its vote.

        Raises:
            NotFoundError: the voter has no such battle.
            ConflictError: there is no vote on it.
        """
        with self._store.read() as connection:
            battle = read_battle(connection, _owned(connection, voters, battle_id))
        if battle.vote is None:
            raise ConflictError(NO_VOTE)
        return battle

    def opened(self, voters: Sequence[str]) -> StoredBattle | None:
        """Return the voter's newest complete battle, if it has no vote yet."""
        query = (
            select(battles)
            .where(battles.c.voter.in_(voters), battles.c.status == "complete")
            .order_by(battles.c.created_at.desc(), battles.c.id)
            .limit(1)
        )
        with self._store.read() as connection:
            row = connection.execute(query).mappings().first()
            battle = None if row is None else read_battle(connection, row)
        return battle if battle is not None and battle.vote is None else None

    def correct(self, voters: Sequence[str], battle_id: str, side: SideName, text: str) -> None:
        """Store what a side's answer should have been; the newest counts.

        Raises:
            NotFoundError: the voter has no such battle.
            ConflictError: there is no vote on it.
            InputError: it has too many edited answers.
        """
        new = {"battle_id": battle_id, "side": side, "text": clean_text(text)}
        held = select(func.count()).select_from(battle_corrections).filter_by(battle_id=battle_id)
        with self._store.write() as connection:
            if read_battle(connection, _owned(connection, voters, battle_id)).vote is None:
                raise ConflictError(NO_VOTE)
            if connection.scalars(held).one() >= MOST_CORRECTIONS:
                raise InputError(
                    f"this battle has {MOST_CORRECTIONS} edited answers already, and takes no more"
                )
            connection.execute(insert(battle_corrections).values(**new, created_at=_now()))

    def add_judged(
        self, new: NewBattle, answers: tuple[Generation, Generation], ballot: Ballot
    ) -> str:
        """Store a finished battle that a judge has voted on; return its id."""
        with self._store.write() as connection:
            battle_id = self._begin(connection, new)
            _finish(connection, battle_id, *map(SideEnd, answers))
            add_vote(connection, battle_id, ballot, None)
        return battle_id

    def get(self, battle_id: str) -> StoredBattle:
        """Return a battle, whoever's it is.

        Raises:
            NotFoundError: there is none of this id.
        """
        with self._store.read() as connection:
            row = _row(connection, battle_id)
            if row is None:
                raise NotFoundError(f"no battle {battle_id[:40]!r}")
            return read_battle(connection, row)

    def with_votes(self, source: Source) -> Iterator[StoredBattle]:
        """Yield the battles that have a vote, counted or not, oldest first."""
        order = (battles.c.created_at, battles.c.id)
        found = select(battles.c.id).join(votes, votes.c.battle_id == battles.c.id)
        with self._store.read() as connection:
            ids = connection.scalars(found.filter_by(source=source).order_by(*order)).all()
        for start in range(0, len(ids), READ_AT_ONCE):
            part = ids[start : start + READ_AT_ONCE]
            query = select(battles).where(battles.c.id.in_(part)).order_by(*order)
            with self._store.read() as connection:
                read = read_battles(connection, connection.execute(query).mappings().all())
            yield from read

    def rated(self, source: Source = "person", experiment: str | None = None) -> list[RatedBattle]:
        """Return the counted votes, oldest first; of one experiment, or of all battles."""
        with self._store.read() as connection:
            return battle_figures.rated(connection, source, experiment)

    def measured(self, source: Source = "person", experiment: str | None = None) -> list[Measured]:
        """Return what each side of each battle with a vote took, counted or not."""
        with self._store.read() as connection:
            return battle_figures.measured(connection, source, experiment)

    def counts(self, source: Source = "person", experiment: str | None = None) -> BattleCounts:
        """Return how many battles and votes there are."""
        with self._store.read() as connection:
            return battle_figures.counts(connection, source, experiment)

    def met(self) -> Counter[frozenset[str]]:
        """Return how many complete battles of people each two models have had."""
        with self._store.read() as connection:
            return battle_figures.met(connection)

    def judged(self, voter: str, task: str) -> set[tuple[str, str, str]]:
        """Return item, first and second model of each battle of a judge on a task."""
        with self._store.read() as connection:
            return battle_figures.judged(connection, voter, task)

    def newest_vote(self) -> tuple[int, datetime | None]:
        """Return how many votes there are, excluded and judges' ones too, and when the last came.

        Whoever keeps what was computed of the votes compares this.
        """
        query = select(func.count(), func.max(votes.c.voted_at)).select_from(votes)
        with self._store.read() as connection:
            number, newest = connection.execute(query).one()
        return number, newest

    def _begin(self, connection: Connection, new: NewBattle) -> str:
        battle_id = new_id()
        made = {"id": battle_id, "created_at": _now(), "status": "begun", "process": self._process}
        connection.execute(insert(battles).values(**made, **battle_values(new)))
        sides = [side_values("a", new.a), side_values("b", new.b)]
        rows = [{**side, "battle_id": battle_id} for side in sides]
        connection.execute(insert(battle_sides), rows)
        return battle_id


def _finish(connection: Connection, battle_id: str, a: SideEnd, b: SideEnd) -> None:
    status = "complete" if a.generation and b.generation else "failed"
    ended = update(battles).filter_by(id=battle_id, status="begun").returning(battles.c.id)
    if connection.scalar(ended.values(status=status, ended_at=_now())) is None:
        return
    for side, end in (("a", a), ("b", b)):
        changed = update(battle_sides).filter_by(battle_id=battle_id, side=side)
        connection.execute(changed.values(end_values(end)))


def _row(connection: Connection, battle_id: str) -> RowMapping | None:
    """Return a battle's row, locked until a transaction that writes ends."""
    if not is_id(str(battle_id)):
        return None
    query = select(battles).filter_by(id=str(battle_id)).with_for_update()
    return connection.execute(query).mappings().one_or_none()


def _owned(connection: Connection, voters: Sequence[str], battle_id: str) -> RowMapping:
    row = _row(connection, battle_id)
    if row is None or row["voter"] not in voters:
        raise NotFoundError(UNKNOWN)
    return row


def _now() -> datetime:
    return datetime.now(UTC)
