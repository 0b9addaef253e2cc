"""What the command lines share: their words, what a word hands back, and the exit codes."""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import AppError
from core.settings import Settings

USAGE_ERROR, INVALID, CRASH = 2, 40, 70
INTERRUPTED = 130
"""As shells tell of a program that Ctrl-C has ended."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command found."""

    value: Any
    """One JSON object, for `--json`."""
    text: str
    """The same for people; empty: they have read it already."""
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """One word of a command line."""

    work: Callable[[argparse.Namespace, Settings], Done]
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda _: None


def exit_code_of(error: AppError) -> int:
    """Return 2 for what the caller can mend, and 70 for what he can't."""
    return USAGE_ERROR if error.status < 500 else CRASH


def run_command_line(
    prog: str,
    description: str | None,
    commands: Mapping[str, Command],
    exit_code: Callable[[AppError], int] = exit_code_of,
) -> int:
    """Carry out the command that this process was started with, and return its exit code.

    With `--json` the one line on stdout is an object, also of an error: `{"error": {"code",
    "message"}}`. A bug of ours shows its traceback on stderr and exits with 70.
    """
    args = _parser(prog, description, commands).parse_args()
    try:
        done = commands[args.command].work(args, Settings.from_env(os.environ))
    except AppError as error:
        return _told(error.code, str(error), exit_code(error), as_json=args.json)
    except KeyboardInterrupt:
        return _told("INTERRUPTED", "interrupted", INTERRUPTED, as_json=args.json)
    except Exception as error:  # noqa: BLE001  the command line's outer edge
        traceback.print_exc()
        return _told("BUG", f"a bug: {type(error).__name__}", CRASH, as_json=args.json)
    text = json.dumps(done.value) if args.json else done.text
    sys.stdout.write(f"{text}\n" if text else "")
    return done.exit_code


def _told(code: str, message: str, exit_code: int, *, as_json: bool) -> int:
    if as_json:
        error = {"error": {"code": code, "message": message}}
        sys.stdout.write(json.dumps(error) + "\n")
    sys.stderr.write(f"understudy: {message}\n")
    return exit_code


def _parser(
    prog: str, description: str | None, commands: Mapping[str, Command]
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=description)
    words = parser.add_subparsers(dest="command", required=True)
    for name, command in commands.items():
        summary = (command.work.__doc__ or "").splitlines()[0]
        word = words.add_parser(name, help=summary, description=summary)
        command.add_arguments(word)
        word.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser
