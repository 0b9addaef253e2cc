"""Blind battles: what a visitor may do with their own, and nothing of anybody else's."""

import threading
from contextlib import closing

import pytest

from core.errors import (
    AppError,
    ConflictError,
    GenerationError,
    InputError,
    NotFoundError,
    RateLimitError,
)
from core.messages import new_id
from core.observe import Ledger
from core.settings import Settings
from core.store import open_store
from core.store.battles import Battles
from evals.arena.arena import Arena
from evals.arena.shown import Ask, Pair
from tests.evals.arena.cast import NAMES, Cast, cast_catalog, cast_gateway, make_arena
from tests.fakes import gateway_of

PROMPT = "Where does Ada sit?"


@pytest.fixture
def store(sqlite_url):
    """Return the one store that is enough here; `test_battles` and `test_crowd` use both."""
    with closing(open_store(sqlite_url)) as opened:
        yield opened


@pytest.fixture
def arena(settings, store):
    return make_arena(settings, store)


@pytest.fixture(scope="module")
def open_battle(tmp_path_factory):
    home = tmp_path_factory.mktemp("arena")
    settings = Settings.from_env({"UNDERSTUDY_HOME": str(home)})
    with closing(open_store(settings.database_url)) as store:
        arena = make_arena(settings, store)
        yield arena, battle(arena)[0]


def battle(arena, visitor="ada", prompt=PROMPT, **asked):
    """Begin a battle and answer it; return its id and the frames."""
    ticket = arena.begin(visitor, Ask(prompt, **asked))
    return ticket.id, list(arena.stream(visitor, ticket.id, threading.Event()))


def test_a_battle_is_recorded_before_it_is_answered_and_revealed_by_its_vote(
    arena, settings, store
):
    ticket = arena.begin("ada", Ask(PROMPT))
    assert ticket.prompt == PROMPT
    begun = Battles(store).get(ticket.id)
    assert (begun.status, begun.a.answer, begun.b.answer) == ("begun", "", "")
    assert {begun.a.arm.model, begun.b.arm.model} < set(NAMES)
    assert begun.params.seed is not None
    assert begun.a.arm.digest != begun.b.arm.digest
    assert "ada" not in begun.voter

    frames = list(arena.stream("ada", ticket.id, threading.Event()))
    assert all(side.generation is None and side.error is None for pair in frames for side in pair)
    assert [side.is_complete for side in frames[-1]] == [True, True]
    assert not any(side.is_complete for pair in frames[:-1] for side in pair)
    open_one = arena.opened("ada")
    assert (open_one.id, open_one.prompt) == (ticket.id, PROMPT)
    assert (open_one.answer_a, open_one.answer_b) == tuple(side.text for side in frames[-1])
    assert arena.counts().counted == 0

    # Another process, as after a restart, takes the vote and has the same reveal.
    reveal = make_arena(settings, store).vote("ada", ticket.id, "model_b", ["clear", "clear"])
    assert (reveal.outcome, reveal.reasons, reveal.excluded_because) == (
        "model_b",
        ("clear",),
        None,
    )
    assert (reveal.a.arm, reveal.b.arm) == (begun.a.arm, begun.b.arm)
    assert reveal.a.generation.model.id == begun.a.arm.model
    assert reveal.a.generation.params == begun.params
    assert reveal.a.answer == frames[-1][0].text
    assert arena.reveal("ada", ticket.id) == reveal
    assert arena.opened("ada") is None
    assert arena.counts().outcomes["model_b"] == 1


def refusals(arena, visitor, battle_id):
    """Try everything that needs a battle; return each error."""
    tries = (
        lambda: arena.vote(visitor, battle_id, "tie"),
        lambda: arena.reveal(visitor, battle_id),
        lambda: arena.correct(visitor, battle_id, "a", "better"),
        lambda: list(arena.stream(visitor, battle_id, threading.Event())),
    )
    errors = []
    for each in tries:
        with pytest.raises(AppError) as caught:
            each()
        errors.append(caught.value)
    return errors


