from contextlib import closing
from dataclasses import replace

import pytest

from core.catalog import Price
from core.catalog_files import load_catalog
from core.errors import (
    GenerationError,
    InputError,
    ModelNotAllowedError,
    RateLimitError,
    UnavailableError,
)
from core.gateway.allow import Limits
from core.messages import (
    GenerationParams,
    GenerationRequest,
    Message,
    Progress,
    Tool,
    ToolCall,
    Usage,
)
from core.observe import Ledger
from core.store import open_store
from tests.fakes import ScriptedProvider, gateway_of

FAR = {
    "provider": "endpoint",
    "base_url": "http://127.0.0.1:9/v1",
    "served_model": "m",
    "context": 100,
}
TOOL = Tool("f", "Does it.", {"type": "object", "properties": {}})
CALL_TEXT = '<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>'


def request(**changes) -> GenerationRequest:
    values = {
        "model": "m",
        "messages": (Message("user", "Who sits where?"),),
        "params": GenerationParams(max_tokens=10),
        "caller": "me",
    }
    return GenerationRequest(**{**values, **changes})


class Setup:
    """A gateway over one scripted model, `m`, and its ledger."""

    def __init__(self, catalog, store, provider, limits) -> None:
        self.provider = provider
        self.ledger = Ledger(store)
        catalog = replace(catalog, limits=limits)
        self.gateway = gateway_of(catalog, store, {"endpoint": provider}, self.ledger)

    def answer(self, **changes):
        *_, last = self.gateway.generate(request(**changes))
        return last.generation

    def span(self):
        (summary,) = self.ledger.list(10)
        span, self.attempt, *_ = self.ledger.show(summary.id).spans
        return summary, span


@pytest.fixture
def make(settings, write_catalog):
    priced = {
        **FAR,
        "price": {"input_per_million": 0.5, "output_per_million": 2.0, "as_of": "2026-01-01"},
    }
    keyed = {**FAR, "key": "${NO_SUCH_KEY}"}
    write_catalog(models={"m": FAR, "priced": priced, "keyed": keyed}, default_model="m")
    with closing(open_store(settings.database_url)) as store:
        catalog = load_catalog(settings)

        def build(provider=None, **limits) -> Setup:
            return Setup(catalog, store, provider or ScriptedProvider(), Limits(**limits))

        yield build


def test_the_texts_together_are_the_text_and_the_last_delta_carries_the_rest(make):
    setup = make(ScriptedProvider((Progress("loading", 1, 2), "Good ", "evening.")))
    first, *texts, last = setup.gateway.generate(request())
    assert first.progress == Progress("loading", 1, 2)
    assert "".join(delta.text for delta in texts) == last.generation.text == "Good evening."
    assert last.generation.params.max_tokens == 10
    assert last.generation.usage == Usage(12, 3)
    assert last.generation.finish_reason == "stop"
    assert setup.provider.calls[0].messages == request().messages


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"model": "nope"}, ModelNotAllowedError, "no model named 'nope'"),
        ({"model": "m@v1"}, ModelNotAllowedError, "'m' has no adapter 'v1'"),
        ({"messages": ()}, InputError, "there is no message to answer"),
        ({"messages": (Message("user", "x" * 51),)}, InputError, "51 characters, at most 50"),
        ({"params": GenerationParams(max_tokens=33)}, InputError, "at most 32, got 33"),
        ({"model": "keyed"}, UnavailableError, "'keyed' needs NO_SUCH_KEY"),
    ],
)
def test_what_can_not_be_answered_is_refused_before_any_work(make, changes, kind, said):
    setup = make(input_characters=50, new_tokens=32)
    with pytest.raises(kind, match=said):
        next(setup.gateway.generate(request(**changes)))
    with pytest.raises(kind, match=said):
        setup.gateway.check(request(**changes))
    assert setup.provider.calls == []
    assert setup.ledger.list(10) == ()


def test_an_unknown_model_has_its_code(make):
    with pytest.raises(ModelNotAllowedError) as refused:
        make().answer(model="nope")
    assert (refused.value.code, refused.value.status) == ("MODEL_NOT_ALLOWED", 403)


def test_the_rate_is_limited_by_caller(make):
    setup = make(requests_per_minute=1)
    setup.answer()
    with pytest.raises(RateLimitError):
        setup.answer()
    setup.answer(caller="another")
    assert len(setup.provider.calls) == 2


def test_places_are_limited_and_come_back(make):
    setup = make(concurrent_requests=1)
    held = setup.gateway.generate(request())
    next(held)
    with pytest.raises(RateLimitError, match="at once: at most 1"):
        setup.answer()
    held.close()
    setup.answer()


