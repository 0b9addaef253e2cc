"""Chains, the cache, ensembles, the guard: a request's way through the whole gateway."""

import json
import threading
from contextlib import closing
from dataclasses import dataclass, field, replace

import pytest

from core.catalog_files import load_catalog
from core.errors import (
    GenerationError,
    InputError,
    RateLimitError,
    UnavailableError,
)
from core.messages import GenerationParams, GenerationRequest, Message, Tool, Usage
from core.observe import Ledger
from core.providers.base import failed
from core.store import open_store
from tests.fakes import ScriptedProvider, gateway_of

SERVED = {"provider": "endpoint", "base_url": "http://127.0.0.1:9/v1", "context": 1000}
SCHEMA = {
    "type": "object",
    "properties": {"guests": {"type": "integer"}},
    "required": ["guests"],
    "additionalProperties": False,
}


@dataclass
class Stage:
    """One scripted provider for each model, behind one real gateway."""

    casts: dict[str, ScriptedProvider] = field(default_factory=dict)

    def close(self):
        pass

    def identity(self, target):
        return self.casts[target.id].identity(target)

    def stream(self, call):
        return self.casts[call.target.id].stream(call)


@dataclass
class Play:
    gateway: object
    stage: Stage
    ledger: Ledger

    def ask(self, model="line", **changes):
        values = {
            "messages": (Message("user", "Who sits where?"),),
            "params": GenerationParams(max_tokens=10),
            "caller": "me",
        }
        request = GenerationRequest(model=model, **{**values, **changes})
        return list(self.gateway.generate(request))

    def answer(self, model="line", **changes):
        return self.ask(model, **changes)[-1].generation

    def calls(self, model):
        return len(self.stage.casts[model].calls)


@pytest.fixture
def play(settings, write_catalog):
    write_catalog(
        models={name: {**SERVED, "served_model": name} for name in ("a", "b", "c")},
        chains={
            "line": {"models": ["a", "b"], "patience_s": 0.2},
            "longer": {"models": ["line", "c"]},
        },
        ensembles={
            "panel": {"models": ["a", "b", "c"], "answer": "label", "deadline_s": 2},
            "strict": {"models": ["a", "b", "c"], "answer": "label", "threshold": 0.9},
        },
        default_model="a",
    )
    with closing(open_store(settings.database_url)) as store:
        stage, ledger = Stage({n: ScriptedProvider((f"I am {n}.",)) for n in "abc"}), Ledger(store)
        catalog = load_catalog(settings)
        yield Play(gateway_of(catalog, store, {"endpoint": stage}, ledger), stage, ledger)


def fail(play, model, kind, error=UnavailableError, after=()):
    play.stage.casts[model] = ScriptedProvider(after, failed(error(f"{model} is down"), kind))


def test_the_first_model_of_a_chain_answers_and_no_other_is_called(play):
    answer = play.answer()
    assert (answer.text, answer.model.id) == ("I am a.", "a")
    assert answer.route == "chain line -> a"
    assert [each.outcome for each in answer.reports.tried] == ["ok"]
    assert play.calls("b") == 0


@pytest.mark.parametrize(
    "kind", ["overloaded", "timeout", "connection", "auth", "quota", "not_found"]
)
def test_the_next_model_answers_when_one_fails_and_the_answer_says_why(play, kind):
    fail(play, "a", kind)
    answer = play.answer()
    assert (answer.text, answer.attempts) == ("I am b.", 2)
    assert answer.route == f"chain line -> b after a: {kind}"
    assert answer.reports.tried[0].reason == "a is down"


def test_a_request_that_is_itself_wrong_is_not_sent_to_every_model(play):
    fail(play, "a", "refused", InputError)
    with pytest.raises(InputError, match="a is down"):
        play.ask()
    assert play.calls("b") == 0


def test_text_of_a_model_that_fails_midway_is_withdrawn_and_never_glued_to_the_next(play):
    fail(play, "a", "malformed", GenerationError, after=("Half of",))
    deltas = play.ask()
    places = [bool(delta.restart) for delta in deltas]
    assert places.count(True) == 1
    rest = deltas[places.index(True) + 1 :]
    assert "".join(delta.text for delta in rest) == deltas[-1].generation.text == "I am b."


def test_chains_may_hold_chains(play):
    fail(play, "a", "overloaded")
    fail(play, "b", "overloaded")
    assert play.answer("longer").route == "chain longer -> c after a: overloaded, b: overloaded"


def test_a_chain_that_fails_wholly_names_each_failure_and_ends(play):
    fail(play, "a", "overloaded")
    fail(play, "b", "connection")
    with pytest.raises(UnavailableError, match=r"a is down; b is down"):
        play.ask()
    assert play.calls("a") == 1
    assert play.calls("b") == 2, "the last model gets a second try, and no third"


def test_limits_of_all_models_tell_when_to_come_back(play):
    for name, wait_s in (("a", 90.0), ("b", 40.0)):
        error = failed(RateLimitError(f"{name} is full", wait_s), "rate_limit_minute")
        play.stage.casts[name] = ScriptedProvider((), error)
    with pytest.raises(RateLimitError) as refused:
        play.ask()
    assert refused.value.retry_after_s == 40.0


