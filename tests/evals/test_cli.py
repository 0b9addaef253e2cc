"""`python -m evals` as a program: what it prints where, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest

from core.settings import PROJECT
from evals.__main__ import main
from tests.evals.run_parts import TASK, endpoint, perfect, serving, table, write_task

ITEMS = 30


@dataclass
class Done:
    """A finished program."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def evals(tmp_path, monkeypatch, capfd):
    """Return what runs the program here, without waiting for its imports again."""
    write_task(tmp_path, ITEMS)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["evals", *map(str, arguments)])
        capfd.readouterr()
        try:
            code = main()
        except SystemExit as end:
            code = end.code
        return Done(code, *capfd.readouterr())

    return run


def one_object(done: Done) -> dict:
    """Return the one JSON object on stdout."""
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


@pytest.fixture
def predictions(tmp_path):
    """Return what writes a file of answers, the right ones unless told otherwise."""

    def write(name: str = "answers.jsonl", items: int = ITEMS, **rows: object):
        path = tmp_path / name
        values = {f"q{n}": {"completion": f"Table {table(n)}."} for n in range(items)}
        lines = [{"id": key, **value} for key, value in {**values, **rows}.items()]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


def grade(evals, path, *more: str) -> Done:
    return evals("grade", "--task", TASK, "--predictions", path, "--json", *more)


def test_tasks_are_listed_with_their_sizes(evals):
    done = evals("tasks", "--json")
    assert done.returncode == 0
    found = {task["task"]: task for task in one_object(done)["tasks"]}
    assert found[TASK]["items"] == ITEMS
    assert found[TASK]["groups"] == ITEMS / 2
    assert found[TASK]["primary"] == "gsm8k"
    floor = found[TASK]["floor"]
    line = next(x for x in evals("tasks").stdout.splitlines() if x.startswith(TASK))
    assert ("floor unknown" if floor is None else f"floor {floor:.3f}") in line


def test_a_task_that_is_broken_is_named_beside_the_others(evals, tmp_path):
    (tmp_path / "tasks" / "broken.yaml").write_text("scorer: [")
    done = evals("tasks", "--json")
    assert done.returncode == 0
    assert [task["task"] for task in one_object(done)["damaged"]] == ["broken"]


def test_a_run_prints_one_object_and_its_progress_elsewhere(evals):
    done = evals("run", "--model", "understudy", "--task", TASK, "--limit", 5, "--json")
    assert done.returncode == 0
    summary = one_object(done)
    assert {"run", "task", "model", "n", "missing", "status", "metrics", "failures"} <= set(summary)
    assert (summary["n"], summary["status"]) == (5, "completed")
    assert done.stderr.splitlines()[0] == summary["run"]
    shown = evals("leaderboard", "--json")
    assert one_object(shown)["tasks"][0]["models"][0]["run"] == summary["run"]
    for_people = evals("grade", "--run", summary["run"])
    assert for_people.returncode == 0
    assert "gsm8k" in for_people.stdout
    assert f"run {summary['run']}" in for_people.stdout


def test_several_tasks_are_a_list_of_runs(evals, tmp_path):
    write_task(tmp_path, 4, name="others")
    done = evals("run", "--model", "understudy", "--task", TASK, "--task", "others", "--json")
    assert done.returncode == 0
    assert [run["task"] for run in one_object(done)["runs"]] == [TASK, "others"]


def test_a_run_that_is_not_valid_ends_with_40_and_says_how_to_go_on(evals, write_catalog):
    write_catalog(models={"far": endpoint("http://127.0.0.1:9/v1")})
    done = evals("run", "--model", "far", "--task", TASK, "--json")
    assert done.returncode == 40
    summary = one_object(done)
    assert summary["status"] == "invalid"
    last = done.stderr.splitlines()[-1]
    assert f"run {summary['run']} is invalid: 30 of 30 answers are missing" in last
    assert "out of reach" in last
    assert last.endswith(f"go on with --resume {summary['run']}")


def test_resume_takes_the_runs_own_settings_and_refuses_others(evals):
    run = one_object(evals("run", "--model", "understudy", "--task", TASK, "--limit", 5, "--json"))[
        "run"
    ]
    same = ("--model", "understudy", "--task", TASK, "--limit", 5)
    assert evals("run", *same, "--resume", run, "--json").returncode == 0
    for more in (("--model", "lead"), ("--limit", 6), ("--seed", 3), ("--deterministic",)):
        done = evals("run", "--resume", run, *more, "--json")
        assert done.returncode == 2
        assert f"has another {more[0].removeprefix('--')}" in done.stderr


