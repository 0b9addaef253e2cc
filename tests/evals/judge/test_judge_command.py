"""`judge` on runs that lie on disk, and a judge as a task's scorer."""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from core.errors import InputError
from evals.__main__ import main
from evals.bench import Bench
from evals.graders import grader_version, make_grader
from evals.judge.verdicts import VERDICTS_FILE
from evals.judge_command import add_judge_arguments, judge_command
from evals.predictions import predictions_run
from evals.ratings.battles import read_battles
from evals.run_files import last_rows, open_run
from evals.task_files import load_task, samples_of
from tests.evals.judge.conftest import SMALL, anchor_truth
from tests.evals.judge.judge_server import chance, honest

SCORES = [{"right": right, "kind": kind} for right in range(3) for kind in range(3)]
ROWS = 30


@dataclass
class Desk:
    """A home with a judged task and the answers of two models to it."""

    home: Path
    settings: object
    bench: Bench
    truth: dict
    runs: dict[str, str]
    court: object

    def judge(self, *arguments):
        parser = argparse.ArgumentParser()
        parser.add_argument("--json", action="store_true")
        add_judge_arguments(parser)
        given = ["--model", "judge", "--rubric", "small", "--json", *map(str, arguments)]
        return judge_command(parser.parse_args(given), self.settings)


def quality(model, number):
    place = chance(model, number) ** (0.5 if model == "better" else 2)
    return SCORES[int(place * len(SCORES))]


