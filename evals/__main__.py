"""`python -m evals`: tasks, runs, grades, comparisons, leaderboard; `--json` for programs.

Exit codes: 0; 2 for wrong usage; 40 for a run that is not valid; 70 for a failure of ours. Those of
`experiments show` and `end` are the verdict: 0 B is better, 10 no difference that matters, 20 A is
better, 30 not enough data.
"""

import sys
from collections.abc import Mapping

from core.command_line import INVALID, Command, exit_code_of, run_command_line
from core.errors import AppError, ScoringError
from evals import commands
from evals.arena_command import (
    add_battles_arguments,
    add_experiments_arguments,
    battles_command,
    experiments_command,
)
from evals.card_command import add_card_arguments, card_command
from evals.compare import IncomparableError
from evals.judge_command import add_judge_arguments
from evals.ratings_command import add_ratings_arguments, ratings_command
from evals.run_command import add_grade_arguments, add_run_arguments, grade_command, run_command

COMMANDS: Mapping[str, Command] = {
    "tasks": Command(commands.tasks),
    "run": Command(run_command, add_run_arguments),
    "grade": Command(grade_command, add_grade_arguments),
    "compare": Command(commands.compare, commands.add_compare_arguments),
    "leaderboard": Command(commands.leaderboard),
    "ratings": Command(ratings_command, add_ratings_arguments),
    "battles": Command(battles_command, add_battles_arguments),
    "experiments": Command(experiments_command, add_experiments_arguments),
    "import": Command(commands.import_command, commands.add_import_arguments),
    "card": Command(card_command, add_card_arguments),
    "judge": Command(commands.judge, add_judge_arguments),
}


def main() -> int:
    """Run one command; return its exit code."""
    return run_command_line("python -m evals", __doc__, COMMANDS, _exit_code)


def _exit_code(error: AppError) -> int:
    return INVALID if isinstance(error, IncomparableError | ScoringError) else exit_code_of(error)


if __name__ == "__main__":
    sys.exit(main())