def test_a_ctrl_c_leaves_a_run_that_is_stopped_and_can_be_resumed(evals, tmp_path, write_catalog):
    write_task(tmp_path, 600)
    with serving(perfect) as (url, _):
        write_catalog(models={"far": endpoint(url)})
        command = [sys.executable, "-m", "evals", "run", "--model", "far", "--task", TASK, "--json"]
        with subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**os.environ, "UNDERSTUDY_HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            run = process.stderr.readline().strip()
            rows = tmp_path / "evals" / run / "generations.jsonl"
            while process.poll() is None and not (rows.exists() and rows.stat().st_size > 10_000):
                pass
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 40, stderr
        summary = json.loads(stdout)
        assert (summary["status"], summary["run"]) == ("stopped", run)
        assert 0 < summary["missing"] < 600
        assert "not_asked" in summary["missing_by"]
        done = evals("run", "--resume", run, "--json")
    assert done.returncode == 0
    assert one_object(done)["metrics"]["gsm8k"]["value"] == 1.0


def test_predictions_are_graded_and_twice_the_same_bytes(evals, predictions, tmp_path):
    path = predictions()
    done = grade(evals, path)
    assert done.returncode == 0
    summary = one_object(done)
    assert (summary["n"], summary["missing"], summary["status"]) == (ITEMS, 0, "completed")
    assert summary["metrics"]["gsm8k"]["value"] == 1.0
    files = tmp_path / "evals" / summary["run"]
    before = {name: (files / name).read_bytes() for name in ("grades.jsonl", "summary.json")}
    assert grade(evals, path).stdout == done.stdout
    assert {name: (files / name).read_bytes() for name in before} == before


def test_predictions_that_are_missing_are_no_wrong_answers(evals, predictions):
    done = grade(evals, predictions(items=20, q3={"completion": None}))
    assert done.returncode == 40
    summary = one_object(done)
    assert (summary["n"], summary["missing"], summary["status"]) == (ITEMS, 11, "invalid")
    assert summary["metrics"]["gsm8k"]["value"] == 1.0
    assert summary["bounds"]["gsm8k"] == [pytest.approx(19 / 30), 1.0]
    assert summary["missing_by"] == {"error": 1, "not_asked": 10}
    assert "--resume" not in done.stderr


HOSTILE = {
    "brackets": {"completion": "[" * 1_000_000},
    "null byte": {"completion": "table \x00 7"},
    "half a pair": {"completion": "table \ud800 7"},
    "long number": {"completion": "table " + "9" * 5000},
    "markup": {"completion": "<script>alert(1)</script>"},
    "code": {"completion": "__import__('os').system('false')"},
    "calls": {"tool_calls": [{"name": "x" * 10_000, "arguments": {"a": [[[[1]]]]}}]},
    "text arguments": {"tool_calls": [{"name": "seat", "arguments": "{not json"}]},
}


def test_hostile_answers_are_wrong_and_harm_nobody(evals, predictions):
    rows = {f"q{number}": answer for number, answer in enumerate(HOSTILE.values())}
    done = grade(evals, predictions(**rows))
    assert done.returncode == 0, done.stderr
    summary = one_object(done)
    assert (summary["missing"], summary["ungraded"]) == (0, [])
    assert summary["metrics"]["gsm8k"]["value"] >= (ITEMS - len(HOSTILE)) / ITEMS


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{", "line 1: not JSON"),
        ("[" * 100_000, "line 1: not JSON: it nests too deeply"),
        ("[]", "line 1: a row must be an object"),
        ('{"completion": "7"}', "line 1: 'id' must be a text"),
        ('{"id": "q1"}', "needs 'completion' or 'tool_calls'"),
        ('{"id": "q1", "completion": 7}', "'completion' must be a text"),
        ('{"id": "q1", "tool_calls": [7]}', "a tool call must be an object"),
        ('{"id": "q1", "tool_calls": {}}', "'tool_calls' must be a list"),
        ('{"id": "elsewhere", "completion": "7"}', "1 ids are not the task's"),
        ('{"id": "q1", "completion": "7"}\n{"id": "q1", "completion": "8"}', "stands on line 1"),
        ("", "holds no answers"),
        ('{"id": "q1", "completion": "caf\udce9"}', "line 1: not UTF-8: byte 32"),
    ],
)
def test_a_file_that_holds_no_answers_is_refused_with_its_line(evals, tmp_path, line, text):
    path = tmp_path / "answers.jsonl"
    path.write_text(f"{line}\n", errors="surrogateescape")
    done = grade(evals, path)
    assert done.returncode == 2
    assert text in one_object(done)["error"]["message"]


def test_thirteen_hundred_predictions_are_graded_in_seconds(evals, predictions, tmp_path):
    write_task(tmp_path, 1319)
    done = grade(evals, predictions(items=1319))
    assert done.returncode == 0
    assert one_object(done)["metrics"]["gsm8k"]["n"] == 1319


