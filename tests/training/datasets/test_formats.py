"""What each format makes of a row, and of rows that are broken."""

import json

import pytest

from core.errors import InputError
from core.messages import Message, Tool
from core.rows.records import Record
from training.datasets.formats import FORMATS, detect, reader_of

SEAT = {
    "type": "function",
    "function": {
        "name": "seat",
        "description": "d",
        "parameters": {"type": "object", "properties": {"guest": {"type": "string"}}},
    },
}
CALL = {"type": "function", "function": {"name": "seat", "arguments": {"guest": "Ada"}}}
XLAM = {
    "id": 4,
    "query": "Weather in Rome?",
    "tools": json.dumps(
        [
            {
                "name": "weather",
                "description": "d",
                "parameters": {"city": {"type": "str", "description": "c"}},
            }
        ]
    ),
    "answers": '[{"name": "weather", "arguments": {"city": "Rome"}}]',
}
HERMES = {
    "id": "h",
    "conversations": [
        {"from": "system", "value": f"You call functions. <tools>{json.dumps([SEAT])}</tools>"},
        {"from": "human", "value": "Seat Ada"},
        {
            "from": "gpt",
            "value": "At once.\n<tool_call>\n{'arguments': {'guest': 'Ada'}, 'name': 'seat'}\n"
            "</tool_call>",
        },
        {"from": "tool", "value": '<tool_response>\n{"table": 3}\n</tool_response>'},
        {"from": "gpt", "value": "Ada sits at table 3."},
    ],
}


def read(format, row, number=7):
    return reader_of(format)(Record(f"line {number}", number, row))


def turns(example):
    return [(message.role, message.text) for message in example.messages]


