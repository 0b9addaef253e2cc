"""`python -m evals`: tasks, runs, grades, comparisons, leaderboard; `--json` for programs.

Exit codes: 0; 2 for wrong usage; 40 for a run that is not valid; 70 for a failure of ours.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.errors import AppError, ScoringError
from core.settings import Settings
from evals import commands
from evals.command import CRASH, INVALID, USAGE_ERROR, Done
from evals.compare import IncomparableError
from evals.judge_command import add_judge_arguments
from evals.run_command import add_grade_arguments, add_run_arguments, grade_command, run_command


@dataclass(frozen=True, slots=True)
class Command:
    """One word of the command line."""

    work: Callable[[argparse.Namespace, Settings], Done]
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda _: None


COMMANDS: Mapping[str, Command] = {
    "tasks": Command(commands.tasks),
    "run": Command(run_command, add_run_arguments),
    "grade": Command(grade_command, add_grade_arguments),
    "compare": Command(commands.compare, commands.add_compare_arguments),
    "leaderboard": Command(commands.leaderboard),
    "ratings": Command(commands.ratings, commands.add_ratings_arguments),
    "import": Command(commands.import_command, commands.add_import_arguments),
    "judge": Command(commands.judge, add_judge_arguments),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evals", description=__doc__)
    words = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        summary = (command.work.__doc__ or "").splitlines()[0]
        word = words.add_parser(name, help=summary, description=summary)
        command.add_arguments(word)
        word.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser


def main() -> int:
    """Run one command; return its exit code."""
    args = _parser().parse_args()
    try:
        done = COMMANDS[args.command].work(args, Settings.from_env(os.environ))
    except AppError as error:
        if args.json:
            print(json.dumps({"error": {"code": error.code, "message": str(error)}}))
        print(f"understudy: {error}", file=sys.stderr)
        return _exit_code(error)
    print(json.dumps(done.value) if args.json else done.text)
    return done.exit_code


def _exit_code(error: AppError) -> int:
    if isinstance(error, IncomparableError | ScoringError):
        return INVALID
    return USAGE_ERROR if error.status < 500 else CRASH


if __name__ == "__main__":
    sys.exit(main())