def test_a_finished_request_is_traced_with_its_facts(make):
    setup = make()
    generation = setup.answer(conversation_id="c" * 32, tools=(TOOL,))
    summary, span = setup.span()
    assert (summary.id, summary.status, summary.caller) == (generation.trace_id, "ok", "me")
    assert summary.conversation_id == "c" * 32
    assert span.input == [{"role": "user", "text": "Who sits where?"}]
    assert span.output == "Good evening."
    assert span.attributes["usage"] == Usage(12, 3).to_dict()
    assert span.attributes["model"] == {"id": "m", "digest": "sha256:0123"}
    assert span.attributes["tools"] == ["f"]
    assert span.attributes["finish_reason"] == "stop"


def test_a_failed_request_is_traced_with_its_code(make):
    setup = make(ScriptedProvider(error=GenerationError("boom")))
    with pytest.raises(GenerationError, match="boom"):
        setup.answer()
    summary, span = setup.span()
    assert (summary.status, summary.error_code) == ("error", "GENERATION_FAILED")
    assert span.status == "error"
    assert span.output is None


def test_closing_cancels_the_call_and_is_traced(make):
    setup = make()
    stream = setup.gateway.generate(request())
    assert next(stream).text == "Good "
    stream.close()
    assert setup.provider.closed == 1
    summary, span = setup.span()
    assert (summary.status, span.status) == ("cancelled", "cancelled")


def test_cancelling_keeps_what_was_said(make):
    setup = make()
    asked = request()
    stream = setup.gateway.generate(asked)
    next(stream)
    asked.cancel.set()
    *_, last = stream
    assert (last.generation.text, last.generation.finish_reason) == ("Good ", "cancelled")
    assert setup.span()[1].attributes["finish_reason"] == "cancelled"


def test_a_cost_is_exact_or_unknown(make):
    setup = make(ScriptedProvider(usage=Usage(1000, 200)))
    assert setup.answer().cost_usd is None
    assert setup.answer(model="priced").cost_usd == (1000 * 0.5 + 200 * 2.0) / 1e6 == 0.0009
    unknown = make(ScriptedProvider(usage=Usage(None, None))).answer(model="priced")
    assert unknown.cost_usd is None
    assert make(ScriptedProvider(usage=Usage(0, 0))).answer(model="priced").cost_usd == 0.0
    assert Price(0.5, 2.0, "2026-01-01").as_of == "2026-01-01"


def test_calls_within_the_text_are_taken_out(make):
    pieces = ("Let me see. <tool", CALL_TEXT.removeprefix("<tool"), " Done.")
    setup = make(ScriptedProvider(pieces))
    *deltas, last = setup.gateway.generate(request(tools=(TOOL,)))
    (call,) = last.generation.tool_calls
    assert (call.name, call.arguments) == ("f", '{"x": 1}')
    assert last.generation.text == "".join(d.text for d in deltas) == "Let me see.\nDone."
    assert last.generation.finish_reason == "tool_calls"
    assert setup.span()[1].output == last.generation.text
    assert setup.attempt.output == "".join(pieces), "the trace keeps what the model wrote"


def test_without_tools_nothing_is_taken_out(make):
    generation = make(ScriptedProvider((CALL_TEXT,))).answer()
    assert (generation.text, generation.tool_calls) == (CALL_TEXT, ())
    assert generation.finish_reason == "stop"


def test_a_call_that_breaks_off_is_text(make):
    cut = make(ScriptedProvider(("Well. <tool_call>{",), finish_reason="length"))
    generation = cut.answer(tools=(TOOL,))
    assert generation.text == "Well. <tool_call>{"
    assert (generation.tool_calls, generation.finish_reason) == ((), "length")


def test_calls_that_came_apart_from_the_text_are_kept(make):
    native = ToolCall("c1", "f", "{}")
    provider = ScriptedProvider(("Hm.",), tool_calls=(native,), finish_reason="tool_calls")
    generation = make(provider).answer(tools=(TOOL,))
    assert generation.tool_calls == (native,)
    assert (generation.text, generation.finish_reason) == ("Hm.", "tool_calls")


def test_a_model_of_this_process_answers_in_full(services):
    *_, last = services.gateway.generate(request(model="tiny"))
    generation = last.generation
    assert generation.usage.output_tokens == 10
    assert generation.finish_reason == "length"
    assert generation.model.digest.startswith("sha256:")
    assert generation.timings.load_s > 0
    assert list(services.pool.sizes()) == ["tiny"]