@pytest.fixture
def desk(open_court, small, settings, tmp_path):
    (tmp_path / "rubrics").mkdir()
    (tmp_path / "rubrics" / "small.yaml").write_text(yaml.safe_dump(SMALL))
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    rows = [{"id": str(n), "input": f"question {n}?", "target": None} for n in range(ROWS)]
    (tasks / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "description": "Chat.",
        "scorer": "judge",
        "arguments": {"rubric": "small", "model": "judge"},
        "metrics": ["judge", "judge_pass"],
        "system": "You are kind.",
    }
    (tasks / "chat.yaml").write_text(yaml.safe_dump(task))
    answers = {model: [f"{model} {n}" for n in range(ROWS)] for model in ("better", "worse")}
    truth = {
        text: quality(model, n) for model, texts in answers.items() for n, text in enumerate(texts)
    }
    court = open_court(small, honest({**anchor_truth(small), **truth}))
    bench = Bench(tmp_path, court.gateway)
    runs = {}
    for model, texts in answers.items():
        path = tmp_path / f"{model}.jsonl"
        lines = [{"id": str(n), "completion": text} for n, text in enumerate(texts)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        runs[model] = predictions_run(bench, "chat", path, model).run
    return Desk(tmp_path, settings, bench, truth, runs, court)


def mean_mark(desk, model):
    return sum(sum(quality(model, n).values()) / 4 for n in range(ROWS)) / ROWS


def test_a_run_is_marked_and_the_second_time_nothing_is_asked(desk, capfd):
    done = desk.judge("--run", desk.runs["better"])
    assert done.exit_code == 0
    assert done.result["metrics"]["judge"]["value"] == pytest.approx(mean_mark(desk, "better"))
    assert done.result["anchors"]["share"] == 1.0
    assert (done.result["n"], done.result["missing"]) == (ROWS, 0)
    assert done.result["corrected"] is None
    shown = {asked.blocks["CONVERSATION"] for asked in desk.court.server.asked}
    assert "system: You are kind.\n\nuser: question 0?" in shown
    calls = len(desk.court.server.asked)
    assert f"call {calls}: " in capfd.readouterr().err
    assert desk.judge("--run", desk.runs["better"]).result == done.result
    assert len(desk.court.server.asked) == calls
    assert (desk.home / "evals" / desk.runs["better"] / VERDICTS_FILE).is_file()


def test_labels_of_the_runs_answers_correct_its_rate(desk):
    path = desk.home / "labels.jsonl"
    good = [sum(quality("better", n).values()) / 4 >= 0.75 for n in range(ROWS)]
    rows = [{"id": str(n), "label": good[n]} for n in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = desk.judge("--run", desk.runs["better"], "--calibrate", path)
    corrected = done.result["corrected"]
    assert corrected["method"] == "ppi++"
    rate = corrected["judge_pass"]
    assert rate["low"] <= sum(good) / ROWS <= rate["high"]


def test_two_runs_become_battles(desk):
    out = desk.home / "battles.jsonl"
    done = desk.judge("--pairwise", desk.runs["better"], desk.runs["worse"], "--out", out)
    assert done.exit_code == 0
    assert (done.result["model_a"], done.result["model_b"]) == ("better", "worse")
    battles = read_battles(out)
    assert len(battles) == ROWS
    for battle in battles:
        n = int(battle.prompt_id)
        a, b = (sum(quality(model, n).values()) for model in ("better", "worse"))
        assert battle.outcome == ("model_a" if a > b else "model_b" if b > a else "tie")
    assert done.result["position_flips"]["value"] == 0.0


def test_calibration_by_the_command(desk):
    path = desk.home / "labelled.jsonl"
    rows = [
        {
            "id": text,
            "question": "why?",
            "answer": text,
            "label": sum(marks.values()) >= 3,
        }
        for text, marks in desk.truth.items()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = desk.judge("--calibrate", path)
    assert done.exit_code == 0
    assert done.result["kappa"]["value"] == 1.0


def test_a_judge_that_fails_its_anchors_gives_no_report_and_code_40(desk, monkeypatch, capfd):
    desk.court.server.opinion = lambda asked: "I like it"
    words = ["judge", "--model", "judge", "--rubric", "small", "--run", desk.runs["better"]]
    monkeypatch.setattr(sys, "argv", ["evals", *words, "--json"])
    assert main() == 40
    out, err = capfd.readouterr()
    assert list(json.loads(out)) == ["error"]
    assert "agrees with 0 of the 10 anchor marks" in json.loads(out)["error"]["message"]
    assert "agrees with 0 of the 10 anchor marks" in err


def test_too_many_missing_marks_are_invalid_with_code_40(desk):
    known = desk.court.server.opinion
    desk.court.server.opinion = lambda a: "hm" if a.answer == "better 3" else known(a)
    done = desk.judge("--run", desk.runs["better"])
    assert (done.exit_code, done.result["status"], done.result["missing"]) == (40, "invalid", 1)
    low, high = done.result["bounds"]["judge"]
    assert high - low == pytest.approx(1 / ROWS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name what to judge"),
        (("--run", "x", "--pairwise", "a", "b", "--out", "o"), "goes with neither"),
        (("--pairwise", "a", "b"), "need a file"),
        (("--run", "../x"), "no run named"),
    ],
)
def test_arguments_that_name_nothing_are_refused(desk, arguments, said):
    with pytest.raises(Exception, match=said):
        desk.judge(*arguments)


def test_a_run_does_not_battle_itself(desk):
    run = desk.runs["better"]
    with pytest.raises(InputError, match="of the same model"):
        desk.judge("--pairwise", run, run, "--out", desk.home / "b.jsonl")


def test_a_judge_is_a_tasks_scorer(desk):
    task = load_task("chat", desk.home)
    run = open_run(desk.home, desk.runs["better"])
    manifest = run.manifest()
    samples = {sample.id: sample for sample in samples_of(task)}
    grader = make_grader(desk.bench, task, samples, run)
    for row in last_rows(run.rows()).values():
        grader.add(row)
    graded = grader.finish(manifest)
    grader.close()
    assert [grade.id for grade in graded.grades] == list(manifest.items)
    marks = {grade.id: grade.score.values["judge"] for grade in graded.grades}
    assert marks == {str(n): sum(quality("better", n).values()) / 4 for n in range(ROWS)}
    assert graded.ungraded == {}
    version = grader_version(desk.bench, task, manifest)
    assert "judge:" in version
    assert manifest.grader_version == version


def test_a_task_whose_judge_is_the_candidate_is_not_run(desk):
    path = desk.home / "own.jsonl"
    path.write_text('{"id": "0", "completion": "mine"}\n')
    with pytest.raises(InputError, match="'judge' can't judge the answers of 'twin'"):
        predictions_run(desk.bench, "chat", path, "twin")