def test_forged_and_foreign_battles_are_the_same_as_none(arena):
    mine, _ = battle(arena)
    texts = set()
    for visitor, battle_id in (
        ("bob", mine),
        ("ada", new_id()),
        ("ada", "' OR 1=1 --"),
        ("ada", "\0"),
        ("ada", "\ud800" * 32),
        ("ada", ""),
        ("ada", None),
        ("ada", {"id": mine}),
    ):
        for error in refusals(arena, visitor, battle_id):
            assert isinstance(error, NotFoundError)
            texts.add(str(error))
    assert texts == {"there is no such battle of yours; begin one"}
    assert arena.opened("bob") is None
    assert arena.vote("ada", mine, "tie").outcome == "tie"
    with pytest.raises(InputError, match="allow cookies"):
        arena.begin("", Ask(PROMPT))


def test_one_vote_and_only_when_both_sides_are_complete(arena):
    ticket = arena.begin("ada", Ask(PROMPT))
    stream = arena.stream("ada", ticket.id, threading.Event())
    early = "both answers must be complete"
    with pytest.raises(ConflictError, match=early):
        arena.vote("ada", ticket.id, "tie")
    next(stream)
    with pytest.raises(ConflictError, match=early):
        arena.vote("ada", ticket.id, "tie")
    with pytest.raises(ConflictError, match="answered already"):
        next(arena.stream("ada", ticket.id, threading.Event()))
    list(stream)
    assert arena.vote("ada", ticket.id, "tie").outcome == "tie"
    with pytest.raises(ConflictError, match="has its vote"):
        arena.vote("ada", ticket.id, "model_a")
    assert arena.reveal("ada", ticket.id).outcome == "tie"
    with pytest.raises(ConflictError, match="answered already"):
        next(arena.stream("ada", ticket.id, threading.Event()))


def test_a_failed_side_fails_the_battle_and_tells_no_name(settings, store):
    catalog = cast_catalog(settings, NAMES[:2])
    arena = Arena(gateway_of(catalog, store, {"replay": Cast()}), store, settings.home)
    battle_id, frames = battle(arena, prompt="please fail")
    errors = [side.error for side in frames[-1]]
    assert sorted(error is None for error in errors) == [False, True]
    (error,) = [error for error in errors if error is not None]
    assert isinstance(error, GenerationError)
    assert not any(name in str(error) for name in NAMES)
    with pytest.raises(ConflictError, match="failed, so there is nothing to vote on"):
        arena.vote("ada", battle_id, "model_a")
    stored = Battles(store).get(battle_id)
    assert {side.error for side in (stored.a, stored.b)} == {None, "GENERATION_FAILED"}
    assert (arena.counts().failed, arena.counts().complete) == (1, 0)


def test_a_prompt_too_long_for_a_model_is_told_without_its_name(arena):
    _, frames = battle(arena, prompt="an endless one")
    said = {str(side.error) for side in frames[-1] if side.error is not None}
    assert said == {
        "the prompt is too long for a model of this battle; shorten it and begin another one"
    }


@pytest.mark.parametrize("how", ["stop", "close", "bug"])
def test_what_is_stopped_or_breaks_is_failed_and_never_voted_on(settings, store, how):
    catalog = cast_catalog(settings, NAMES[:2])
    arena = Arena(gateway_of(catalog, store, {"replay": Cast()}), store, settings.home)
    ticket = arena.begin("ada", Ask("bug" if how == "bug" else "wait"))
    stop = threading.Event()
    with closing(arena.stream("ada", ticket.id, stop)) as stream:
        next(stream)
        if how == "stop":
            stop.set()
            *_, last = stream
            assert {str(side.error).split(",")[0] for side in last} == {"this battle was stopped"}
        elif how == "bug":
            with pytest.raises(RuntimeError):
                list(stream)
    with pytest.raises(ConflictError, match="failed"):
        arena.vote("ada", ticket.id, "tie")
    assert Battles(store).get(ticket.id).a.error == "CANCELLED"
    assert arena.opened("ada") is None