def test_two_runs_are_compared_and_two_files_too(evals, predictions, tmp_path):
    good = one_object(grade(evals, predictions()))["run"]
    worse = {f"q{n}": {"completion": "no idea"} for n in range(0, 20, 2)}
    bad = one_object(grade(evals, predictions("worse.jsonl", **worse)))["run"]
    found = one_object(evals("compare", good, bad, "--json"))
    assert {"a", "b", "metric", "n", "difference", "p_value", "method", "mde", "flipped"} <= set(
        found
    )
    assert found["flipped"] == {"fixed": 0, "broken": 10}
    assert found["difference"]["value"] == pytest.approx(-1 / 3)
    assert "10 broken" in evals("compare", good, bad).stdout
    files = [tmp_path / f"{side}.jsonl" for side in "ab"]
    for path, score in zip(files, (0, 1), strict=True):
        path.write_text("".join(f'{{"id": "i{n}", "score": {score}}}\n' for n in range(20)))
    assert one_object(evals("compare", *files, "--json"))["difference"]["value"] == 1.0
    assert evals("compare", good, files[0], "--json").returncode == 2
    files[1].write_text('{"id": 1, "score": true}\n{"id": 2, "score": false}\n')
    assert evals("compare", *files, "--json").returncode == 40  # As runs of different items.


def test_a_comparison_with_an_invalid_run_ends_with_40(evals, predictions):
    good = one_object(grade(evals, predictions()))["run"]
    part = one_object(grade(evals, predictions("part.jsonl", items=20)))["run"]
    done = evals("compare", good, part, "--json")
    assert done.returncode == 40
    message = one_object(done)["error"]["message"]
    assert "invalid" in message
    assert "all of its answers" in message  # There is nothing to resume.


def test_battles_are_rated(evals, tmp_path):
    battles = [
        {"prompt_id": f"p{n}", "model_a": "x", "model_b": "y", "outcome": "model_a" if n else "tie"}
        for n in range(40)
    ]
    path = tmp_path / "battles.jsonl"
    path.write_text("".join(json.dumps(battle) + "\n" for battle in battles))
    found = one_object(evals("ratings", "--battles", path, "--json"))
    assert [model["id"] for model in found["models"]] == ["x", "y"]
    assert found["outcomes"] == {"model_a": 39, "model_b": 0, "tie": 1, "both_bad": 0}
    assert "1 x" in evals("ratings", "--battles", path).stdout


def test_a_dataset_is_imported_and_then_a_task(evals, tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"What is {n} + 1?", "completion": str(n + 1)} for n in range(5)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = evals("import", "prompt_completion", path, "--name", "sums", "--json")
    assert done.returncode == 0, done.stderr
    assert one_object(done)["read"] == 5
    assert "sums" in evals("tasks").stdout
    wrong = evals("import", "nope", path, "--name", "sums", "--json")
    assert wrong.returncode == 2
    assert "prompt_completion" in one_object(wrong)["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("run", "--task", TASK), "name --model and --task"),
        (("run", "--model", "understudy"), "name --model and --task"),
        (("run", "--model", "understudy", "--task", "nope"), "no task named 'nope'"),
        (("run", "--model", "nope", "--task", TASK), "no model named 'nope'"),
        (("run", "--model", "understudy", "--task", TASK, "--task", TASK), "twice"),
        (("run", "--resume", "nope"), "no run named 'nope'"),
        (("run", "--resume", "../.."), "no run named '../..'"),
        (("run", "--model", "lead", "--task", TASK, "--concurrency", "0"), "at least 1"),
        (
            ("run", "--model", "lead", "--task", TASK, "--samples", "4", "--temperature", "0"),
            "give a temperature",
        ),
        (("grade", "--task", TASK), "name what to grade"),
        (("grade", "--task", TASK, "--predictions", "nope"), "no file 'nope'"),
        (("compare", "nope", "nope2"), "no run named 'nope'"),
        (("compare", __file__, "no.jsonl"), "no run named 'no.jsonl'"),
        (("compare", __file__, "x" * 5_000), "nor is there such a file"),
        (("ratings", "--battles", "nope"), "no file 'nope'"),
        (("ratings", "--battles", "."), "is a folder"),
    ],
)
def test_wrong_usage_is_2_an_error_object_and_one_line(evals, arguments, text):
    done = evals(*arguments, "--json")
    assert done.returncode == 2
    message = one_object(done)["error"]["message"]
    assert text in message
    assert done.stderr == f"understudy: {message}\n"


@pytest.mark.parametrize("arguments", [(), ("nope",), ("run", "--limit", "many"), ("battles",)])
def test_arguments_that_can_not_be_read_are_2_with_a_hint(evals, arguments):
    done = evals(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: python -m evals" in done.stderr


def test_a_model_that_needs_a_key_is_70_and_says_which(evals):
    done = evals("run", "--model", "groq-llama-3.3-70b", "--task", TASK, "--json")
    assert done.returncode == 70
    assert "GROQ_API_KEY" in one_object(done)["error"]["message"]