def test_a_model_that_keeps_failing_is_passed_over_without_a_call(play):
    fail(play, "a", "overloaded")
    for _ in range(3):
        play.ask()
    before = play.calls("a")
    answer = play.answer()
    assert play.calls("a") == before
    assert answer.reports.tried[0].outcome == "skipped"


def test_a_failing_model_alone_is_tried_twice_and_then_raises(play):
    fail(play, "a", "overloaded")
    with pytest.raises(UnavailableError, match="a is down"):
        play.ask("a")
    assert play.calls("a") == 2


def test_each_attempt_is_a_span_of_the_trace(play):
    fail(play, "a", "overloaded")
    answer = play.answer()
    spans = play.ledger.show(answer.trace_id).spans
    assert [(s.name, s.status) for s in spans] == [
        ("generation", "ok"),
        ("a", "error"),
        ("b", "ok"),
    ]
    assert {s.parent for s in spans[1:]} == {spans[0].number}


def cached(play, weights="sha256:0123 of w1"):
    play.stage.casts["a"] = ScriptedProvider(("Six ", "guests."), weights=weights)


def test_the_same_greedy_request_is_answered_from_the_cache(play):
    cached(play)
    first, second = play.answer("a"), play.answer("a")
    assert [first.cache, second.cache] == ["miss", "hit"]
    assert second.text == first.text == "Six guests."
    assert play.calls("a") == 1
    assert second.attempts == 0
    assert second.cost_usd == 0.0
    assert second.reports.saved.tokens == 15


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": (Message("system", "Be brief."), Message("user", "Who sits where?"))},
        {"params": GenerationParams(max_tokens=11)},
        {"params": GenerationParams(max_tokens=10, stop=("x",))},
        {"tools": (Tool("f", "Does it.", {"type": "object"}),)},
        {"filter": True},
    ],
)
def test_a_request_that_differs_in_anything_is_not_answered_from_the_cache(play, changes):
    cached(play)
    play.ask("a")
    assert play.answer("a", **changes).cache == "miss"


def test_a_sampled_answer_is_cached_only_when_asked(play):
    cached(play)
    sampled = GenerationParams(max_tokens=10, temperature=0.7, seed=1)
    states = [play.answer("a", params=sampled).cache for _ in range(2)]
    states += [play.answer("a", params=sampled, cache="on").cache for _ in range(2)]
    assert states == ["bypass", "bypass", "miss", "hit"]


def test_new_weights_under_the_same_name_are_asked_anew(play):
    cached(play)
    play.ask("a")
    cached(play, "sha256:0123 of w2")
    assert play.answer("a").cache == "miss"


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_incomplete_answers_are_not_cached(play, reason):
    play.stage.casts["a"] = ScriptedProvider(finish_reason=reason, weights="sha256:0123")
    assert [play.answer("a").cache for _ in range(2)] == ["miss", "miss"]


def test_errors_and_empty_answers_are_not_cached(play):
    play.stage.casts["a"] = ScriptedProvider(("",), weights="sha256:0123")
    assert [play.answer("a").cache for _ in range(2)] == ["miss", "miss"]


def test_identical_requests_in_flight_call_the_model_once(play):
    gate = threading.Event()
    play.stage.casts["a"] = ScriptedProvider(("Six ", "guests."), gate=gate, weights="sha256:0123")
    answers = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(play.answer("a", caller=f"c{n}")))
        for n in range(5)
    ]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(10)
    assert [a.text for a in answers] == ["Six guests."] * 5
    assert play.calls("a") == 1


def say(play, **texts):
    play.stage.casts |= {name: ScriptedProvider((text,)) for name, text in texts.items()}


def test_an_ensemble_answers_with_what_most_members_say(play):
    say(play, a="Yes", b=" yes.", c="No")
    answer = play.answer("panel")
    assert answer.text.strip(" .").lower() == "yes"
    assert answer.reports.ensemble.agreement == pytest.approx(2 / 3)
    assert [m.model for m in answer.reports.ensemble.members] == ["a", "b", "c"]


def test_an_ensemble_abstains_below_its_threshold(play):
    say(play, a="Yes", b="yes", c="No")
    answer = play.answer("strict")
    assert (answer.finish_reason, answer.text) == ("abstained", "")
    assert answer.reports.ensemble.abstained


def test_a_failed_member_is_no_vote(play):
    say(play, a="Yes", b="Yes")
    fail(play, "c", "overloaded")
    report = play.answer("panel").reports.ensemble
    assert report.valid == 2
    assert report.members[2].outcome == "overloaded"


def test_a_member_that_does_not_finish_in_time_is_left_behind(play):
    say(play, a="Yes", b="Yes")
    play.stage.casts["c"] = ScriptedProvider(("No", "!"), gate=threading.Event())
    report = play.answer("panel").reports.ensemble
    assert report.members[2].outcome == "timeout"


