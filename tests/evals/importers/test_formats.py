"""What each format makes of a row, and of rows that are broken."""

import csv
import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from core.errors import InputError, NotFoundError
from core.messages import Message
from core.rows.bfcl import json_schema
from core.rows.xlam import parameter_schema
from evals.dataset import read_samples
from evals.importers import import_dataset

TOOL = {
    "type": "function",
    "function": {
        "name": "seat",
        "description": "",
        "parameters": {
            "type": "object",
            "properties": {"guest": {"type": "string"}, "table": {"type": "integer"}},
            "required": ["guest"],
        },
    },
}
CALL = {"type": "function", "function": {"name": "seat", "arguments": {"guest": "Ada"}}}


def take(tmp_path, format, *rows, suffix=".jsonl"):
    """Import rows; return the report and the samples."""
    path = tmp_path / f"given{suffix}"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    report = import_dataset(format, path, "t", tmp_path / "home")
    return report, list(read_samples(report.dataset))


def refusal(tmp_path, format, row, good):
    """Return why a row is refused that stands between two good ones."""
    report, samples = take(tmp_path, format, good, row, {**good, "id": "last"})
    assert len(samples) == 2
    assert report.refused == 1
    assert report.examples[0].place == "line 2"
    return report.examples[0].reason


def turns(*said):
    return [{"role": role, "content": content} for role, content in said]


TEXT_ROW = {"id": "a", "messages": turns(("user", "Hello"), ("assistant", "Good evening."))}
TOOL_ROW = {
    "id": "a",
    "messages": [*turns(("user", "Seat Ada")), {"role": "assistant", "tool_calls": [CALL]}],
    "tools": [TOOL],
}


def test_the_last_turn_of_a_conversation_is_the_target(tmp_path):
    said = turns(("system", "s"), ("user", "1"), ("assistant", "2"), ("user", "3"))
    row = {"messages": [*said, *turns(("assistant", "4"))], "group": "c7", "more": 1}
    report, (sample,) = take(tmp_path, "messages", row)
    assert [message.text for message in sample.messages] == ["s", "1", "2", "3"]
    assert sample.target == "4"
    assert (sample.id, sample.group) == ("1", "c7")
    assert report.scorer == "exact"


def test_the_last_turn_that_calls_is_the_target_where_tools_are(tmp_path):
    answered = [{"role": "tool", "content": "{}"}, {"role": "assistant", "content": "Done."}]
    row = {**TOOL_ROW, "messages": [*TOOL_ROW["messages"], *answered]}
    report, (sample,) = take(tmp_path, "messages", row)
    assert sample.target == {"calls": [{"name": "seat", "arguments": {"guest": "Ada"}}]}
    assert sample.messages == (Message("user", "Seat Ada"),)
    assert sample.tools[0].name == "seat"
    assert report.scorer == "tool_calls"


def test_calls_before_the_answer_get_ids_and_their_arguments_as_text(tmp_path):
    said = [
        *TOOL_ROW["messages"],
        {"role": "tool", "content": "{}"},
        *turns(("user", "And Bob")),
        {
            "role": "assistant",
            "tool_calls": [
                {"function": {"name": "seat", "arguments": '{"guest": "Bob", "table": 3}'}}
            ],
        },
    ]
    _, (sample,) = take(tmp_path, "messages", {"messages": said, "tools": json.dumps([TOOL])})
    before = sample.messages[1].tool_calls[0]
    assert json.loads(before.arguments) == {"guest": "Ada"}
    assert sample.messages[2].tool_call_id == before.id
    assert sample.target["calls"][0]["arguments"] == {"guest": "Bob", "table": 3}


