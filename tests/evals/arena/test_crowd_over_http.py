"""Fifty visitors vote over HTTP for a minute, the app is killed in between: no vote goes astray."""

import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from core.settings import Settings
from core.store import open_store
from core.store.battles import Battles
from tests.browser.conftest import Server
from tests.evals.arena.crowd import CROWD, OUTCOMES
from tests.http_voter import HttpVoter, RefusedError

BROKEN = (httpx.HTTPError, LookupError)
"""What a call meets whose server is killed: no answer, or half of one."""
LOG = logging.getLogger(__name__)
SECOND_S = 1.0
RUN_S, KILLS = 60, 3


@dataclass
class Crowd:
    """What all visitors have seen; each battle has one visitor."""

    app: Server
    until: float
    """Monotonic, in seconds."""
    told: dict[str, str] = field(default_factory=dict)
    """Outcome by battle, of the votes whose reveal came."""
    unsure: dict[str, str] = field(default_factory=dict)
    """Of those whose answer never came."""
    refusals: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)

    def visit(self, number: int) -> None:
        """Be one visitor: battle and vote until time is up."""
        voter = HttpVoter.newcomer(self.app.url)
        turn = 0
        while time.monotonic() < self.until:
            turn += 1
            try:
                battle = voter.fight(f"number{number} asks {turn}")
                self._vote(voter, battle, OUTCOMES[(number + turn) % 4])
            except RefusedError as error:
                self.refusals[str(error)] += 1
                time.sleep(SECOND_S)  # A visitor may begin 20 battles a minute.
            except BROKEN:
                self.broken["a battle"] += 1
                self._wait()

    def _vote(self, voter: HttpVoter, battle: str, outcome: str) -> None:
        """Vote; whoever hears nothing asks again, and nobody may vote twice."""
        try:
            voter.vote(battle, outcome)
        except BROKEN:
            self.broken["a vote"] += 1
            self.unsure[battle] = outcome
            self._wait()
            return
        self.told[battle] = outcome
        try:
            with pytest.raises(RefusedError, match="already"):
                voter.vote(battle, "tie")
        except BROKEN:
            self._wait()

    def _wait(self) -> None:
        while not self.app.is_up() and time.monotonic() < self.until + RUN_S:
            time.sleep(SECOND_S / 10)


@pytest.mark.long
def test_fifty_voters_for_a_minute_with_kill_9_lose_and_double_no_vote(tmp_path: Path) -> None:
    app = Server(tmp_path, "tests/browser/battle_app.py")
    crowd = Crowd(app, time.monotonic() + RUN_S)
    pause = threading.Event()
    try:
        with ThreadPoolExecutor(CROWD) as pool:
            visitors = [pool.submit(crowd.visit, number) for number in range(CROWD)]
            for _ in range(KILLS):
                pause.wait(RUN_S / (KILLS + 1))
                app.kill()
                app.start()
        for visitor in visitors:
            visitor.result()
    finally:
        app.kill()

    store = open_store(Settings.from_env({"UNDERSTUDY_HOME": str(tmp_path)}).database_url)
    kept = {each.battle: each.outcome for each in Battles(store).rated()}
    counts = Battles(store).counts()
    store.close()
    LOG.info(
        "%d votes answered, %d not, %d kept; broken off: %s; refused: %s; %s",
        *map(len, (crowd.told, crowd.unsure, kept)), crowd.broken, crowd.refusals, counts,
    )  # fmt: skip
    assert crowd.told.items() <= kept.items()
    assert kept.items() <= (crowd.told | crowd.unsure).items()
    assert counts.counted == len(kept) > CROWD
    assert counts.excluded == {}
    assert crowd.broken.total() > 0, "the kills came when nobody was there"
