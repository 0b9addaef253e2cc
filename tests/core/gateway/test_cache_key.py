"""What an answer is kept under: everything that affects it, and nothing else."""

import hashlib
import threading
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.catalog import ModelEntry, Price, Target
from core.errors import InputError
from core.gateway.cache_key import (
    WITHOUT_EFFECT,
    cache_key,
    comes_from,
    endpoint_identity,
    request_key,
)
from core.messages import (
    GenerationParams,
    GenerationRequest,
    Message,
    ModelRef,
    Timings,
    Tool,
    ToolCall,
    Usage,
)
from core.providers.base import Completion
from core.together import Together

CALL = ToolCall("1", "seat", "{}")
TOOL = Tool("seat", "Seats a guest.", {"type": "object", "required": ["guest"]})
REQUEST = GenerationRequest(
    "lead",
    (
        Message("system", "You are a butler."),
        Message("assistant", "", (CALL,)),
        Message("tool", "done", tool_call_id="1"),
        Message("user", "Seat Ada"),
    ),
    GenerationParams(),
    "ada",
    tools=(TOOL,),
)
OTHER_PARAMS = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 9, "seed": 0, "stop": ("x",)}
OTHER_MESSAGE = {"role": "system", "text": "Seat Bo", "tool_calls": (CALL,), "tool_call_id": ""}
OTHER_CALL = {"id": "2", "name": "unseat", "arguments": "{ }"}
OTHER_TOOL = {"name": "unseat", "description": "", "parameters": {"type": "object"}}
OTHER_REQUEST: dict[str, Any] = {
    "messages": REQUEST.messages[1:],
    "params": GenerationParams(seed=1),
    "tools": (),
    "trim_history": True,
    "filter": True,
    "json_mode": True,
    "schema": {"type": "object"},
}
NO_EFFECT = {
    "model": "understudy",
    "caller": "bo",
    "is_admin": True,
    "conversation_id": "c",
    "cache": "on",
    "cancel": threading.Event(),
    "together": Together(2),
    "together_index": 1,
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def key(request: GenerationRequest = REQUEST, identity: str = "m", **extra: object) -> str:
    return request_key(identity, request, extra)


def with_message(message: Message) -> GenerationRequest:
    return replace(REQUEST, messages=(*REQUEST.messages[:-1], message))


def variants() -> dict[str, GenerationRequest]:
    """Return the request with one field changed at a time, by the field's name."""
    last = REQUEST.messages[-1]
    found = {f"request.{n}": replace(REQUEST, **{n: v}) for n, v in OTHER_REQUEST.items()}
    for name, value in OTHER_PARAMS.items():
        params = replace(REQUEST.params, **{name: value})
        found[f"params.{name}"] = replace(REQUEST, params=params)
    for name, value in OTHER_MESSAGE.items():
        found[f"message.{name}"] = with_message(replace(last, **{name: value}))
    for name, value in OTHER_CALL.items():
        changed = replace(last, tool_calls=(replace(CALL, **{name: value}),))
        found[f"call.{name}"] = with_message(changed)
    for name, value in OTHER_TOOL.items():
        found[f"tool.{name}"] = replace(REQUEST, tools=(replace(TOOL, **{name: value}),))
    return found


@pytest.mark.parametrize("name", variants())
def test_changing_one_field_changes_the_key(name: str) -> None:
    others = [key(request) for other, request in variants().items() if other != name]
    assert key(variants()[name]) not in (key(), *others)


def test_every_field_there_is_was_tried() -> None:
    tried = {
        GenerationRequest: {*OTHER_REQUEST, *NO_EFFECT},
        GenerationParams: set(OTHER_PARAMS),
        Message: set(OTHER_MESSAGE),
        ToolCall: set(OTHER_CALL),
        Tool: set(OTHER_TOOL),
    }
    for kind, names in tried.items():
        assert names == {field.name for field in fields(kind)}
    assert set(NO_EFFECT) == set(WITHOUT_EFFECT)


@pytest.mark.parametrize("name", NO_EFFECT)
def test_who_asks_and_what_the_model_is_called_does_not_change_the_key(name: str) -> None:
    assert key(replace(REQUEST, **{name: NO_EFFECT[name]})) == key()


def test_the_system_prompt_is_part_of_the_key() -> None:
    changed = replace(REQUEST, messages=(Message("system", "Be rude."), *REQUEST.messages[1:]))
    assert key(changed) != key()


def test_the_identity_and_what_else_shapes_the_answer_are_part_of_the_key() -> None:
    assert len({key(), key(identity="n"), key(mode="strict"), key(mode="loose")}) == 4


def test_temperature_0_is_temperature_0_point_0() -> None:
    assert key(replace(REQUEST, params=GenerationParams(temperature=0))) == key()


def test_texts_do_not_run_into_each_other() -> None:
    first = replace(REQUEST, messages=(Message("user", "ab"), Message("user", "c")))
    second = replace(REQUEST, messages=(Message("user", "a"), Message("user", "bc")))
    third = replace(REQUEST, messages=(Message("user", 'ab"],["user","c'),))
    assert len({key(first), key(second), key(third)}) == 3


def shuffled(value: Any) -> Any:
    """Return the value with the keys of every object the other way round."""
    if isinstance(value, dict):
        return {name: shuffled(inner) for name, inner in reversed(value.items())}
    return [shuffled(inner) for inner in value] if isinstance(value, list) else value


@settings(max_examples=40)
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_the_order_of_keys_does_not_change_the_key(value: dict[str, Any]) -> None:
    assert cache_key(shuffled(value)) == cache_key(value)
    assert key(replace(REQUEST, schema=value)) == key(replace(REQUEST, schema=shuffled(value)))


def test_the_order_of_a_tools_parameters_counts_because_prompts_show_it() -> None:
    one, other = Tool("t", "", {"a": 1, "b": 2}), Tool("t", "", {"b": 2, "a": 1})
    assert key(replace(REQUEST, tools=(one,))) != key(replace(REQUEST, tools=(other,)))


def exact(value: Any) -> str:
    """Tell JSON values apart that Python takes for equal, such as 1, 1.0 and True."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{n!r}:{exact(v)}" for n, v in sorted(value.items())) + "}"
    return f"[{','.join(map(exact, value))}]" if isinstance(value, list) else repr(value)


@given(JSON, JSON)
def test_different_values_have_different_keys(one: Any, other: Any) -> None:
    is_same = exact(one) == exact(other)
    assert (cache_key({"v": one}) == cache_key({"v": other})) == is_same
    assert (key(v=one) == key(v=other)) == is_same


def test_what_json_lacks_still_tells_tools_apart() -> None:
    odd = [None, float("nan"), float("inf"), 2**70, 2**70 + 1, "\ud800", "\ud801", "?"]
    tools = [replace(TOOL, parameters={"default": value}) for value in odd]
    assert len({key(replace(REQUEST, tools=(tool,))) for tool in tools}) == len(odd)
    texts = ["\ud800", "\ud801", "?", "\\ud800"]
    assert len({key(with_message(Message("user", text))) for text in texts}) == 4


def test_values_that_nest_too_deeply_are_refused_in_words() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(InputError, match="nests too deeply"):
        key(replace(REQUEST, schema=deep))
    with pytest.raises(InputError, match="nests too deeply"):
        cache_key(deep)


def test_a_key_stays_what_it_was_or_every_stored_answer_is_lost() -> None:
    written = hashlib.blake2b('{"a":"é","b":[1,2.5,null]}'.encode(), digest_size=16)
    assert cache_key({"b": [1, 2.5, None], "a": "é"}) == written.hexdigest()


ENDPOINT = ModelEntry(
    provider="endpoint", context=1000, base_url="http://a/v1", served_model="m", api_version="1"
)


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "http://b/v1"},
        {"served_model": "n"},
        {"api_version": "2"},
        {"api_version": None},
        {"provider": "ollama"},
        {"context": 2000},
    ],
)
def test_an_endpoint_is_known_by_where_and_as_what_it_is_served(change: dict[str, Any]) -> None:
    assert endpoint_identity(Target("x", "x", replace(ENDPOINT, **change))) != endpoint_identity(
        Target("x", "x", ENDPOINT)
    )


def test_an_endpoint_is_not_known_by_name_price_or_key() -> None:
    renamed = replace(ENDPOINT, description="d", key="${K}", price=Price(1, 2, "2026-01-01"))
    assert endpoint_identity(Target("y", "y", renamed)) == endpoint_identity(
        Target("x", "x", ENDPOINT)
    )


def completion(model: str | None, adapter: str | None = None) -> Completion:
    version = None if adapter is None else ModelRef("v1", adapter)
    timings = Timings(0.0, 0.0, None, 0.0, None)
    return Completion("", ModelRef("m", model), version, Usage(1, 1), timings, "stop")


def test_an_answer_of_other_weights_than_the_key_names_is_told() -> None:
    identity = '{"weights": "sha256:aa", "adapter": "sha256:bb"}'
    assert comes_from(identity, completion("sha256:aa", "sha256:bb"))
    assert not comes_from(identity, completion("sha256:old", "sha256:bb"))
    assert not comes_from(identity, completion("sha256:aa", "sha256:old"))
    assert comes_from(endpoint_identity(Target("x", "x", ENDPOINT)), completion(None))