def test_an_offer_that_is_not_taken_up_is_to_be_declined(tmp_path):
    row = {**TEXT_ROW, "tools": [TOOL]}
    _, (sample,) = take(tmp_path, "messages", row)
    assert sample.target == {"calls": []}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": turns(("user", "x"))}, "no message has role 'assistant'"),
        ({"messages": []}, "at least one message"),
        ({"messages": "hello"}, "expected JSON"),
        ({"messages": ["x"]}, "each message must be an object"),
        ({"messages": turns(("assistant", "x"))}, "input is empty"),
        ({"messages": turns(("user", "x"), ("assistant", ""))}, "answer must be a text"),
        ({"messages": turns(("king", "x"), ("assistant", "y"))}, "role must be one of"),
        (TOOL_ROW | {"id": "b"}, "kind 'tool calls', those before 'texts'"),
        ('{"id": "b", "messages": ', "not JSON"),
        ("[1]", "a row must be a JSON object"),
        (TEXT_ROW, "its id stands on a row before"),
        ({**TEXT_ROW, "id": "b", "messages": turns(("user", "a\0"), ("assistant", "b"))}, "NUL"),
    ],
)
def test_a_broken_conversation_is_refused_and_the_rest_is_read(tmp_path, row, reason):
    assert reason in refusal(tmp_path, "messages", row, TEXT_ROW)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"name": "fly", "arguments": {}}, "'fly', which is not offered"),
        ({"name": "seat", "arguments": {"table": 3}}, "do not fit 'seat': $"),
        ({"name": "seat", "arguments": {"guest": 5}}, "do not fit 'seat': $.guest"),
        ({"name": "seat", "arguments": "guest=Ada"}, "expected JSON"),
        ({"name": "seat", "arguments": []}, "must be an object"),
        ({"arguments": {}}, "function with name and arguments"),
    ],
)
def test_a_call_that_no_tool_takes_is_refused(tmp_path, call, reason):
    said = [*turns(("user", "x")), {"role": "assistant", "tool_calls": [{"function": call}]}]
    row = {**TOOL_ROW, "id": "b", "messages": said}
    assert reason in refusal(tmp_path, "messages", row, TOOL_ROW)


def test_prompts_and_completions(tmp_path):
    report, samples = take(
        tmp_path,
        "prompt_completion",
        {"prompt": "1 + 1?", "completion": "2"},
        {"id": 9, "prompt": turns(("user", "2 + 2?")), "completion": turns(("assistant", "4"))},
        {"prompt": "x", "completion": '{"a": 1}'},
        {"prompt": ["x"], "completion": "y"},
        {"completion": "y"},
        {"prompt": "x"},
    )
    assert [(s.id, s.messages[0].text, s.target) for s in samples] == [
        ("1", "1 + 1?", "2"),
        ("9", "2 + 2?", "4"),
    ]
    assert [example.place for example in report.examples] == [f"line {n}" for n in (3, 4, 5, 6)]
    assert "kind 'JSON records'" in report.examples[0].reason


def test_completions_that_are_objects_make_a_task_of_records(tmp_path):
    report, (sample,) = take(
        tmp_path, "prompt_completion", {"prompt": "x", "completion": '{"a": [1]}'}
    )
    assert sample.target == {"a": [1]}
    assert report.scorer == "fields"


XLAM = {
    "id": 4,
    "query": "Weather in Rome?",
    "tools": json.dumps(
        [
            {
                "name": "weather",
                "description": "d",
                "parameters": {
                    "city": {"type": "str", "description": "c"},
                    "days": {"type": "int, optional", "description": "n", "default": 3},
                },
            }
        ]
    ),
    "answers": '[{"name": "weather", "arguments": {"city": "Rome"}}]',
}


@pytest.mark.parametrize("parse", [False, True])
def test_original_rows_of_xlam(tmp_path, parse):
    row = {k: json.loads(v) if parse and k in ("tools", "answers") else v for k, v in XLAM.items()}
    _, (sample,) = take(tmp_path, "xlam", row)
    assert sample.target == {"calls": [{"name": "weather", "arguments": {"city": "Rome"}}]}
    assert (sample.id, sample.group) == ("4", "weather")
    parameters = sample.tools[0].parameters
    assert parameters["properties"]["days"]["type"] == "integer"
    assert parameters["required"] == ["city"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"query": ""}, "query must be a text"),
        ({"tools": "[{"}, "expected JSON"),
        ({"answers": '[{"name": "weather", "arguments": {"city": 5}}]'}, "do not fit 'weather'"),
        ({"answers": '[{"name": "other", "arguments": {}}]'}, "not offered"),
        ({"answers": None}, "must be lists"),
    ],
)
def test_a_broken_row_of_xlam_is_refused(tmp_path, change, reason):
    assert reason in refusal(tmp_path, "xlam", {**XLAM, "id": "b", **change}, XLAM)


