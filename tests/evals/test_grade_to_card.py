"""From a file of routing answers to all figures of routing, and into a model's card."""

import json
import sys

import pytest
import yaml

from evals.__main__ import main
from evals.importers import import_dataset

SPOKEN = {"val": [["book a flight", "fly"], ["fly me", "fly"], ["tea, please", "drink"]]}
UNSPOKEN = {"oos_val": [["who was Bach", "oos"], ["why", "oos"]]}
SAID = {
    "val-1": {"route": "fly", "confidence": 0.95},
    "val-2": {"route": "drink", "confidence": 0.95},
    "val-3": {"route": "drink"},
    "oos_val-1": {"route": "oos", "confidence": 0.15},
    "oos_val-2": {"route": "fly"},
}


@pytest.fixture
def evals(monkeypatch, capfd):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["evals", *map(str, arguments)])
        capfd.readouterr()
        return main(), capfd.readouterr().out

    return run


@pytest.fixture
def summary(evals, tmp_path):
    """Return the summary of those answers, as `evals grade` prints it."""
    (tmp_path / "clinc.json").write_text(json.dumps({**SPOKEN, **UNSPOKEN}))
    import_dataset("clinc150", tmp_path / "clinc.json", "clinc", tmp_path)
    rows = [json.dumps({"id": name, "completion": json.dumps(a)}) for name, a in SAID.items()]
    (tmp_path / "said.jsonl").write_text("\n".join(rows))
    code, out = evals(
        "grade", "--task", "clinc", "--predictions", tmp_path / "said.jsonl", "--json"
    )
    assert code == 0
    return json.loads(out)


def test_grading_an_imported_routing_task_shows_every_figure_of_routing(summary):
    values = {name: found["value"] for name, found in summary["metrics"].items()}
    assert values["routing_accuracy"] == pytest.approx(3 / 5)
    assert values["out_of_scope_recall"] == 1 / 2
    assert values["expected_calibration_error"] == pytest.approx(2 / 3 * 0.45 + 1 / 3 * 0.85)
    report = summary["routing"]
    assert report["confusion"] == {
        "drink": {"drink": 1},
        "fly": {"drink": 1, "fly": 1},
        "oos": {"fly": 1, "oos": 1},
    }
    assert report["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert report["out_of_scope"]["recall"] == 1 / 2


def test_a_run_goes_into_a_card_that_is_shown_or_written(summary, evals, tmp_path, monkeypatch):
    run, folder = summary["run"], tmp_path / "model"
    code, shown = evals("card", run)
    assert code == 0
    folder.mkdir()
    assert evals("card", run, "--write", folder, "--json") == (
        0,
        json.dumps({"run": run, "written": str(folder / "README.md")}) + "\n",
    )
    header = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    assert header == yaml.safe_load(shown)
    (result,) = header["model-index"][0]["results"]
    assert result["metrics"][0]["type"] == "routing_accuracy"
    assert evals("card", run, "--write", tmp_path / "none")[0] == 2
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert evals("card", run, "--push", "org/model")[0] == 2
    assert evals("card", "nonesuch")[0] == 2
