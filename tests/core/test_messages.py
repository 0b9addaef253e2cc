import math

import pytest

from core.errors import InputError
from core.messages import (
    Generation,
    GenerationParams,
    Message,
    ModelRef,
    Timings,
    Tool,
    ToolCall,
    Usage,
    new_id,
)
from core.tool_json import tool_from_openai, tools_from_json

CALL = ToolCall("c1", "find_table", '{"guest": "Ada"}')


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"temperature": -0.1}, "temperature must be between 0.0 and 2.0, got -0.1"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_p": 0.0}, "top_p must be above 0.0 and at most 1.0, got 0.0"),
        ({"top_p": 1.01}, "top_p"),
        ({"max_tokens": 0}, "max_tokens must be between 1 and 4096, got 0"),
        ({"max_tokens": 4097}, "max_tokens"),
        ({"seed": -1}, "seed must be between 0 and 4294967295, got -1"),
        ({"seed": 2**32}, "seed"),
        ({"stop": ("a", "")}, "stop must be at most four texts"),
        ({"stop": ("a", "b", "c", "d", "e")}, "stop must be at most four texts"),
    ],
)
def test_params_outside_their_ranges_are_refused(values, said):
    with pytest.raises(InputError, match=said):
        GenerationParams(**values)


def test_params_at_their_bounds_are_taken():
    GenerationParams(temperature=2.0, top_p=1.0, max_tokens=4096, seed=2**32 - 1, stop=("x",) * 4)
    GenerationParams(temperature=0.0, top_p=1e-9, max_tokens=1, seed=0)


def test_messages_in_the_shape_that_servers_read():
    assert Message("user", "Hi").to_openai() == {"role": "user", "content": "Hi"}
    asked = Message("assistant", "", (CALL,)).to_openai()
    function = {"name": "find_table", "arguments": '{"guest": "Ada"}'}
    assert asked["content"] is None
    assert asked["tool_calls"] == [{"id": "c1", "type": "function", "function": function}]
    assert Message("tool", "four", tool_call_id="c1").to_openai()["tool_call_id"] == "c1"


def test_a_tool_comes_back_as_it_was():
    tool = Tool("f", "Does it.", {"type": "object", "properties": {}})
    assert tool_from_openai(tool.to_openai()) == tool
    assert tool_from_openai({"function": {"name": "f"}}) == Tool("f", "", {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "tools must be a JSON list: "),
        ("{}", "tools must be a JSON list of tools"),
        ("[1]", "each tool must be"),
        ('[{"function": {"name": 1}}]', "each tool must be"),
        ('[{"function": {"name": "f", "parameters": [1]}}]', "tool 'f': parameters must be"),
        ('[{"function": {"name": "f", "description": 1}}]', "tool 'f': parameters must be"),
    ],
)
def test_wrong_tools_are_refused(text, said):
    with pytest.raises(InputError, match=said):
        tools_from_json(text)


def test_what_is_unknown_is_null_and_never_zero():
    generation = Generation(
        text="Hi",
        tool_calls=(CALL,),
        model=ModelRef("far", None),
        adapter=None,
        params=GenerationParams(),
        usage=Usage(None, None),
        timings=Timings(0.0, 0.0, None, 0.1, None),
        cost_usd=None,
        finish_reason="stop",
        trace_id=new_id(),
    )
    value = generation.to_dict()
    assert set(value["usage"]) == {
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "cache_write_tokens",
    }
    assert set(value["usage"].values()) == {None}
    assert value["cost_usd"] is None
    assert value["model"] == {"id": "far", "digest": None}
    assert value["tool_calls"] == [CALL.to_openai()]
    assert {"text", "tool_calls"}.isdisjoint(generation.facts())