@pytest.mark.parametrize(
    ("described", "schema"),
    [
        ("str", {"type": "string"}),
        ("int, optional", {"type": "integer"}),
        ("float", {"type": "number"}),
        ("bool, optional, default True", {"type": "boolean"}),
        ("List[int]", {"type": "array", "items": {"type": "integer"}}),
        ("List[Dict[str, int]], optional", {"type": "array", "items": {"type": "object"}}),
        ("Tuple[float, float]", {"type": "array"}),
        ("Optional[str]", {"type": "string"}),
        ("Union[int, float]", {}),
        ("Callable[[float], float]", {}),
        ("", {}),
    ],
)
def test_types_of_xlam(described, schema):
    assert parameter_schema(described) == schema


def test_types_of_bfcl():
    given = {
        "type": "dict",
        "required": ["type"],
        "properties": {
            "type": {"type": "string", "enum": ["float"], "optional": True},
            "at": {"type": "tuple", "items": {"type": "float"}},
            "any": {"type": "any", "description": "d"},
            "deep": {"type": "dict", "properties": {"x": {"type": "float", "default": 1}}},
        },
    }
    assert json_schema(given) == {
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": {"type": "string", "enum": ["float"]},
            "at": {"type": "array", "items": {"type": "number"}},
            "any": {"description": "d"},
            "deep": {"type": "object", "properties": {"x": {"type": "number", "default": 1}}},
        },
    }


BFCL = {
    "id": "multiple_0",
    "question": [[{"role": "user", "content": "Sides 3, 4, 5?"}]],
    "function": [
        {
            "name": "triangle.get",
            "description": "d",
            "parameters": {
                "type": "dict",
                "properties": {"side": {"type": "float"}},
                "required": ["side"],
            },
        }
    ],
}
ANSWER = {"id": "multiple_0", "ground_truth": [{"triangle.get": {"side": [3.0]}}]}


def bfcl_folder(tmp_path, *rows, category="multiple", answers=(ANSWER,)):
    folder = tmp_path / "bfcl"
    (folder / "possible_answer").mkdir(parents=True)
    name = f"BFCL_v4_{category}.json"
    (folder / name).write_text("\n".join(map(json.dumps, rows)))
    if answers is not None:
        (folder / "possible_answer" / name).write_text("\n".join(map(json.dumps, answers)))
    return folder


def test_a_row_of_bfcl_keeps_what_its_checker_needs(tmp_path):
    report = import_dataset("bfcl", bfcl_folder(tmp_path, BFCL), "t", tmp_path)
    (sample,) = read_samples(report.dataset)
    assert sample.target == {"calls": ANSWER["ground_truth"]}
    assert sample.details == {"category": "multiple", "functions": BFCL["function"]}
    assert sample.tools[0].name == "triangle_get"
    assert sample.tools[0].parameters["properties"] == {"side": {"type": "number"}}


def test_rows_of_bfcl_that_cannot_be_judged_are_refused(tmp_path):
    typed = {"type": "dict", "properties": {"side": {"type": "number"}}, "required": ["side"]}
    odd = {**BFCL, "id": "multiple_3", "function": [{**BFCL["function"][0], "parameters": typed}]}
    folder = bfcl_folder(
        tmp_path,
        BFCL,
        {**BFCL, "id": "multiple_1"},
        {**BFCL, "id": "multiple_2", "question": [*BFCL["question"], *BFCL["question"]]},
        odd,
        answers=(ANSWER, {**ANSWER, "id": "multiple_2"}, {**ANSWER, "id": "multiple_3"}),
    )
    report = import_dataset("bfcl", folder / "BFCL_v4_multiple.json", "t", tmp_path)
    assert report.read == 1
    assert [each.place for each in report.examples] == [
        f"BFCL_v4_multiple.json, line {number}" for number in (2, 3, 4)
    ]
    reasons = [each.reason for each in report.examples]
    assert "no possible answer" in reasons[0]
    assert "one turn" in reasons[1]
    assert "number" in reasons[2]


