"""Blind battles: the server draws pair and sides, stores the answers, and takes one vote.

Until the vote nothing that leaves here names a model: no ticket, no frame, no error. What was
drawn is stored before anything is generated, and the vote and its reveal are one transaction.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from random import Random, SystemRandom

from core.errors import (
    AppError,
    ForbiddenError,
    GenerationError,
    InputError,
    ModelNotAllowedError,
    UnavailableError,
)
from core.gateway.allow import Limits, RateLimiter
from core.gateway.gateway import Gateway
from core.messages import GenerationParams, GenerationRequest, Message, Tool
from core.store import Store
from core.store.battle_records import (
    SIDES,
    Arm,
    BattleCounts,
    NewBattle,
    Side,
    SideEnd,
    StoredBattle,
    question_of,
    shown_answer,
)
from core.store.battles import Battles
from core.store.text import clean_text
from evals.arena.draw import arm_of, common_start, draw_pair, experiment_pair, ready_models
from evals.arena.items import find_item
from evals.arena.self_naming import names_itself
from evals.arena.shown import Ask, OpenBattle, Pair, Reveal, Ticket
from evals.arena.sides import NOTHING, SideFrame, run_sides
from evals.arena.voters import Voters
from evals.arena.votes import exclusion, read_ballot

BEGINNINGS = Limits(requests_per_minute=20)
"""Battles that one visitor may begin."""
SEEDS = 2**32
CANCELLED = "CANCELLED"
"""Code of a side that was stopped."""
CLOSED = "a model can't answer now; begin another battle"
BROKEN = "this side failed, so the battle does not count; begin another one"
TOO_LONG = "the prompt is too long for a model of this battle; shorten it and begin another one"
STOPPED = "this battle was stopped, so it does not count; begin another one"

Frames = Generator[tuple[SideFrame, SideFrame], None, None]
Start = tuple[tuple[Message, ...], tuple[Tool, ...], GenerationParams]


class Arena:
    """Battles of one process; what matters is in the store, so they survive it."""

    def __init__(
        self,
        gateway: Gateway,
        store: Store,
        home: Path,
        running: Callable[[], Pair | None] = lambda: None,
        chance: Random | None = None,
    ) -> None:
        """Take the parts.

        Args:
            gateway: the way to the models.
            store: where battles are kept.
            home: `$UNDERSTUDY_HOME`, where tasks are looked up.
            running: returns the pair of the running experiment on votes; None: there is none.
            chance: draws pairs, sides and seeds; None: the system's source of randomness.
        """
        self._gateway = gateway
        self._battles = Battles(store)
        self._voters = Voters(store)
        self._home = home
        self._running = running
        self._chance = chance or SystemRandom()
        self._limiter = RateLimiter(BEGINNINGS)

    def begin(self, visitor: str, ask: Ask) -> Ticket:
        """Draw the pair and the sides and store the battle; nothing is generated yet.

        Raises:
            InputError: the prompt is empty or too long, a parameter is out of bounds, or there is
                no visitor.
            NotFoundError: no such task or item.
            RateLimitError: the visitor has begun too many battles within a minute.
            UnavailableError: no two different models can answer now.
        """
        voter = self._voters.of(visitor).now
        self._limiter.admit(voter)
        if ask.item is None and not ask.prompt.strip():
            raise InputError("write a prompt first")
        experiment, arms = self._drawn()
        messages, tools, params = self._start(ask, arms)
        new = NewBattle(
            voter=voter,
            messages=messages,
            tools=tools,
            params=replace(params, seed=self._chance.randrange(SEEDS)),
            a=arms[0],
            b=arms[1],
            task=ask.task if ask.item is not None else None,
            item=ask.item,
            experiment=experiment,
        )
        self._check(new)
        return Ticket(self._battles.begin(new), question_of(messages))

    def stream(self, visitor: str, battle_id: str, stop: threading.Event) -> Frames:
        """Answer a battle, once: yield frames of both sides at one pace, without a generation.

        `text` is what a person reads, tool calls included. The last frame is complete on both
        sides, and by then the battle is stored as complete, or as failed: then a side has a
        neutral error. Closing it, or `stop`, ends the generations and fails the battle.

        Raises (with the first frame):
            NotFoundError: this visitor has no such battle.
            ConflictError: it was answered already.
        """
        battle = self._battles.start(self._voters.of(visitor).all(), battle_id)
        requests = [_request(battle, side.arm) for side in (battle.a, battle.b)]
        ends = SideEnd(error=CANCELLED), SideEnd(error=CANCELLED)
        a = b = NOTHING
        try:
            with closing(run_sides(self._gateway, requests, is_level=True, stop=stop)) as frames:
                for a, b in frames:
                    if not (a.is_complete and b.is_complete):
                        yield _blind(a), _blind(b)
            ends = self._end(battle, battle.a, a), self._end(battle, battle.b, b)
        finally:
            self._battles.finish(battle.id, *ends)
        yield _ended(a, ends[0]), _ended(b, ends[1])

    def vote(self, visitor: str, battle_id: str, outcome: object, reasons: object = ()) -> Reveal:
        """Store the vote, once and for all, and return what was behind the sides.

        Raises:
            InputError: no such outcome or reason.
            NotFoundError: this visitor has no such battle.
            ConflictError: it was voted on already, is not complete, was cut off or has failed.
        """
        ballot = read_ballot(outcome, reasons)
        voters = self._voters.of(visitor).all()
        return Reveal.of(self._battles.vote(voters, battle_id, ballot, exclusion))

    def reveal(self, visitor: str, battle_id: str) -> Reveal:
        """Return again what `vote` returned.

        Raises:
            NotFoundError: this visitor has no such battle.
            ConflictError: there is no vote on it yet.
        """
        return Reveal.of(self._battles.voted(self._voters.of(visitor).all(), battle_id))

    def opened(self, visitor: str) -> OpenBattle | None:
        """Return the visitor's newest complete battle if it has no vote yet, for a reload."""
        battle = self._battles.opened(self._voters.of(visitor).all())
        return None if battle is None else OpenBattle.of(battle)

    def correct(self, visitor: str, battle_id: str, side: object, text: str) -> None:
        """Store what the answer of side `a` or `b` should have been; the newest counts.

        Raises:
            InputError: no such side, or the text is empty, too long or the answer itself.
            NotFoundError: this visitor has no such battle.
            ConflictError: there is no vote on it yet.
        """
        name = next((each for each in SIDES if each == side), None)
        if name is None:
            raise InputError("an edited answer belongs to side 'a' or 'b'")
        most = self._gateway.traffic.catalog.limits.input_characters
        edited = clean_text(text).strip()
        if not edited or len(edited) > most:
            raise InputError(f"an edited answer has 1 to {most} characters, got {len(edited)}")
        voters = self._voters.of(visitor).all()
        battle = self._battles.voted(voters, battle_id)
        if edited == (battle.a if name == "a" else battle.b).answer.strip():
            raise InputError("this is the answer as it is; change it first")
        self._battles.correct(voters, battle_id, name, edited)

    def counts(self) -> BattleCounts:
        """Return how many battles and votes people have made."""
        return self._battles.counts()

    def _drawn(self) -> tuple[str | None, tuple[Arm, Arm]]:
        traffic = self._gateway.traffic
        pair = self._running()
        if pair is not None:
            # An experiment that can't go on must not end everybody's battles.
            with suppress(UnavailableError):
                return pair.experiment, experiment_pair(traffic, pair.arms, self._chance)
        models, met = ready_models(traffic), self._battles.met()
        return None, draw_pair(models, met, lambda name: arm_of(traffic, name), self._chance)

    def _start(self, ask: Ask, arms: tuple[Arm, Arm]) -> Start:
        if ask.item is not None:
            item = find_item(self._home, ask.task or "", ask.item)
            return item.messages, item.tools, item.params
        catalog = self._gateway.traffic.catalog
        system, tools = common_start(catalog, [arm.model for arm in arms])
        return (*system, Message("user", clean_text(ask.prompt))), tools, ask.params

    def _check(self, new: NewBattle) -> None:
        """Refuse now what the models would be refused, without naming one."""
        for arm in (new.a, new.b):
            try:
                self._gateway.check(_request(new, arm))
            except (ModelNotAllowedError, ForbiddenError, UnavailableError) as error:
                raise UnavailableError(CLOSED) from error

    def _end(self, battle: StoredBattle, side: Side, frame: SideFrame) -> SideEnd:
        made = frame.generation
        if made is None:
            return SideEnd(error=AppError.code if frame.error is None else frame.error.code)
        if made.finish_reason == "cancelled":
            return SideEnd(error=CANCELLED)
        catalog = self._gateway.traffic.catalog
        told = names_itself(catalog, side.arm.model, battle.question, shown_answer(made))
        return SideEnd(made, told)


def _request(battle: NewBattle | StoredBattle, arm: Arm) -> GenerationRequest:
    """Return what one side is asked.

    The caller is the pseudonym: under their own name a visitor could read the model in a trace.
    """
    return GenerationRequest(
        model=arm.model,
        messages=battle.messages,
        params=battle.params,
        caller=f"voter:{battle.voter}",
        tools=battle.tools,
        cache="off",
    )


def _blind(frame: SideFrame) -> SideFrame:
    return replace(NOTHING, text=frame.text + frame.call_text)


def _ended(frame: SideFrame, end: SideEnd) -> SideFrame:
    """Return the last frame of a side; of a failed one with an error that names nothing."""
    if end.generation is not None:
        return replace(NOTHING, text=shown_answer(end.generation), is_complete=True)
    text = STOPPED if end.error == CANCELLED else BROKEN
    if frame.error is not None and frame.error.failure == "context_too_long":
        text = TOO_LONG
    return replace(_blind(frame), is_complete=True, error=GenerationError(text))
