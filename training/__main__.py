"""`python -m training`: datasets, runs, jobs, adapter versions; `--json` for programs.

Exit codes: 0; 2 for wrong usage; 70 for a run that failed, or a failure of ours.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from core.errors import AppError
from core.settings import Settings
from evals.task_files import load_task
from training.command import CRASH, USAGE_ERROR, Command
from training.data_line import add_data_arguments, data_line
from training.job_command import (
    add_jobs_arguments,
    add_run_arguments,
    jobs_command,
    run_command,
)
from training.registry_command import adapters_command, add_adapters_arguments

COMMANDS: Mapping[str, Command] = {
    "data": Command(data_line, add_data_arguments),
    "run": Command(run_command, add_run_arguments),
    "jobs": Command(jobs_command, add_jobs_arguments),
    "adapters": Command(adapters_command, add_adapters_arguments),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    words = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        summary = (command.work.__doc__ or "").splitlines()[0]
        word = words.add_parser(name, help=summary, description=summary)
        command.add_arguments(word)
        word.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser


def _rows_of(name: str, home: Path) -> Path:
    """Return the rows of an evaluation: of a file, or of a task by its name."""
    return Path(name) if Path(name).is_file() else load_task(name, home).dataset


def main() -> int:
    """Run one command; return its exit code."""
    args = _parser().parse_args()
    try:
        settings = Settings.from_env(os.environ)
        if args.command == "data" and args.action == "audit":
            args.against = [_rows_of(name, settings.home) for name in args.against]
        done = COMMANDS[args.command].work(args, settings)
    except AppError as error:
        if args.json:
            print(json.dumps({"error": {"code": error.code, "message": str(error)}}))
        print(f"understudy: {error}", file=sys.stderr)
        return USAGE_ERROR if error.status < 500 else CRASH
    print(json.dumps(done.value) if args.json else done.text)
    return done.exit_code


if __name__ == "__main__":
    sys.exit(main())