@pytest.mark.parametrize(
    ("outcome", "reasons", "says"),
    [
        ("model_c", (), "no outcome 'model_c'"),
        (None, (), "no outcome 'NoneType'"),
        (["tie"], (), "no outcome 'list'"),
        ("x" * 10_000, (), "no outcome 'x{40}';"),
        ("tie", "clear", "reasons must be a list"),
        ("tie", 3, "reasons must be a list"),
        ("tie", ["<b>"], "no reason '<b>'"),
        ("tie", [{}], "no reason 'dict'"),
        ("tie", ["clear"] * 100_000, "at most 6 reasons"),
        ("tie", ["y" * 10_000], "no reason 'y{40}'"),
    ],
)
def test_hostile_votes_are_refused_and_change_nothing(open_battle, outcome, reasons, says):
    arena, battle_id = open_battle
    with pytest.raises(InputError, match=says):
        arena.vote("ada", battle_id, outcome, reasons)
    assert arena.opened("ada").id == battle_id


def test_answers_are_edited_after_the_vote_by_their_visitor_only(arena, store):
    battle_id, frames = battle(arena)
    with pytest.raises(ConflictError, match="vote first"):
        arena.correct("ada", battle_id, "a", "Better.")
    arena.vote("ada", battle_id, "both_bad")
    for side, text in (("c", "x"), (None, "x"), ("a", " \0 "), ("a", "x" * 2001)):
        with pytest.raises(InputError):
            arena.correct("ada", battle_id, side, text)
    with pytest.raises(InputError, match="change it first"):
        arena.correct("ada", battle_id, "a", frames[-1][0].text)
    for text in ("Worse.", "Better.\0"):
        arena.correct("ada", battle_id, "a", text)
    assert Battles(store).get(battle_id).corrections == {"a": "Better."}
    for number in range(18):
        arena.correct("ada", battle_id, "b", f"Try {number}.")
    with pytest.raises(InputError, match="20 edited answers already"):
        arena.correct("ada", battle_id, "b", "One more.")


def test_votes_that_are_no_blind_choice_are_kept_but_not_counted(arena, store):
    same, _ = battle(arena, prompt="say the same")
    assert arena.vote("ada", same, "tie").excluded_because == "identical"
    assert arena.counts().counted == 0
    assert dict(arena.counts().excluded) == {"identical": 1}
    assert Battles(store).rated() == []


def test_no_trace_of_the_visitor_names_a_model_before_the_vote(arena, store):
    battle(arena)
    assert Ledger(store).list(10, "ada") == ()
    voters = {trace.caller for trace in Ledger(store).list(10)}
    assert len(voters) == 1
    assert not any("ada" in voter for voter in voters)


def test_a_visitor_begins_no_more_battles_than_can_be_read(arena):
    for _ in range(20):
        arena.begin("ada", Ask(PROMPT))
    with pytest.raises(RateLimitError, match="at most 20 a minute"):
        arena.begin("ada", Ask(PROMPT))
    assert arena.begin("bob", Ask(PROMPT)).prompt == PROMPT


def test_prompts_and_items_are_checked_before_anything_is_stored(arena, store):
    with pytest.raises(InputError, match="write a prompt first"):
        arena.begin("ada", Ask(" \n"))
    with pytest.raises(InputError, match="the messages have 5000 characters"):
        arena.begin("ada", Ask("x" * 5000))
    with pytest.raises(NotFoundError, match="no task named 'nonesuch'"):
        arena.begin("ada", Ask(task="nonesuch", item="1"))
    with pytest.raises(NotFoundError, match="has no item 'nonesuch'"):
        arena.begin("ada", Ask(task="gala_plan", item="nonesuch"))
    assert arena.counts().begun == 0


def test_an_experiment_s_battle_takes_its_arms_and_stops_nobody_when_it_cannot(settings, store):
    gateway = cast_gateway(settings, store)
    pair = Pair("autumn", (NAMES[2], NAMES[0]))
    arena = Arena(gateway, store, settings.home, lambda: pair)
    battle_id, _ = battle(arena)
    stored = Battles(store).get(battle_id)
    assert {stored.a.arm.model, stored.b.arm.model} == set(pair.arms)
    assert stored.experiment == "autumn"
    assert arena.vote("ada", battle_id, "model_a").experiment == "autumn"
    for arms in ((NAMES[0], NAMES[0]), (NAMES[0], "gone-12")):
        broken = Pair("winter", arms)
        unable = Arena(gateway, store, settings.home, lambda pair=broken: pair)
        drawn = Battles(store).get(unable.begin("ada", Ask(PROMPT)).id)
        assert drawn.experiment is None
        assert {drawn.a.arm.model, drawn.b.arm.model} < set(NAMES)
