"""The way from a file to a split version, as the command line goes it."""

import argparse
import json
from pathlib import Path

import pytest

from core.errors import InputError, ModelNotAllowedError, NotFoundError
from tests.training.datasets import planted
from training.data_command import (
    data_audit,
    data_curate,
    data_diff,
    data_import,
    data_list,
    data_preview,
    data_split,
)
from training.data_line import add_data_arguments, data_line

SMALL = 40
FIXED = (
    *("rows", "refused", "zero_supervision", "truncated", "duplicates", "near_duplicates"),
    *("contradictions", "leaked", "pii", "meta_language", "tokens"),
)


@pytest.fixture
def given(tmp_path):
    return planted.write_planted(tmp_path, 5)


def test_from_a_file_to_a_clean_split_version(settings, tmp_path, given):
    rows, items = given
    assert len(data_preview(rows)["rows"]) == 5
    imported = data_import(settings, rows, "desk")
    assert (imported["dataset"], imported["read"]) == ("desk@v1", planted.ROWS)
    audited = data_audit(settings, "desk", "understudy", planted.MAX_LENGTH, items)
    assert set(FIXED) <= set(audited)
    assert {key: audited[key] for key in planted.PLANTED} == planted.PLANTED
    assert set(audited["tokens"]) >= {"p50", "p95", "max"}
    folder = Path(audited["audit"])
    assert json.loads((folder / "report.json").read_text()) == audited
    assert "<h1>Audit of desk</h1>" in (folder / "page.html").read_text()

    decisions = tmp_path / "decisions.jsonl"
    queued = data_curate(settings, "desk@v1", folder)["queue"]
    decisions.write_text(
        "".join(
            json.dumps({"id": each["id"], "action": "drop", "reason": "I looked"}) + "\n"
            for each in queued
        )
    )
    curated = data_curate(settings, "desk@v1", folder, decisions)
    assert curated["queue"] == []
    assert curated["dropped"] == planted.ROWS - curated["rows"]
    assert curated["dropped"] == len(curated["diff"]["dropped"])
    assert curated["rewritten"] == curated["diff"]["changed"]
    again = data_audit(settings, curated["dataset"], "understudy", planted.MAX_LENGTH, items)
    assert {key: again[key] for key in planted.PLANTED} == dict.fromkeys(planted.PLANTED, 0)
    assert again["stops"] == []

    done = data_split(settings, curated["dataset"], 0.1, 3)
    assert done["train"] + done["eval"] == curated["rows"]
    assert [v["version"] for v in data_list(settings)["datasets"]] == ["v1", "v2", "v3"]
    assert data_diff(settings, "desk@v1", curated["dataset"]) == curated["diff"]


@pytest.fixture
def small(tmp_path, given):
    """A few rows of the file."""
    path = tmp_path / "small.jsonl"
    path.write_text("".join(given[0].read_text().splitlines(keepends=True)[:SMALL]))
    return path


def test_a_file_is_audited_without_becoming_a_version(settings, small):
    with small.open("a") as handle:
        handle.write("not json\n")
    audited = data_audit(settings, str(small), "understudy", planted.MAX_LENGTH)
    assert (audited["rows"], audited["refused"], audited["leaked"]) == (SMALL, 1, 0)
    assert list(audited["reasons"].values()) == [1]
    assert data_list(settings) == {"datasets": []}


def test_an_audit_tells_why_rows_of_its_version_were_refused(settings, small):
    with small.open("a") as handle:
        handle.write('{"messages": [{"role": "user", "content": "x"}], "id": "open"}\nnot json\n')
    data_import(settings, small, "desk")
    audited = data_audit(settings, "desk", "understudy", planted.MAX_LENGTH)
    assert (audited["rows"], audited["refused"]) == (SMALL + 1, 1)
    assert list(audited["reasons"].values()) == [1]
    assert [f["defect"] for f in audited["findings"] if f["id"] == "open"] == ["zero_supervision"]


def test_rows_of_another_format_are_refused_with_the_one_they_look_like(settings, small):
    with pytest.raises(InputError, match="read as bfcl.*the row looks like messages"):
        data_line(parsed("import", str(small), "--name", "x", "--format", "bfcl"), settings)


def parsed(*words):
    parser = argparse.ArgumentParser()
    add_data_arguments(parser)
    return parser.parse_args(words)


def test_an_audit_of_other_rows_can_not_curate(settings, small):
    data_import(settings, small, "desk")
    audited = data_audit(settings, str(small), "understudy", planted.MAX_LENGTH)
    folder = Path(audited["audit"])
    curated = data_curate(settings, "desk", folder)
    assert curated["parent"] == audited["digest"]
    with pytest.raises(InputError, match="audit the version first"):
        data_curate(settings, curated["dataset"], folder)
    with pytest.raises(NotFoundError, match="there is no audit"):
        data_curate(settings, "desk@v1", settings.home / "audits" / "none")


def test_rows_of_an_evaluation_can_be_handed_over(settings, small):
    asked = json.loads(small.read_text().splitlines()[0])["messages"][0]["content"]
    items = ({"id": str(number), "input": text} for number, text in enumerate(["x", asked]))
    audited = data_audit(settings, str(small), "understudy", planted.MAX_LENGTH, items)
    assert (audited["leaked"], audited["items"]) == (1, 2)


def test_the_model_is_a_catalogs_or_a_folder(settings, small, tiny_folder):
    assert data_audit(settings, str(small), str(tiny_folder), 64)["rows"] == SMALL
    with pytest.raises(ModelNotAllowedError):
        data_audit(settings, str(small), "no-such-model", 64)
