"""Every module of `evals/metrics` loads offline by its path and marks as our scorers do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import InputError, ScoringError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

ROOT = Path(__file__).resolve().parents[2]
METRICS = ROOT / "evals" / "metrics"

TOOL = {
    "type": "function",
    "function": {
        "name": "seat",
        "description": "Seats a guest",
        "parameters": {
            "type": "object",
            "properties": {"guest": {"type": "string"}, "table": {"type": "integer"}},
            "required": ["guest"],
        },
    },
}
CALLS = {
    "target": {"calls": [{"seat": {"guest": ["Ada"], "table": [3, ""]}}]},
    "tools": [TOOL],
    "details": {
        "category": "simple_python",
        "functions": [
            {
                "name": "seat",
                "description": "Seats a guest",
                "parameters": {
                    "type": "dict",
                    "properties": {"guest": {"type": "string"}, "table": {"type": "integer"}},
                    "required": ["guest"],
                },
            }
        ],
    },
}
COMMAS = {
    "target": None,
    "details": {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
}
ROUTE = {"target": "lex", "details": {"labels": ["lex", "arr", "oos"], "out_of_scope": "oos"}}
NO_ROUTE = {"target": "oos", "details": ROUTE["details"]}
CITED = {"target": "at eight", "details": {"documents": {"menu": "Soup is served at eight."}}}
GOOD_CITATION = {
    "answer": "at eight",
    "citations": [{"document": "menu", "quote": "served at eight"}],
}

CASES = {
    "json_valid": (["null", "```\n1\n```", "{"], None, (1 / 3, 2 / 3)),
    "schema_valid": (["1", '"x"'], ['{"type": "integer"}'] * 2, (1 / 2, 1.0)),
    "exact_match": (["Ada", "ada"], ["Ada", "Ada"], (1 / 2,)),
    "field_f1": (
        ['{"a": 1, "b": 2}', '{"a": 9, "c": 3}'],
        ['{"a": 1, "b": 2}', '{"a": 1}'],
        (4 / 7, 2 / 4, 2 / 3, 1 / 2),
    ),
    "bfcl_ast": (['[seat(guest="Ada")]', '[seat(guest="Rui")]'], [json.dumps(CALLS)] * 2, (1 / 2,)),
    "tool_call_strict": (
        ['[{"name": "seat", "arguments": {"guest": "Ada"}}]', "I seat her."],
        [json.dumps(CALLS)] * 2,
        (1 / 2,),
    ),
    "ifeval_prompt_strict": (["No commas", "One, two"], [json.dumps(COMMAS)] * 2, (1 / 2, 1 / 2)),
    "ifeval_prompt_loose": (
        ["Sure, here it is:\nno commas", "One, two"],
        [json.dumps(COMMAS)] * 2,
        (1 / 2, 1 / 2),
    ),
    "gsm8k": (["#### 1,200", "It is 12."], ["1200", "13"], (1 / 2,)),
    "meta_language_rate": (["I'll first analyze the list.", "Ada sits here."], None, (1 / 2,)),
    "routing_accuracy": (
        ["lex", "oos", '{"route": "oos"}', "lex"],
        [json.dumps(row) for row in (ROUTE, ROUTE, NO_ROUTE, NO_ROUTE)],
        (1 / 2, 1 / 2, 1 / 2),
    ),
    "citation_valid": (
        [json.dumps(GOOD_CITATION), 'At eight "at nine" [menu]'],
        [json.dumps(CITED)] * 2,
        (1 / 2, 1.0, 1.0),
    ),
}
"""Predictions, references, and the metrics worked out by hand, in the module's order."""


def load(name: str):
    import evaluate

    return evaluate.load(str(METRICS / name))


def test_every_module_has_a_case():
    assert sorted(path.name for path in METRICS.iterdir() if path.name != "__pycache__") == sorted(
        CASES
    )


@pytest.mark.parametrize("name", CASES)
def test_a_module_loads_offline_and_marks(name):
    predictions, references, expected = CASES[name]
    metric = load(name)
    given = {"predictions": predictions} | ({"references": references} if references else {})
    found = metric.compute(**given)
    assert found.pop("n") == len(predictions)
    assert list(found)[0] == name
    assert tuple(found.values()) == pytest.approx(expected)
    assert metric.description
    assert metric.inputs_description.startswith("Predictions are texts.")


def test_answers_may_come_in_batches():
    metric = load("exact_match")
    metric.add_batch(predictions=["a", "b"], references=["a", "x"])
    metric.add(prediction="c", reference="c")
    assert metric.compute() == {"exact_match": pytest.approx(2 / 3), "n": 3}


def test_the_relative_path_of_the_readme_works(monkeypatch):
    import evaluate

    monkeypatch.chdir(ROOT)
    metric = evaluate.load("evals/metrics/json_valid")
    assert metric.compute(predictions=["1"])["json_valid"] == 1.0


SCRIPT = """
import os, sys
import evaluate
assert "PROJECT" not in sys.path
one = evaluate.load("evals/metrics/json_valid")
os.chdir("/")
other = evaluate.load("PROJECT/evals/metrics/exact_match/exact_match.py")
print(one.compute(predictions=["1"]), other.compute(predictions=["a"], references=["a"]))
"""


def test_a_script_outside_the_project_loads_them_by_their_path(tmp_path):
    script = tmp_path / "check.py"
    script.write_text(SCRIPT.replace("PROJECT", str(ROOT)))
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf")}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, str(script)]
    found = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert found.returncode == 0, found.stderr
    assert (
        found.stdout
        == "{'json_valid': 1.0, 'json_valid_fenced': 1.0, 'n': 1} {'exact_match': 1.0, 'n': 1}\n"
    )


def test_hostile_answers_are_marked_and_nothing_hangs():
    texts = ["[" * 1_000_000, "\x00", "\ud800", "9" * 5_000, "<script>", '{"a": NaN}', ""]
    assert load("json_valid").compute(predictions=texts)["json_valid"] == 0.0


def test_an_answer_that_can_not_be_graded_gives_no_figure():
    with pytest.raises(ScoringError, match="1 answers could not be graded: number 1: .*strnig"):
        load("schema_valid").compute(
            predictions=["1", "1"], references=['{"type": "integer"}', '{"type": "strnig"}']
        )


@pytest.mark.parametrize(
    ("reference", "part"),
    [("{", "is no JSON"), ("[" * 100_000, "is no JSON"), ("[]", "is no JSON object")],
)
def test_a_reference_of_another_shape_is_refused(reference, part):
    with pytest.raises(InputError, match=part):
        load("routing_accuracy").compute(predictions=["a"], references=[reference])


@pytest.mark.parametrize(
    ("name", "given", "part"),
    [
        (
            "exact_match",
            {"predictions": ["a"]},
            "needs references: ",
        ),
        ("exact_match", {"predictions": [None], "references": ["a"]}, "prediction number 0 must"),
        ("exact_match", {"predictions": ["a"], "references": [["a"]]}, "reference number 0 must"),
        (
            "bfcl_ast",
            {"predictions": ["seat()"], "references": ['{"target": {"calls": []}}']},
            "no reference has what 'bfcl_ast' judges by",
        ),
    ],
)
def test_what_gives_no_figure_is_an_error_that_says_why(name, given, part):
    with pytest.raises(InputError, match=part):
        load(name).compute(**given)
