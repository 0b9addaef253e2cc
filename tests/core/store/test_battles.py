"""Battles in the store: which votes count, what figures see, and who gets one vote."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from core.errors import ConflictError, NotFoundError
from core.messages import Message, Tool, ToolCall
from core.store.battle_records import Arm, Ballot, SideEnd
from core.store.battle_rows import prompt_digest
from core.store.battle_tables import battles as table
from core.store.battles import Battles
from evals.arena.votes import MOST_RECENT, exclusion
from tests.fought import fought, made, new_battle

SWAPPED = {"a": Arm("two", "sha256:2"), "b": Arm("one", "sha256:1")}


@pytest.fixture
def battles(store):
    return Battles(store)


def because(battles, battle_id):
    return battles.get(battle_id).vote.excluded_because


def test_the_same_visitor_s_second_vote_on_a_prompt_and_pair_does_not_count(battles):
    first = fought(battles, "model_a")
    again = fought(battles, "model_a", prompt="  who SITS\nwhere? ", **SWAPPED)
    other_prompt = fought(battles, "model_a", prompt="Who sits here?")
    other_pair = fought(battles, "model_a", b=Arm("three", "sha256:3"))
    other_voter = fought(battles, "model_a", voter="somebody else")
    third = fought(battles, "model_b")
    assert [because(battles, each) for each in (first, other_prompt, other_pair, other_voter)] == [
        None
    ] * 4
    assert because(battles, again) == because(battles, third) == "repeated"
    counts = battles.counts()
    assert (counts.counted, dict(counts.excluded)) == (4, {"repeated": 2})
    assert len(battles.rated()) == 4


def test_a_question_has_one_key_whatever_system_prompt_its_pair_has(store, battles):
    asked, system = Message("user", "Who sits where?"), Message("system", "You are the desk.")
    plain = fought(battles, "model_a")
    led = fought(battles, "model_a", messages=(system, asked), b=Arm("three", "sha256:3"))
    item = fought(battles, "tie", messages=(system, asked), task="t", item="1", voter="x")
    keys = {each.battle: each.prompt for each in battles.rated()}
    assert keys[plain] == keys[led] != keys[item]
    old = update(table).where(table.c.id == led).values(prompt="of an earlier version")
    with store.write() as connection:
        connection.execute(old)
    assert battles.get(led).prompt == battles.get(plain).prompt


def test_a_vote_that_did_not_count_makes_the_next_one_no_repetition(battles):
    new = new_battle()
    first = battles.begin(new)
    battles.start([new.voter], first)
    told = SideEnd(made("one", "I am one."), names_itself=True)
    battles.finish(first, told, SideEnd(made("two", "hello")))
    battles.vote([new.voter], first, Ballot("tie"), exclusion)
    assert because(battles, first) == "names_itself"
    assert because(battles, fought(battles, "tie")) is None
    same = fought(battles, "model_a", said=("Good  day.", "Good day.\n"), prompt="other")
    assert because(battles, same) == "identical"


def test_more_votes_than_a_person_can_read_for_do_not_count(battles):
    voted = [fought(battles, "tie", prompt=str(number)) for number in range(MOST_RECENT + 2)]
    assert [because(battles, each) for each in voted] == [None] * MOST_RECENT + ["too_many"] * 2
    assert because(battles, fought(battles, "tie", voter="another")) is None


def test_figures_see_votes_only_and_judges_apart(battles):
    fought(battles)
    counted = fought(battles, "model_b", said=("abc", "abcde"))
    fought(battles, "tie", said=("x", "x"), prompt="other")
    answers = made("one", "by run"), made("two", "of run")
    judge = new_battle("judge:big:style", source="judge", task="gala", item="7", experiment="e")
    battles.add_judged(judge, answers, Ballot("model_a"))
    (row,) = battles.rated()
    assert (row.battle, row.outcome, row.length_a, row.length_b) == (counted, "model_b", 3, 5)
    assert (row.model_a, row.digest_b) == ("one", "sha256:2")
    assert row.prompt == prompt_digest([Message("user", "WHO sits  where?")])
    assert len(battles.measured()) == 4
    assert battles.measured()[0].total_s == 0.02
    assert [each.outcome for each in battles.rated("judge")] == ["model_a"]
    assert battles.rated("judge", "no such experiment") == []
    assert len(battles.rated("judge", "e")) == 1
    assert battles.judged("judge:big:style", "gala") == {("7", "one", "two")}
    assert battles.judged("judge:big:other", "gala") == set()
    assert battles.counts().complete == 3
    assert battles.met()[frozenset(("one", "two"))] == 3
    number, newest = battles.newest_vote()
    assert (number, newest) == (3, battles.rated("judge")[0].voted_at)
    assert [each.id for each in battles.with_votes("person")][0] == counted


def test_what_was_said_comes_back_as_it_was(battles):
    tool = Tool("seat", "Seats.", {"type": "object", "properties": {"who": {"type": "string"}}})
    call = ToolCall("c1", "seat", '{"who": "Ada"}')
    asked = (
        Message("system", "You are a butler."),
        Message("user", "Seat Ada.\0 \ud800"),
        Message("assistant", "", (call,)),
        Message("tool", "done", tool_call_id="c1"),
    )
    new = new_battle(messages=asked, tools=(tool,), task="t", item="i")
    battle_id = battles.begin(new)
    battles.start([new.voter], battle_id)
    from dataclasses import replace

    spoken = replace(made("one", "Done."), tool_calls=(call,))
    battles.finish(battle_id, SideEnd(spoken), SideEnd(error="UNAVAILABLE"))
    stored = battles.get(battle_id)
    assert stored.messages[1].text == "Seat Ada. \ufffd"
    assert stored.messages[2:] == asked[2:]
    assert (stored.tools, stored.params, stored.task, stored.item) == (
        (tool,),
        new.params,
        "t",
        "i",
    )
    assert stored.a.generation == spoken
    shown = '<tool_call>{"name": "seat", "arguments": {"who": "Ada"}}</tool_call>'
    assert stored.a.answer == f"Done.\n{shown}"
    assert (stored.status, stored.b.error, stored.b.answer) == ("failed", "UNAVAILABLE", "")
    # What has ended stays as it ended.
    battles.finish(battle_id, SideEnd(spoken), SideEnd(spoken))
    assert battles.get(battle_id) == stored
    for unknown in ("0" * 32, "x"):
        with pytest.raises(NotFoundError):
            battles.get(unknown)


def test_of_many_votes_at_once_exactly_one_is_taken(battles):
    battle_id = fought(battles)

    def vote(number):
        outcome = ("model_a", "model_b", "tie", "both_bad")[number % 4]
        try:
            return battles.vote(["someone"], battle_id, Ballot(outcome), exclusion).vote.outcome
        except ConflictError:
            return None

    with ThreadPoolExecutor(12) as threads:
        taken = [outcome for outcome in threads.map(vote, range(24)) if outcome is not None]
    assert taken == [battles.get(battle_id).vote.outcome]


def test_of_one_visitor_s_votes_at_once_on_one_prompt_exactly_one_counts(battles):
    ids = [fought(battles) for _ in range(12)]

    def vote(battle_id):
        battles.vote(["someone"], battle_id, Ballot("tie"), exclusion)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(vote, ids))
    assert sorted(str(because(battles, each)) for each in ids) == ["None", *["repeated"] * 11]