def test_files_of_bfcl_that_are_not_supported_are_told(tmp_path):
    folder = bfcl_folder(tmp_path, BFCL)
    (folder / "BFCL_v4_simple_java.json").write_text(json.dumps(BFCL))
    report = import_dataset("bfcl", folder, "t", tmp_path)
    assert report.read == 1
    assert report.examples[0].place == "BFCL_v4_simple_java.json"
    with pytest.raises(InputError, match="simple_java"):
        import_dataset("bfcl", folder / "BFCL_v4_simple_java.json", "u", tmp_path)


def test_bfcl_without_its_answers_is_not_found(tmp_path):
    folder = bfcl_folder(tmp_path, BFCL, answers=None)
    with pytest.raises(NotFoundError, match="possible_answer"):
        import_dataset("bfcl", folder / "BFCL_v4_multiple.json", "t", tmp_path)


HERMES_TOOLS = str([TOOL])
HERMES = {
    "id": "a",
    "conversations": [
        {
            "from": "system",
            "value": f"within <tools> </tools> tags\n<tools>\n{HERMES_TOOLS}\n</tools>",
        },
        {"from": "human", "value": "Seat Ada's mother"},
        {
            "from": "gpt",
            "value": "<tool_call>\n{'name': 'seat', 'arguments': {'guest': \"Ada's mother\"}}\n"
            '</tool_call>\n<tool_call>\n{"arguments": {"guest": "Bob"}, "name": "seat"}\n'
            "</tool_call>",
        },
        {"from": "tool", "value": "{}"},
    ],
}


def hermes(answer, system=None):
    """Return the row with another answer."""
    said = [dict(turn) for turn in HERMES["conversations"][:3]]
    said[2]["value"] = answer
    if system is not None:
        said[0]["value"] = system
    return {"id": "b", "conversations": said}


def test_calls_of_hermes_are_read_as_python_and_as_json(tmp_path):
    _, (sample,) = take(tmp_path, "hermes", HERMES)
    assert sample.target == {
        "calls": [
            {"name": "seat", "arguments": {"guest": "Ada's mother"}},
            {"name": "seat", "arguments": {"guest": "Bob"}},
        ]
    }
    assert sample.messages == (Message("user", "Seat Ada's mother"),)
    assert [tool.name for tool in sample.tools] == ["seat"]


def test_tools_of_hermes_may_be_a_column(tmp_path):
    row = {**hermes("I can't.", system="You are kind."), "tools": json.dumps([TOOL])}
    _, (sample,) = take(tmp_path, "hermes", row)
    assert sample.target == {"calls": []}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (hermes("<tool_call>{'arguments': {'guest': 'A', 'name': 'seat'}}</tool_call>"), "no name"),
        (hermes("<tool_call>{'name': 'seat'}</tool_call>"), "no arguments"),
        (hermes("<tool_call>seat Ada</tool_call>"), "expected JSON"),
        (hermes("<tool_call>{'name': 'seat', "), "not closed"),
        (hermes("<tool_call>{'name': 'fly', 'arguments': {}}</tool_call>"), "not offered"),
        (hermes("x", system="You are kind."), "no tools"),
        ({"conversations": [{"from": "human", "value": "x"}]}, "assistant has no turn"),
        ({"conversations": [{"from": "king", "value": "x"}]}, "each turn must have"),
        ({"conversations": 5}, "at least one turn"),
    ],
)
def test_a_broken_row_of_hermes_is_refused(tmp_path, row, reason):
    assert reason in refusal(tmp_path, "hermes", row, HERMES)


def test_problems_of_gsm8k(tmp_path):
    good = {"question": "How much?", "answer": "1 + 1 = <<1+1=2>>2\n#### 2,125"}
    report, (sample,) = take(
        tmp_path,
        "gsm8k",
        good,
        {**good, "answer": "it is 5"},
        {**good, "answer": "#### many"},
        {"question": "x"},
    )
    assert sample.target == "2125"
    assert report.refused == 3


