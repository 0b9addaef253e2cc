import json

import pytest

from core.errors import InputError, NotFoundError
from core.messages import GenerationParams, GenerationRequest, ToolCall
from evals.arena.items import find_item, item_tasks, random_item, verdicts
from evals.grading import GradingFailure
from tests.fakes import generation_of

SUMS = """
description: Sums.
system: Answer with a number.
scorer: gsm8k
metrics: [gsm8k]
params: {max_tokens: 4, stop: ["."]}
"""
JUDGED = """
description: Judged.
scorer: judge
arguments: {rubric: persona, model: lead}
metrics: [score]
"""
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALL = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
ROWS = [
    {"id": "one", "input": "1 + 1?", "target": "2"},
    {
        "id": "after",
        "input": [
            {"role": "user", "content": "Who comes?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "2", "tool_call_id": "1"},
        ],
        "tools": [TOOL],
        "target": "2",
    },
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("items")
    (folder / "tasks").mkdir()
    for name, text in {"sums": SUMS, "judged": JUDGED}.items():
        (folder / "tasks" / f"{name}.yaml").write_text(text, encoding="utf-8")
        rows = "".join(json.dumps(row) + "\n" for row in ROWS)
        (folder / "tasks" / f"{name}.jsonl").write_text(rows, encoding="utf-8")
    return folder


def said(text, calls=()):
    request = GenerationRequest("lead", (), GenerationParams(), "test")
    return generation_of(request, text, calls)


def test_an_item_is_what_a_run_would_ask(home):
    item = find_item(home, "sums", "one")
    assert [(m.role, m.text) for m in item.messages] == [
        ("system", "Answer with a number."),
        ("user", "1 + 1?"),
    ]
    assert (item.system, item.given, item.question) == ("Answer with a number.", (), "1 + 1?")
    assert (item.params.max_tokens, item.params.stop, item.metrics) == (4, (".",), ("gsm8k",))


def test_an_item_that_ends_with_a_tool_has_no_question_but_all_that_was_said(home):
    item = find_item(home, "sums", "after")
    assert item.question == ""
    assert [m.role for m in item.given] == ["user", "assistant", "tool"]
    assert [tool.name for tool in item.tools] == ["look"]


def test_a_random_item_is_one_of_the_task(home):
    assert {random_item(home, "sums").id for _ in range(40)} == {"one", "after"}
    assert "sums" in item_tasks(home)
    assert "desk_tools" in item_tasks(home)


@pytest.mark.parametrize(
    ("task", "item", "error"),
    [
        ("nowhere", "one", NotFoundError),
        ("sums", "two", NotFoundError),
        ("../sums", "one", InputError),
        ("sums\x00", "one", InputError),
    ],
)
def test_what_is_not_there_is_refused(home, task, item, error):
    with pytest.raises(error):
        find_item(home, task, item)


def test_the_scorer_marks_each_answer_and_leaves_out_who_gave_none(home):
    right, none, wrong = verdicts(home, "sums", "one", [said("It is 2"), None, said("3")])
    assert (right.values, wrong.values) == ({"gsm8k": 1.0}, {"gsm8k": 0.0})
    assert none is None


def test_a_judged_task_has_no_verdict_without_a_run(home):
    found, none = verdicts(home, "judged", "one", [said("x"), None])
    assert isinstance(found, GradingFailure)
    assert "start a run" in found.text
    assert none is None


def test_calls_apart_from_the_text_are_judged(home, tmp_path):
    item = random_item(home, "desk_tools")
    calls = [ToolCall("1", "no_such_tool", "{}")]
    (score,) = verdicts(home, "desk_tools", item.id, [said("", calls)])
    assert score.values["tool_call_strict"] == 0.0
