"""What every command line does: one object on stdout, a reason on stderr, an exit code."""

import argparse
import json
import sys

import pytest

from core.command_line import Command, Done, run_command_line
from core.errors import InputError, StorageError
from core.settings import Settings


def work(args: argparse.Namespace, _: Settings) -> Done:
    """Do as the argument says."""
    if args.what == "wrong":
        raise InputError("seven is not a size; choose 1 to 6")
    if args.what == "full":
        raise StorageError("the disk is full")
    if args.what == "bug":
        return Done({}[args.what], "")
    if args.what == "ctrl-c":
        raise KeyboardInterrupt
    return Done({"what": args.what}, f"did {args.what}", 10)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what")


def run(*words: str) -> int:
    sys.argv[1:] = ["work", *words]
    return run_command_line("python -m tests", "Test.", {"work": Command(work, add_arguments)})


@pytest.fixture(autouse=True)
def _own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tests"])


@pytest.mark.parametrize(
    ("what", "exit_code", "code"),
    [
        ("wrong", 2, "INVALID_REQUEST"),
        ("full", 70, "STORAGE_FAILED"),
        ("bug", 70, "BUG"),
        ("ctrl-c", 130, "INTERRUPTED"),
    ],
)
def test_what_goes_wrong_is_told_to_programs_and_people(
    what: str, exit_code: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(what, "--json") == exit_code
    told = capsys.readouterr()
    assert json.loads(told.out)["error"]["code"] == code
    assert "understudy: " in told.err
    assert ("Traceback" in told.err) == (what == "bug")
    assert run(what) == exit_code
    assert capsys.readouterr().out == ""


def test_a_result_is_an_object_or_a_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ü", "--json") == 10
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"what": "ü"}
    assert run("this") == 10
    assert capsys.readouterr().out == "did this\n"
