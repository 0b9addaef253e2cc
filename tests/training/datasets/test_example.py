"""Examples and their lines: what is read is what was written, and nothing else is read."""

import json

import pytest

from core.errors import InputError
from core.messages import Message, Tool, ToolCall
from training.datasets.example import Example, example_of

USER, ANSWER = Message("user", "Hello"), Message("assistant", "Good evening.")
SEAT = Tool("seat", "", {"type": "object"})
CALLING = Message("assistant", "", (ToolCall("c1", "seat", "{}"),))
DONE = Message("tool", "ok", tool_call_id="c1")


@pytest.mark.parametrize(
    "example",
    [
        Example(id="1", messages=(USER, ANSWER), group="1", source="a.jsonl, line 1"),
        Example(id="1", messages=(USER, CALLING, DONE, ANSWER), tools=(SEAT,), group="g"),
        Example(id="1", messages=(USER, ANSWER, USER, ANSWER), group="1", muted=(1,)),
        Example(id="1", messages=(USER, ANSWER), group="1", kind="unpaired", label=False),
        Example(
            id="1",
            messages=(USER,),
            group="1",
            kind="preference",
            chosen=(ANSWER,),
            rejected=(Message("assistant", "What?"),),
        ),
    ],
)
def test_a_line_is_read_as_it_was_written(example):
    assert example_of(json.loads(example.to_line())) == example


def test_the_stored_form_is_this_one():
    example = Example(
        id="7",
        messages=(USER, ANSWER, USER, CALLING),
        tools=(SEAT,),
        source="log.jsonl, line 7",
        muted=(1,),
    )
    function = {"name": "seat", "arguments": "{}"}
    assert json.loads(example.to_line()) == {
        "id": "7",
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Good evening.", "weight": 0},
            {"role": "user", "content": "Hello"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": function}],
            },
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "seat", "description": "", "parameters": {"type": "object"}},
            }
        ],
        "group": "7",
        "source": "log.jsonl, line 7",
    }


def test_the_answer_is_what_follows_the_last_turn_of_a_person():
    example = Example(id="1", messages=(USER, ANSWER, USER, CALLING, DONE, ANSWER), tools=(SEAT,))
    assert example.prompt == (USER, ANSWER, USER)
    assert example.answer == (CALLING, DONE, ANSWER)
    assert example.learnt == (1, 3, 5)


GOOD = {
    "id": "1",
    "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}],
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"extra": 1}, "unknown key 'extra'"),
        ({"id": ""}, "id must be a line"),
        ({"id": "a\nb"}, "id must be a line"),
        ({"id": "b\n"}, "id must be a line"),
        ({"group": "g" * 201}, "group must be a line"),
        ({"messages": []}, "at least one message"),
        ({"messages": GOOD["messages"][:1], "label": True}, "must end with the assistant"),
        ({"messages": GOOD["messages"][1:]}, "no message has role 'user'"),
        ({"messages": [GOOD["messages"][0], {"role": "assistant", "content": " "}]}, "is empty"),
        ({"messages": [*GOOD["messages"], {"role": "king", "content": "z"}]}, "role must be one"),
        ({"messages": [GOOD["messages"][0], {"role": "assistant", "content": "a\0"}]}, "NUL"),
        ({"label": "yes"}, "label must be true or false"),
        ({"chosen": [], "rejected": []}, "chosen must be a list of at least one"),
        ({"chosen": GOOD["messages"][1:], "rejected": GOOD["messages"][1:]}, "must end with"),
        (
            {
                "messages": GOOD["messages"][:1],
                "chosen": GOOD["messages"][1:],
                "rejected": GOOD["messages"][1:],
            },
            "chosen and rejected are the same",
        ),
        ({"messages": [{**GOOD["messages"][0], "weight": 0}, GOOD["messages"][1]]}, "weight"),
        ({"messages": [GOOD["messages"][0], {**GOOD["messages"][1], "weight": 0.5}]}, "weight"),
    ],
)
def test_what_is_no_example_is_refused(change, reason):
    with pytest.raises(InputError, match=reason):
        example_of({**GOOD, **change})


def test_a_call_of_a_tool_that_is_not_offered_is_refused():
    with pytest.raises(InputError, match="calls 'seat', which is not offered"):
        Example(id="1", messages=(USER, CALLING))
