"""Thumbs on answers in Chat, as an experiment reads them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from core.messages import GenerationParams, GenerationRequest, Message, ModelRef
from core.reports import Reports, Saved
from core.store import Conversations
from core.store.thumbs import answering_digest, rated_answers
from tests.fakes import generation_of

EARLY = datetime(2000, 1, 1, tzinfo=UTC)
REQUEST = GenerationRequest("lead", (Message("user", "Hello"),), GenerationParams(), "ada")
PLAIN = replace(generation_of(REQUEST, "Good evening"), cost_usd=0.002)
ADAPTED = replace(PLAIN, adapter=ModelRef("v1", "sha256:v1"))


def later() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def say(talk, visitor, generation, *thumbs):
    new = talk.create(visitor, "lead", "t")
    message = talk.add(visitor, new.id, Message("assistant", "Good evening"), generation)
    for liked in thumbs:
        talk.rate(visitor, message.id, liked)
    return message


def test_answers_of_one_model_come_with_their_first_thumb(store):
    talk = Conversations(store)
    say(talk, "ada", PLAIN)
    say(talk, "bob", PLAIN, True, False)
    say(talk, "cyd", ADAPTED, True)
    say(talk, "dan", PLAIN, False, None)
    say(talk, "eve", replace(PLAIN, model=ModelRef("other", None)), True)
    found = rated_answers(store, "lead", EARLY, later())
    assert [(each.visitor, each.liked) for each in found] == [
        ("bob", True),
        ("dan", False),
        ("ada", None),
    ]
    assert found[0].place < found[1].place
    assert found[2].place is None
    assert found[0].given_by == answering_digest("lead", "sha256:0123", None)
    (adapted,) = rated_answers(store, "lead@v1", EARLY, later())
    assert adapted.visitor == "cyd"
    assert adapted.given_by == answering_digest("lead@v1", "sha256:0123", "sha256:v1")


def test_a_changed_thumb_stays_as_it_was_given_first(store):
    talk = Conversations(store)
    first = say(talk, "ada", PLAIN, True)
    say(talk, "bob", PLAIN, True)
    talk.rate("ada", first.id, False)
    found = rated_answers(store, "lead", EARLY, later())
    assert [(each.visitor, each.liked) for each in found] == [("ada", True), ("bob", True)]


def test_only_what_lies_between_the_moments_counts(store):
    talk = Conversations(store)
    say(talk, "ada", PLAIN, True)
    between = datetime.now(UTC)
    say(talk, "bob", PLAIN, True)
    assert [each.visitor for each in rated_answers(store, "lead", EARLY, between)] == ["ada"]
    assert [each.visitor for each in rated_answers(store, "lead", between, later())] == ["bob"]


def test_an_answer_from_the_cache_has_its_cost_but_no_times(store):
    cached = replace(PLAIN, cache="hit", cost_usd=0.0, reports=Reports(saved=Saved(9, 0.004)))
    say(Conversations(store), "ada", cached, True)
    say(Conversations(store), "bob", PLAIN, True)
    hit, new = (each.measured for each in rated_answers(store, "lead", EARLY, later()))
    assert (hit.cost_usd, hit.total_s, hit.queue_s, hit.first_token_s) == (0.004, None, None, None)
    assert (new.cost_usd, new.total_s, new.input_tokens) == (0.002, 0.02, 1)
