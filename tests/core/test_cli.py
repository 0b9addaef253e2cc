"""`python -m core` as a program: what it prints where, and how it ends."""

import json
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.__main__ import main
from tests.tiny_models import CONTEXT

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Done:
    """A finished program."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def home(write_catalog, tiny_folder) -> None:
    """Make a tiny model the default."""
    entry = {
        "provider": "local",
        "path": str(tiny_folder),
        "context": CONTEXT,
        "description": "Tiny",
    }
    write_catalog(models={"tiny": entry}, default_model="tiny")


@pytest.fixture
def core(home, monkeypatch, capfd):
    """Return what runs the program here, without waiting for its imports again."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["core", *arguments])
        capfd.readouterr()
        try:
            code = main()
        except SystemExit as end:
            code = end.code
        return Done(code, *capfd.readouterr())

    return run


@pytest.fixture
def program(home):
    """Return what runs the program in a process of its own."""

    def run(*arguments: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "core", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


def one_object(done: Done) -> dict:
    """Return the one JSON object on stdout."""
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


def test_models_says_what_is_in_force_and_from_where(core, tmp_path):
    done = core("models", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = one_object(done)
    assert found["default_model"] == "tiny"
    tiny, groq = found["models"]["tiny"], found["models"]["groq-llama-3.3-70b"]
    assert (tiny["status"], tiny["is_ready"], tiny["description"]) == ("ready", True, "Tiny")
    assert tiny["values"]["context"] == {"value": CONTEXT, "from": str(tmp_path / "catalog.yaml")}
    assert (groq["status"], groq["is_ready"]) == ("needs GROQ_API_KEY", False)
    assert groq["values"]["base_url"]["from"].endswith("assets/catalog.yaml")


def test_an_answer_is_one_object_and_progress_goes_to_stderr_and_is_traced(program, core):
    done = program("chat", "--json", "tiny", "Good evening", "--max-tokens", "4")
    assert done.returncode == 0
    answer = one_object(done)
    assert done.stderr == "loading ...\n"
    assert set(answer) >= {
        "text",
        "tool_calls",
        "model",
        "adapter",
        "usage",
        "timings",
        "cost_usd",
        "cache",
        "route",
        "attempts",
        "finish_reason",
        "trace_id",
    }
    assert answer["model"]["id"] == "tiny"
    assert answer["model"]["digest"].startswith("sha256:")
    assert answer["usage"]["output_tokens"] == 4
    assert answer["cost_usd"] is None
    assert {"first_token_s", "total_s", "tokens_per_s"} <= set(answer["timings"])

    listed = one_object(core("traces", "list", "--json"))["traces"]
    assert [trace["id"] for trace in listed] == [answer["trace_id"]]
    shown = one_object(core("traces", "show", answer["trace_id"], "--json"))
    assert shown["spans"][0]["input"] == [{"role": "user", "text": "Good evening"}]
    assert shown["spans"][0]["output"] == answer["text"]


def test_for_people_the_answer_is_on_stdout_and_the_figures_are_not(core):
    done = core("chat", "tiny", "Good evening", "--max-tokens", "4")
    assert done.returncode == 0
    assert done.stdout.endswith("\n")
    lines = done.stderr.splitlines()
    assert lines[0] == "loading ..."
    assert lines[-1].startswith("[tiny, ")
    assert lines[-1].endswith("cost unknown, cache miss]")
    assert len(lines) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nope",),
        ("chat", "tiny"),
        ("chat", "tiny", "Hi", "--max-tokens", "many"),
        ("traces", "burn"),
    ],
)
def test_wrong_usage_is_2_with_a_hint(core, arguments):
    done = core(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: python -m core" in done.stderr


def test_the_exit_code_is_that_of_the_process(program):
    done = program("chat", "nope", "Hi", "--json")
    assert done.returncode == 2
    assert one_object(done)["error"]["code"] == "MODEL_NOT_ALLOWED"
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("chat", "nope", "Hi"), "MODEL_NOT_ALLOWED"),
        (("chat", "tiny@v1", "Hi"), "MODEL_NOT_ALLOWED"),
        (("chat", "tiny", "Hi", "--temperature", "9"), "INVALID_REQUEST"),
        (("chat", "tiny", "Hi", "--tools", "no-such-file"), "INVALID_REQUEST"),
        (("traces", "show", "0" * 32), "NOT_FOUND"),
    ],
)
def test_a_request_that_is_impossible_is_2_and_an_error_object(core, arguments, code):
    done = core(*arguments, "--json")
    assert done.returncode == 2
    error = one_object(done)["error"]
    assert error["code"] == code
    assert done.stderr == f"understudy: {error['message']}\n"


def test_a_catalog_that_is_wrong_is_named(core, tmp_path):
    (tmp_path / "catalog.yaml").write_text("modles: {}\n")
    done = core("models")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "understudy: catalog: modles: unknown key; did you mean 'models'?\n"


def test_a_model_that_needs_a_key_says_which(core):
    done = core("chat", "groq-llama-3.3-70b", "Hi", "--json")
    assert done.returncode == 70
    assert one_object(done)["error"]["code"] == "UNAVAILABLE"
    assert done.stderr == "understudy: 'groq-llama-3.3-70b' needs GROQ_API_KEY\n"


def test_a_newer_database_is_refused_in_one_line(core, tmp_path):
    assert core("migrate").returncode == 0
    with sqlite3.connect(tmp_path / "understudy.db") as database:
        newest = "version = (SELECT max(version) FROM schema_version)"
        database.execute(f"UPDATE schema_version SET version = 999 WHERE {newest}")
    database.close()
    done = core("traces", "list", "--json")
    assert done.returncode == 70
    assert one_object(done)["error"]["code"] == "STORAGE_FAILED"
    assert done.stderr.count("\n") == 1
