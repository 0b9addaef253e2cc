"""`python -m training`: datasets, runs, jobs, adapter versions; `--json` for programs.

Exit codes: 0; 2 for wrong usage; 70 for a run that failed, or a failure of ours.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from core.command_line import Command, Done, run_command_line
from core.settings import Settings
from evals.task_files import load_task
from training.data_line import add_data_arguments, data_line
from training.estimate_command import add_estimate_arguments, estimate_command
from training.job_command import (
    add_jobs_arguments,
    add_run_arguments,
    jobs_command,
    run_command,
)
from training.registry_command import adapters_command, add_adapters_arguments


def data_command(args: argparse.Namespace, settings: Settings) -> Done:
    """Import, audit, curate and split datasets."""
    if args.action == "audit":
        args.against = [_rows_of(name, settings.home) for name in args.against]
    return data_line(args, settings)


def _rows_of(name: str, home: Path) -> Path:
    """Return the rows of an evaluation: of a file, or of a task by its name."""
    return Path(name) if Path(name).is_file() else load_task(name, home).dataset


COMMANDS: Mapping[str, Command] = {
    "data": Command(data_command, add_data_arguments),
    "estimate": Command(estimate_command, add_estimate_arguments),
    "run": Command(run_command, add_run_arguments),
    "jobs": Command(jobs_command, add_jobs_arguments),
    "adapters": Command(adapters_command, add_adapters_arguments),
}


def main() -> int:
    """Run one command; return its exit code."""
    return run_command_line("python -m training", __doc__, COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