def test_an_ensemble_of_failures_fails(play):
    for name in "abc":
        fail(play, name, "overloaded")
    with pytest.raises(GenerationError, match="no member"):
        play.ask("panel")


def test_json_is_validated_and_repaired_and_the_repair_is_told(play):
    say(play, a="Sure! ```json\n{'guests': 12,}\n```")
    answer = play.answer("a", schema=SCHEMA)
    assert json.loads(answer.text) == {"guests": 12}
    assert answer.reports.guard.repairs
    assert not answer.reports.guard.asked_again


def test_json_that_does_not_fit_is_asked_for_once_more_with_the_errors(play):
    provider = play.stage.casts["a"] = ScriptedProvider(('{"guests": "twelve"}',))
    with pytest.raises(GenerationError, match="did not answer with the JSON") as wrong:
        play.ask("a", schema=SCHEMA)
    assert wrong.value.failure == "malformed"
    first, second = provider.calls[:2]
    assert len(second.messages) > len(first.messages)
    assert "guests" in second.messages[-1].text


def test_a_schema_that_is_none_is_refused_before_any_call(play):
    with pytest.raises(InputError, match="schema"):
        play.ask("a", schema={"type": "nonsense"})
    assert play.calls("a") == 0


def test_announcements_are_cut_when_asked_and_told(play):
    play.stage.casts["a"] = ScriptedProvider(
        ("I'll first ", "analyze the list. ", "There are 12 guests.")
    )
    assert play.answer("a").text.startswith("I'll")
    answer = play.answer("a", filter=True)
    assert answer.text == "There are 12 guests."
    assert answer.reports.guard.cuts


def test_unknown_usage_stays_unknown_in_what_a_hit_saved(play):
    play.stage.casts["a"] = ScriptedProvider(usage=Usage(None, None), weights="sha256:0123")
    play.ask("a")
    assert play.answer("a").reports.saved.tokens is None


def test_a_caller_who_leaves_frees_the_model(play):
    provider = play.stage.casts["a"] = ScriptedProvider(("one ", "two "), weights="sha256:0123")
    request = GenerationRequest(
        "a", (Message("user", "x"),), GenerationParams(max_tokens=10), caller="me"
    )
    run = play.gateway.generate(request)
    next(run)
    run.close()
    assert provider.closed == 1
    assert play.answer("a", messages=(Message("user", "x"),)).text == "one two "


def test_a_configured_quota_spills_to_the_next_model(settings, write_catalog):
    write_catalog(
        models={
            "a": {**SERVED, "served_model": "a", "quotas": ["few"]},
            "b": {**SERVED, "served_model": "b"},
        },
        chains={"line": {"models": ["a", "b"], "patience_s": 0}},
        quotas={"few": {"requests_per_day": 2}},
        default_model="a",
    )
    with closing(open_store(settings.database_url)) as store:
        stage = Stage({n: ScriptedProvider((f"I am {n}.",)) for n in "ab"})
        catalog = load_catalog(settings)
        play = Play(gateway_of(catalog, store, {"endpoint": stage}), stage, Ledger(store))
        assert [play.answer().text for _ in range(4)] == ["I am a."] * 2 + ["I am b."] * 2
        assert play.calls("a") == 2
    with closing(open_store(settings.database_url)) as store:
        again = replace(play, gateway=gateway_of(catalog, store, {"endpoint": stage}))
        assert again.answer().text == "I am b.", "a restart does not forget what was sent"


def test_calls_in_the_wrong_dress_are_told_apart_from_the_models_own(play):
    tool = Tool("seat", "Seats a guest.", {"type": "object", "properties": {"guest": {}}})
    fenced = 'Sure!\n```json\n{"name": "seat", "arguments": {"guest": "Ada"}}\n```'
    play.stage.casts["a"] = ScriptedProvider((fenced,))
    answer = play.answer("a", tools=(tool,))
    assert answer.tool_calls == ()
    (repaired,) = answer.reports.guard.repaired_calls
    assert json.loads(repaired) == {"name": "seat", "arguments": {"guest": "Ada"}}


def test_json_that_was_cut_at_the_limit_is_not_completed_by_guessing(play):
    play.stage.casts["a"] = ScriptedProvider(('{"guests": 12',), finish_reason="length")
    with pytest.raises(GenerationError, match="cut at the token limit"):
        play.ask("a", schema=SCHEMA)


def test_a_wait_beyond_the_patience_is_told_and_nothing_is_sent(settings, write_catalog):
    write_catalog(
        models={"a": {**SERVED, "served_model": "a", "quotas": ["one"]}},
        quotas={"one": {"requests_per_minute": 1}},
        default_model="a",
    )
    with closing(open_store(settings.database_url)) as store:
        stage = Stage({"a": ScriptedProvider()})
        catalog = load_catalog(settings)
        play = Play(gateway_of(catalog, store, {"endpoint": stage}), stage, Ledger(store))
        play.ask("a")
        with pytest.raises(RateLimitError) as late:
            play.ask("a")
        assert 30 < late.value.retry_after_s <= 60
        assert play.calls("a") == 1
