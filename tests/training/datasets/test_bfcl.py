"""What the import makes of BFCL's rows and answers."""

import json

import pytest

from core.errors import InputError
from core.rows.records import Record
from evals.dataset import read_samples
from evals.importers import import_dataset as import_task
from evals.sample import Answer
from evals.scorers.tool_calls import tool_calls
from training.datasets.formats import reader_of
from training.datasets.importing import import_dataset, preview
from training.datasets.leakage import Leakage, read_items
from training.datasets.versions import read_examples

ROW = {
    "id": "live_simple_4-2-0",
    "question": [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Seat Ada."}]
    ],
    "function": [
        {
            "name": "desk.seat",
            "description": "d",
            "parameters": {
                "type": "dict",
                "properties": {
                    "guest": {"type": "string"},
                    "speed": {"type": "float"},
                    "near": {"type": "dict", "properties": {"x": {"type": "float"}}},
                },
                "required": ["guest", "speed"],
            },
        },
        {"name": "menu", "description": "", "parameters": {"type": "dict", "properties": {}}},
    ],
}
TRUTH = [
    {
        "desk.seat": {
            "guest": ["Ada", "Ada Lovelace"],
            "speed": ["", 2.5],
            "smoking": ["", False],
            "window": [False, ""],
            "near": [{"x": [3, 4], "y": ["", 5], "deep": [{"z": [[1, 2], [3]]}]}, ""],
            "with": [[{"name": ["Rui", "R"], "age": [""]}, "Bo"], []],
        }
    },
    {"menu": {}},
]


def file(folder, *rows, name="BFCL_v4_live_simple.json", answers=()):
    (folder / "possible_answer").mkdir(exist_ok=True)
    for path, lines in ((folder / name, rows), (folder / "possible_answer" / name, answers)):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / name


def read(row):
    return reader_of("bfcl")(Record("line 1", 1, row))


def test_an_example_calls_with_the_first_allowed_values(tmp_path):
    path = file(tmp_path, ROW, answers=[{"id": ROW["id"], "ground_truth": TRUTH}])
    report = import_dataset(tmp_path, path, "b")
    (example,) = read_examples(report.version.path)
    assert [turn.role for turn in example.messages] == ["system", "user", "assistant"]
    seat, menu = example.messages[-1].tool_calls
    assert (seat.name, menu.name, menu.arguments) == ("desk_seat", "menu", "{}")
    assert json.loads(seat.arguments) == {
        "guest": "Ada",
        "speed": 2.5,  # It is required, though BFCL allows it to be missing.
        "window": False,
        "near": {"x": 3, "deep": {"z": [1, 2]}},
        "with": [{"name": "Rui"}, "Bo"],
    }
    assert [tool.name for tool in example.tools] == ["desk_seat", "menu"]
    assert example.tools[0].parameters["properties"]["near"] == {
        "type": "object",
        "properties": {"x": {"type": "number"}},
    }
    assert (example.id, example.group) == (ROW["id"], "live_simple/desk_seat")


def test_an_import_says_that_it_is_an_evaluation_and_the_leakage_check_finds_it(tmp_path):
    path = file(tmp_path, ROW, answers=[{"id": ROW["id"], "ground_truth": TRUTH}])
    report = import_dataset(tmp_path, path, "b", "bfcl")
    assert "bfcl is an evaluation" in report.to_dict()["notes"][0]
    (example,) = read_examples(report.version.path)
    assert Leakage(read_items(path)).of(example).item == ROW["id"]
    other = tmp_path / "own.jsonl"
    other.write_text('{"prompt": "a", "completion": "b"}')
    assert import_dataset(tmp_path, other, "own").notes == ()


def test_rows_that_hold_their_answers_need_no_second_file(tmp_path):
    columns = {key: json.dumps(ROW[key]) for key in ("question", "function")}
    cells = {"id": "7", **columns, "ground_truth": json.dumps(TRUTH)}
    assert read(cells).messages == read({**ROW, "ground_truth": TRUTH}).messages
    assert read(cells).group == "desk_seat"
    path = tmp_path / "joined.jsonl"
    path.write_text(json.dumps({**ROW, "ground_truth": TRUTH}))
    assert import_dataset(tmp_path, path, "b").format == "bfcl"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "no ground_truth in the row, .* in possible_answer/ beside it"),
        ({"id": "live_irrelevance_0-0-0"}, "no call fits"),
        ({"ground_truth": []}, "no call fits"),
        ({"id": "multi_turn_base_0"}, "the category 'multi_turn_base' can't be read; only: simple"),
        ({"id": "simple_java_0", "ground_truth": TRUTH}, "'simple_java'"),
        ({"id": "javascript_3", "ground_truth": TRUTH}, "'javascript'"),
        ({"question": [*ROW["question"], *ROW["question"]]}, "list of one turn"),
        ({"question": ["Seat Ada."]}, "must be a list of messages"),
        ({"function": "{}"}, "function must be a list"),
        ({"ground_truth": {"menu": {}}}, "must be a list of calls"),
        ({"ground_truth": ["menu()"]}, "a call of ground_truth must be"),
        ({"ground_truth": [{"menu": {}, "seat": {}}]}, "a call of ground_truth must be"),
        ({"ground_truth": [{"menu": {"day": "Monday"}}]}, "'day' a list of allowed values"),
        ({"ground_truth": [{"cook": {}}]}, "calls 'cook', which is not offered"),
    ],
)
def test_a_row_without_calls_to_learn_is_refused_with_the_reason(change, reason):
    with pytest.raises(InputError, match=reason):
        read({**ROW, **change})


@pytest.mark.parametrize("category", ["multi_turn_base", "simple_java", "live_javascript"])
def test_a_file_of_a_category_that_is_not_read_is_refused_by_name(tmp_path, category):
    path = file(tmp_path, {**ROW, "ground_truth": TRUTH}, name=f"BFCL_v4_{category}.json")
    for act in (preview, lambda path: import_dataset(tmp_path, path, "b")):
        with pytest.raises(InputError, match=f"{category}.*one of: simple, simple_python"):
            act(path)
    assert list((tmp_path / "datasets").glob("*")) == []


@pytest.mark.parametrize(
    ("category", "rows"), [("simple_python", 400), ("multiple", 200), ("parallel", 200)]
)
def test_what_is_learnt_of_public_rows_is_right_by_bfcls_own_measure(
    public_data, tmp_path, category, rows
):
    path = public_data / "bfcl" / f"BFCL_v4_{category}.json"
    report = import_dataset(tmp_path, path, "learnt")
    assert (report.version.rows, report.refused, report.counts["with_tools"]) == (rows, 0, rows)
    samples = read_samples(import_task("bfcl", path, "task", tmp_path).dataset)
    judge, wrong = tool_calls(), []
    for example, sample in zip(read_examples(report.version.path), samples, strict=True):
        assert (example.id, example.tools) == (sample.id, sample.tools)
        score = judge(sample, Answer("", example.messages[-1].tool_calls))
        wrong += [sample.id] * (set(score.values.values()) != {1.0})
    assert wrong == []
