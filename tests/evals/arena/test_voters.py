"""Pseudonyms: the same in every process, nobody's id, and gone after two periods."""

import hashlib

import pytest
from sqlalchemy import select

from core.errors import NotFoundError
from core.store import store_secret, tables
from core.store.battle_records import Ballot
from core.store.battles import Battles
from evals.arena.voters import PERIOD_S, Voters
from evals.arena.votes import exclusion
from tests.fought import fought

VISITOR = "0123456789abcdef0123456789abcdef"


class Clock:
    """Tells the time that it was set to."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def salts(store):
    with store.read() as connection:
        names = connection.scalars(select(tables.secrets.c.name)).all()
    return {name for name in names if name.startswith("voters ")}


def test_a_pseudonym_is_nobody_s_id_and_the_same_in_every_process(store):
    one = Voters(store).of(VISITOR)
    assert one.before is None
    assert Voters(store).of(VISITOR) == one
    assert Voters(store).of(VISITOR[::-1]) != one
    assert one.now not in (VISITOR, hashlib.sha256(VISITOR.encode()).hexdigest()[:32])
    assert len(one.now) == 32


def test_the_salt_rotates_and_open_battles_stay_their_visitor_s_for_one_period(store):
    clock = Clock()
    voters, battles = Voters(store, clock), Battles(store)
    store_secret(store, "voters-of-something-else")
    old = voters.of(VISITOR)
    mine, stale = (fought(battles, voter=old.now, prompt=prompt) for prompt in ("1", "2"))

    clock.now += PERIOD_S
    now = voters.of(VISITOR)
    assert now.before == old.now
    assert now.now != old.now
    assert Voters(store, clock).of(VISITOR) == now
    assert Voters(store, clock).of("somebody else").all() != now.all()
    assert battles.vote(now.all(), mine, Ballot("tie"), exclusion).vote is not None

    clock.now += PERIOD_S
    assert old.now not in voters.of(VISITOR).all()
    with pytest.raises(NotFoundError):
        battles.vote(voters.of(VISITOR).all(), stale, Ballot("tie"), exclusion)
    assert len(salts(store)) == 2
    assert store_secret(store, "voters-of-something-else")

    clock.now += 5 * PERIOD_S
    assert voters.of(VISITOR).before is None
    assert len(salts(store)) == 1
