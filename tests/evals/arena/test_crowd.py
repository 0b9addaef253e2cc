"""Fifty visitors vote at once while their process is killed: no vote is lost, none is doubled."""

import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from core.errors import ConflictError
from core.settings import PROJECT
from core.store.battles import Battles
from tests.evals.arena.cast import make_arena
from tests.evals.arena.crowd import CROWD


@dataclass
class Told:
    """What the crowd's processes have said, over all rounds."""

    voted: dict[str, str] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    """Battles that were being answered, and would be for ever."""
    twice: list[str] = field(default_factory=list)

    def take(self, line: str) -> None:
        """Read one line; the last one of a killed process may be torn."""
        match line.split():
            case ["voted", battle, outcome] if line.endswith("\n"):
                assert battle not in self.voted, "one battle was voted on in two rounds"
                self.voted[battle] = outcome
            case ["begun", battle, visitor] if line.endswith("\n"):
                self.begun[battle] = visitor
            case ["started", battle] if self.begun.get(battle) == "waiting":
                self.waiting.add(battle)
            case ["twice", battle]:
                self.twice.append(battle)


def kill_at(process: subprocess.Popen[str], told: Told, votes: int) -> None:
    """Read until so many more votes were told of and one waits, kill -9, and read the rest."""
    assert process.stdout is not None
    wanted, waiting = len(told.voted) + votes, len(told.waiting) + 1
    with process.stdout:
        for line in process.stdout:
            told.take(line)
            if len(told.voted) >= wanted and len(told.waiting) == waiting:
                process.kill()
    process.wait()
    assert len(told.voted) >= wanted, "the crowd ended by itself"


@pytest.mark.parametrize(
    "votes", [(20, 40), pytest.param((5, 200, 1, 300, 60, 150), marks=pytest.mark.long)]
)
def test_kill_9_among_fifty_voters_loses_and_doubles_no_vote(settings, store, database_url, votes):
    told = Told()
    for number, wanted in enumerate(votes):
        command = [sys.executable, "-m", "tests.evals.arena.crowd", str(settings.home)]
        process = subprocess.Popen(
            [*command, database_url, f"round {number}"],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            text=True,
        )
        kill_at(process, told, wanted)

    battles, arena = Battles(store), make_arena(settings, store)
    kept = {each.battle: each.outcome for each in battles.rated()}
    assert told.twice == []
    assert told.voted.items() <= kept.items()
    # A vote may be stored whose visitor was not told any more: one for each of them and kill.
    assert len(kept) - len(told.voted) <= CROWD * len(votes)
    counts = arena.counts()
    assert counts.counted == sum(counts.outcomes.values()) == len(kept)
    assert counts.excluded == {}
    assert counts.failed == 0

    # At least the one whose answers never came was cut off in each round, and is told so.
    assert counts.cut_off >= len(told.waiting) == len(votes)
    for battle in told.waiting:
        with pytest.raises(ConflictError, match="was cut off before both answers were complete"):
            arena.vote("waiting", battle, "tie")
    assert arena.counts() == counts