def test_instructions_of_ifeval(tmp_path):
    good = {
        "key": 1000,
        "prompt": "Write.",
        "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
        "kwargs": [{}, {"relation": "at least", "num_words": 30, "keyword": None}],
    }
    report, (sample,) = take(
        tmp_path,
        "ifeval",
        good,
        {**good, "key": 1, "kwargs": [{}]},
        {**good, "key": 2, "instruction_id_list": []},
        {**good, "key": 3, "instruction_id_list": ["a:b", "punctuation:no_comma"]},
        {**good, "key": 4, "kwargs": [{}, 5]},
    )
    assert sample.id == "1000"
    assert sample.target is None
    assert sample.details["kwargs"] == [{}, {"relation": "at least", "num_words": 30}]
    assert report.refused == 4


def test_intents_of_clinc150(tmp_path):
    document = {
        "train": [["a", "balance"]],
        "val": [["my money", "balance"], ["x"], ["", "balance"]],
        "oos_val": [["sing", "oos"]],
    }
    report, samples = take(tmp_path, "clinc150", document, suffix=".json")
    assert [(s.id, s.target, s.group) for s in samples] == [
        ("val-1", "balance", "balance"),
        ("oos_val-1", "oos", "oos"),
    ]
    assert samples[0].details == {"labels": ["balance", "oos"], "out_of_scope": "oos"}
    assert [each.place for each in report.examples] == ["val, item 2", "val, item 3"]
    with pytest.raises(InputError, match="must be an object with a list 'val'"):
        take(tmp_path, "clinc150", [1], suffix=".json")


def test_questions_of_squad(tmp_path):
    def question(number, *answers):
        listed = [{"text": text, "answer_start": 0} for text in answers]
        return {"id": number, "question": "When?", "answers": listed}

    questions = [question("a", "1999", "1999"), question("b", "2000"), question("c")]
    paragraph = {"context": "In 1999.", "qas": [*questions, "broken"]}
    document = {"data": [{"title": "Years", "paragraphs": [paragraph]}]}
    report, (sample,) = take(tmp_path, "squad", document, suffix=".json")
    assert sample.target == ["1999"]
    assert sample.group == "Years"
    assert sample.details == {"documents": {"Years": "In 1999."}}
    assert [each.place.rsplit(", ")[-1] for each in report.examples] == [
        "question 2",
        "question 3",
        "question 4",
    ]


ROWS = [{"id": str(n), "prompt": f'{n}, "é"\nand?', "completion": f"c{n}"} for n in range(5)]


def written(path):
    """Write the same rows in the form that the file's name says."""
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8-sig", newline="") as handle:
            writer = csv.DictWriter(handle, list(ROWS[0]))
            writer.writeheader()
            writer.writerows(ROWS)
    elif path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".json":
        path.write_text("\ufeff" + json.dumps(ROWS, indent=1), encoding="utf-8")
    else:
        path.write_text("\ufeff" + "\r\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_all_kinds_of_files_give_the_same_rows(tmp_path, suffix):
    path = written(tmp_path / f"given{suffix}")
    report = import_dataset("prompt_completion", path, "t", tmp_path)
    assert [(s.id, s.messages[0].text, s.target) for s in read_samples(report.dataset)] == [
        (row["id"], row["prompt"], row["completion"]) for row in ROWS
    ]
    assert report.refused == 0


def test_conversations_come_from_parquet_with_its_nulls(tmp_path):
    rows = [TOOL_ROW, {**TOOL_ROW, "id": "b", "messages": [*TOOL_ROW["messages"]]}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "given.parquet")
    report = import_dataset("messages", tmp_path / "given.parquet", "t", tmp_path)
    assert report.read == 2
    assert next(read_samples(report.dataset)).target["calls"][0]["name"] == "seat"


def test_conversations_come_from_csv_as_json(tmp_path):
    with (tmp_path / "given.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["messages", "tools"])
        writer.writerow([json.dumps(TOOL_ROW["messages"]), json.dumps([TOOL])])
        writer.writerow(["[", ""])
    report = import_dataset("messages", tmp_path / "given.csv", "t", tmp_path)
    assert (report.read, report.refused) == (1, 1)
