"""Importing the public files: every row is in the dataset or in the report, and can be right."""

import functools
import json

import pytest

from core.errors import ScoringError
from evals.dataset import read_samples
from evals.ideal import ideal_answer
from evals.importers import import_dataset
from evals.sample import Grade
from evals.schema_check import schema_errors
from evals.task_files import load_task, samples_of
from evals.task_scorer import scorer_of
from evals.totals import estimate_of

FILES = {
    "bfcl": ("bfcl", "bfcl", 1040, 0, 1040),
    "gsm8k_test": ("gsm8k", "gsm8k/test.jsonl", 600, 0, 600),
    "gsm8k_train": ("gsm8k", "gsm8k/train.jsonl", 500, 0, 500),
    "ifeval": ("ifeval", "ifeval/input_data.jsonl", 270, 0, 270),
    "clinc150": ("clinc150", "clinc150/data_train_val.json", 3100, 0, 151),
    "squad": ("squad", "xquad_en/xquad.en.part1.json", 632, 0, 24),
    "hermes": ("hermes", "hermes/hermes_test.jsonl", 28, 22, 28),
    "xlam_records": ("xlam", "xlam/structured/train.jsonl", 300, 0, 256),
    "xlam_calls": ("xlam", "xlam/toolcall/train.jsonl", 300, 0, 256),
    "records": ("prompt_completion", "xlam/structured/val.jsonl", 60, 0, 60),
}
"""Name to format, file, and how many rows are read, refused, and groups."""


@pytest.fixture(scope="module")
def imported(public_data, tmp_path_factory):
    """Return a function that imports one of `FILES`, once, and returns its report and task."""
    home = tmp_path_factory.mktemp("home")

    @functools.cache
    def load(name):
        format, file, *_ = FILES[name]
        report = import_dataset(format, public_data / file, name, home)
        return report, load_task(name, home)

    return load


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_read_or_refused(name, imported):
    _, _, read, refused, groups = FILES[name]
    report, task = imported(name)
    assert (report.read, report.refused, report.groups) == (read, refused, groups)
    samples = samples_of(task)
    assert len(samples) == read
    assert len({sample.group for sample in samples}) == groups


@pytest.mark.parametrize("name", [name for name in FILES if name != "ifeval"])
def test_the_target_as_its_own_answer_is_right(name, imported):
    _, task = imported(name)
    score = scorer_of(task)
    grades = [
        Grade(sample.id, sample.group, score(sample, ideal_answer(sample, task)))
        for sample in samples_of(task)
    ]
    for metric in task.metrics:
        estimate = estimate_of(metric, grades)
        if metric == "expected_calibration_error":
            assert estimate is None, "a target states no confidence"
            continue
        assert estimate is not None
        assert estimate.value == 1.0, metric


def test_the_instructions_of_ifeval_have_no_ideal_answer(imported):
    _, task = imported("ifeval")
    with pytest.raises(ScoringError, match="'ifeval' knows no ideal answer"):
        ideal_answer(samples_of(task)[0], task)


@pytest.mark.parametrize("name", FILES)
def test_trivial_answers_stay_below_a_quarter(name, imported):
    """BFCL's is the share of irrelevance; IFEval's is known to be high."""
    _, task = imported(name)
    assert 0.0 <= task.floor.value < 0.25


def test_why_rows_of_hermes_are_refused(imported):
    report, _ = imported("hermes")
    assert report.reasons["a call of the assistant has no name"] == 20
    assert report.examples[0].place == "line 1"
    assert json.loads(json.dumps(report.to_dict()))["refused"] == 22


def test_tools_of_bfcl_have_types_of_json_schema(imported):
    _, task = imported("bfcl")
    for sample in samples_of(task):
        for tool in sample.tools:
            assert "." not in tool.name
            assert tool.parameters["type"] == "object"
            schema_errors({}, tool.parameters)  # raises where it is no usable schema
            assert not {"dict", "float", "tuple", "any"} & types_of(tool.parameters)


def types_of(schema):
    found = {schema["type"]} if "type" in schema else set()
    parts = [*schema.get("properties", {}).values()]
    parts += [schema[key] for key in ("items", "additionalProperties") if key in schema]
    return found.union(*(types_of(part) for part in parts))


def test_one_file_of_bfcl_is_a_task_of_its_own(public_data, tmp_path):
    path = public_data / "bfcl" / "BFCL_v4_irrelevance.json"
    report = import_dataset("bfcl", path, "b", tmp_path)
    assert report.read == 240
    sample = next(read_samples(report.dataset))
    assert sample.target == {"calls": []}
    assert sample.details["category"] == "irrelevance"


def test_citations_of_squad_stand_in_the_paragraph(imported):
    _, task = imported("squad")
    for sample in samples_of(task):
        (text,) = sample.details["documents"].values()
        assert text in sample.messages[0].text
        assert all(answer in text for answer in sample.target)


def test_the_prompt_of_clinc150_lists_every_label(imported):
    _, task = imported("clinc150")
    samples = samples_of(task)
    labels = samples[0].details["labels"]
    assert len(labels) == 151
    assert all(label in task.system for label in labels)
    assert sum(sample.target == "oos" for sample in samples) == 100
