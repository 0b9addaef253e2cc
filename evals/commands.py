"""The commands of `python -m evals` besides runs: tasks, comparisons, leaderboard, imports."""

import argparse
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.command_line import Done
from core.errors import AppError, InputError, NotFoundError
from core.settings import Settings
from evals.compare import compare_files, compare_runs
from evals.comparison_text import comparison_text
from evals.importers import import_dataset
from evals.judge_command import judge_command
from evals.leaderboard import board_to_dict, make_board
from evals.leaderboard_runs import RunIndex
from evals.leaderboard_text import board_table
from evals.run_files import RunFolder, open_run
from evals.task import Task
from evals.task_files import list_tasks, load_task, samples_of


def tasks(_: argparse.Namespace, settings: Settings) -> Done:
    """List the tasks with their metrics, sizes and floors, and those that can't be used."""
    found: list[dict[str, Any]] = []
    damaged: list[dict[str, Any]] = []
    for name in list_tasks(settings.home):
        try:
            found.append(_task(load_task(name, settings.home)))
        except AppError as error:
            damaged.append({"task": name, "reason": str(error)})
    lines = [
        f"{task['task']:24} {task['items']:>6} items  {_floor_text(task['floor'])}  "
        f"{', '.join(task['metrics'])}"
        for task in found
    ]
    lines += [f"{task['task']:24} can't be used: {task['reason']}" for task in damaged]
    return Done({"tasks": found, "damaged": damaged}, "\n".join(lines))


def _floor_text(floor: float | None) -> str:
    return "floor unknown" if floor is None else f"floor {floor:<7.3f}"


def _task(task: Task) -> dict[str, Any]:
    samples = samples_of(task)
    return {
        "task": task.name,
        "description": task.description,
        "scorer": task.scorer,
        "metrics": list(task.metrics),
        "primary": task.metrics[0],
        "items": len(samples),
        "groups": len({sample.group for sample in samples}),
        "floor": task.floor.value if task.floor else None,
        "labels": dict(task.labels),
    }


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `compare` to its parser."""
    parser.add_argument("a", help="a run, or a JSONL file of id, score and group")
    parser.add_argument("b", help="the other; the difference is B minus A")
    parser.add_argument("--metric", help="of two runs: instead of the task's primary one")


def compare(args: argparse.Namespace, settings: Settings) -> Done:
    """Compare two runs, or two files of scores, on the same items."""
    one, other = (_side(side, settings.home) for side in (args.a, args.b))
    if isinstance(one, Path) and isinstance(other, Path):
        if args.metric:
            raise InputError("--metric is for runs; a file has one score an item")
        found = compare_files(one, other)
    elif isinstance(one, RunFolder) and isinstance(other, RunFolder):
        found = compare_runs(one, other, args.metric)
    else:
        raise InputError("name two runs or two files; a run and a file have no common items")
    return Done(found.to_dict(), comparison_text(found))


def _side(name: str, home: Path) -> Path | RunFolder:
    """Return the file of this name, else the run."""
    with suppress(OSError):
        if Path(name).is_file():
            return Path(name)
    try:
        return open_run(home, name)
    except NotFoundError as error:
        raise NotFoundError(f"{error}; nor is there such a file") from error


def leaderboard(_: argparse.Namespace, settings: Settings) -> Done:
    """Show models by tasks; only comparable runs stand side by side."""
    board = make_board(*RunIndex(settings.home).all())
    return Done(board_to_dict(board), board_table(board))


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `import` to its parser."""
    parser.add_argument("format", help="such as messages, bfcl, gsm8k; a wrong one lists them all")
    parser.add_argument("path", type=Path)
    parser.add_argument("--name", required=True, help="of the task that it becomes")


def import_command(args: argparse.Namespace, settings: Settings) -> Done:
    """Import a dataset as a task, and tell what was read and what was refused."""
    report = import_dataset(args.format, args.path, args.name, settings.home)
    return _as_text(report.to_dict())


def judge(args: argparse.Namespace, settings: Settings) -> Done:
    """Judge a run's answers, compare two runs, or calibrate a judge."""
    done = judge_command(args, settings)
    assert isinstance(done.result, Mapping)
    return _as_text(done.result, done.exit_code)


def _as_text(value: Mapping[str, Any], exit_code: int = 0) -> Done:
    return Done(value, json.dumps(value, indent=2), exit_code)