def said(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


def test_messages_keep_tools_calls_and_results():
    row = {
        "messages": [
            *said(("user", "Seat Ada")),
            {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None},
            {"role": "tool", "content": "ok"},
            *said(("assistant", "Done.")),
        ],
        "tools": json.dumps([SEAT]),
        "conversation_id": "c9",
    }
    example = read("messages", row)
    assert (example.id, example.group, example.kind) == ("7", "c9", "sft")
    assert example.tools[0].parameters["properties"] == {"guest": {"type": "string"}}
    call = example.messages[1].tool_calls[0]
    assert json.loads(call.arguments) == {"guest": "Ada"}
    assert example.messages[2].tool_call_id == call.id
    assert example.learnt == (1, 3)


def test_messages_honour_weights_pairs_and_labels():
    heard = [*said(("user", "a")), {"role": "assistant", "content": "b", "weight": 0}]
    assert read(
        "messages", {"messages": heard + said(("user", "c"), ("assistant", "d"))}
    ).muted == (1,)
    pair = {"chosen": said(("assistant", "b")), "rejected": said(("assistant", "c"))}
    assert read("messages", {"messages": said(("user", "a")), **pair}).kind == "preference"
    labelled = {"messages": said(("user", "a"), ("assistant", "b")), "label": "false"}
    assert read("messages", labelled).label is False


def test_prompts_and_completions_are_texts_or_messages():
    plain = read("prompt_completion", {"prompt": "1 + 1?", "completion": "2", "group": "sums"})
    assert turns(plain) == [("user", "1 + 1?"), ("assistant", "2")]
    assert plain.group == "sums"
    row = {"prompt": said(("system", "s"), ("user", "u")), "completion": said(("assistant", "a"))}
    assert turns(read("prompt_completion", row)) == [
        ("system", "s"),
        ("user", "u"),
        ("assistant", "a"),
    ]


def test_sharegpt_with_its_system_calls_and_observations():
    row = {
        "system": "Be brief.",
        "tools": json.dumps([SEAT["function"]]),
        "conversations": [
            {"from": "human", "value": "Seat Ada"},
            {"from": "function_call", "value": '{"name": "seat", "arguments": {"guest": "Ada"}}'},
            {"from": "observation", "value": "ok"},
            {"from": "gpt", "value": "Done."},
        ],
    }
    example = read("sharegpt", row)
    assert turns(example) == [
        ("system", "Be brief."),
        ("user", "Seat Ada"),
        ("assistant", ""),
        ("tool", "ok"),
        ("assistant", "Done."),
    ]
    assert example.messages[2].tool_calls[0].name == "seat"
    assert example.tools[0].name == "seat"


def test_alpaca_with_input_system_and_history():
    row = {
        "instruction": "Translate.",
        "input": "Hello",
        "output": "Olá",
        "system": "You translate.",
        "history": [["Ready?", "Ready."]],
    }
    assert turns(read("alpaca", row)) == [
        ("system", "You translate."),
        ("user", "Ready?"),
        ("assistant", "Ready."),
        ("user", "Translate.\nHello"),
        ("assistant", "Olá"),
    ]
    assert turns(read("alpaca", {"instruction": "Go.", "input": "", "output": "Gone."})) == [
        ("user", "Go."),
        ("assistant", "Gone."),
    ]


def test_preferences_with_a_prompt_and_without():
    example = read("preference", {"prompt": "Hi", "chosen": "Hello.", "rejected": "What?"})
    assert (example.kind, example.chosen[0].text, example.rejected[0].text) == (
        "preference",
        "Hello.",
        "What?",
    )
    implicit = {
        "chosen": said(("user", "Hi"), ("assistant", "Hello.")),
        "rejected": said(("user", "Hi"), ("assistant", "What?")),
    }
    assert read("preference", implicit).messages == (Message("user", "Hi"),)
    assert read("preference", implicit).chosen == example.chosen


@pytest.mark.parametrize(
    ("given", "label"), [(True, True), ("false", False), (0, False), ("1", True)]
)
def test_unpaired_preferences(given, label):
    row = {"prompt": "Hi", "completion": "Hello.", "label": given}
    example = read("preference", row)
    assert (example.kind, example.label) == ("unpaired", label)


def test_xlam_as_tool_calls():
    example = read("xlam", XLAM)
    assert (example.id, example.group) == ("4", "weather")
    assert example.tools[0].parameters["required"] == ["city"]
    call = example.messages[1].tool_calls[0]
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Rome"})


def test_xlam_as_records_whose_prompt_shows_the_schema():
    example = read("xlam_structured", XLAM)
    assert example.tools == ()
    assert json.loads(example.messages[1].text) == {
        "calls": [{"tool_name": "weather", "arguments": {"city": "Rome"}}]
    }
    prompt = example.messages[0].text
    assert prompt.endswith("Request: Weather in Rome?")
    assert '"required": ["city"]' in prompt
    assert '"Rome"' not in prompt


@pytest.mark.parametrize("format", ["xlam", "xlam_structured"])
@pytest.mark.parametrize(
    "completion",
    ['<tool_call name="weather">{"city": "Rome"}</tool_call>', '{"tool_name": "weather"}'],
)
def test_rows_of_a_track_stay_as_they_are(format, completion):
    example = read(format, {"prompt": "Weather?", "completion": completion})
    assert turns(example) == [("user", "Weather?"), ("assistant", completion)]
    assert example.group == "weather"


def test_hermes_without_the_turn_that_lists_the_tools():
    example = read("hermes", HERMES)
    assert [tool.name for tool in example.tools] == ["seat"]
    assert turns(example) == [
        ("user", "Seat Ada"),
        ("assistant", "At once."),
        ("tool", '{"table": 3}'),
        ("assistant", "Ada sits at table 3."),
    ]
    assert json.loads(example.messages[1].tool_calls[0].arguments) == {"guest": "Ada"}
    assert isinstance(example.tools[0], Tool)


@pytest.mark.parametrize(
    ("format", "row", "reason"),
    [
        ("messages", {"messages": "hello"}, "expected JSON"),
        ("messages", {"messages": [1]}, "each message must be an object"),
        ("messages", {"messages": said(("king", "x"), ("assistant", "y"))}, "role must be one of"),
        ("messages", {"messages": said(("user", "x"), ("assistant", "")), "id": 1}, "is empty"),
        ("messages", {"prompt": "x", "chosen": "y", "rejected": "z"}, "looks like preference"),
        ("messages", {"prompt": "x", "completion": "y"}, "looks like prompt_completion"),
        ("alpaca", {"conversations": [{"from": "human", "value": "x"}]}, "looks like sharegpt"),
        ("messages", {"messages": said(("user", "x"), ("assistant", "y")), "tools": "{"}, "JSON"),
        ("prompt_completion", {"prompt": "x"}, "completion must be a text"),
        ("prompt_completion", {"completion": "x"}, "prompt must be a text"),
        ("prompt_completion", {"prompt": "x", "completion": "  "}, "completion must be a text"),
        ("prompt_completion", {"messages": said(("user", "x"))}, "looks like messages"),
        ("sharegpt", {"conversations": []}, "at least one turn"),
        ("sharegpt", {"conversations": [{"from": "king", "value": "x"}]}, "from 'king'"),
        ("sharegpt", {"conversations": [{"from": "human", "value": 5}]}, "value that is a text"),
        ("alpaca", {"instruction": "x", "output": ""}, "output must be a text"),
        ("alpaca", {"instruction": "x", "output": "y", "history": "[[1]]"}, "pairs of texts"),
        ("preference", {"prompt": "x", "chosen": "y"}, "rejected must be a text"),
        ("preference", {"prompt": "x", "chosen": "y", "rejected": "y"}, "are the same"),
        ("preference", {"chosen": "y", "rejected": "z"}, "prompt is missing"),
        ("preference", {"prompt": "x", "completion": "y", "label": "maybe"}, "label must be"),
        ("xlam", {**XLAM, "query": ""}, "query must be a text"),
        ("xlam", {**XLAM, "answers": "[]"}, "answers is empty"),
        ("xlam", {**XLAM, "answers": '[{"name": "fly", "arguments": {}}]'}, "not offered"),
        ("xlam", {**XLAM, "tools": "[{"}, "expected JSON"),
        ("xlam", {"prompt": "x", "completion": "y"}, "must be a JSON object with tool_name"),
        ("hermes", {"conversations": HERMES["conversations"][1:]}, "no tools"),
        (
            "hermes",
            {
                "conversations": [
                    *HERMES["conversations"][:2],
                    {"from": "gpt", "value": "<tool_call>{"},
                ]
            },
            "tag is not closed",
        ),
        ("gsm8k", {"question": "x"}, "answer must be a text"),
    ],
)
def test_a_broken_row_is_refused_with_the_reason(format, row, reason):
    with pytest.raises(InputError, match=reason):
        read(format, row)


def test_a_format_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(InputError, match="choose one of: messages"):
        reader_of("csv")


@pytest.mark.parametrize(
    ("row", "format"),
    [
        ({"messages": []}, "messages"),
        (HERMES, "hermes"),
        ({"conversations": [{"from": "human", "value": "x"}]}, "sharegpt"),
        (XLAM, "xlam"),
        ({"prompt": "x", "completion": '<tool_call name="a">{}</tool_call>'}, "xlam"),
        ({"prompt": "x", "completion": '{"tool_name": "a"}'}, "xlam"),
        ({"prompt": "x", "completion": "y"}, "prompt_completion"),
        ({"prompt": "x", "completion": "y", "label": False}, "preference"),
        ({"prompt": "x", "chosen": "y", "rejected": "z"}, "preference"),
        ({"instruction": "x", "output": "y"}, "alpaca"),
        ({"question": [], "function": []}, "bfcl"),
        ({"question": "x", "answer": "y"}, "gsm8k"),
        ({"text": "x"}, None),
    ],
)
def test_a_format_is_told_by_its_keys(row, format):
    assert detect(row) == format
    assert format is None or format in FORMATS
