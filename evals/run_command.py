"""`python -m evals run` and `grade`: runs from the command line, and what they come to."""

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from core.availability import availability_of
from core.command_line import INVALID, Done
from core.errors import InputError
from core.services import make_services
from core.settings import Settings
from evals.bar import Bar
from evals.bench import Bench
from evals.manifest import SAMPLING_TEMPERATURE, Manifest, RunConfig
from evals.predictions import predictions_run
from evals.progress import REMOTE_REQUESTS, Watch
from evals.run import carry_out, grade, plan_run
from evals.run_files import RunFolder, open_run
from evals.second import second_for
from evals.summary import is_valid
from evals.task_files import load_task, samples_of

GIVEN = ("limit", "samples", "seed", "temperature", "max_tokens")
"""Arguments that are a run's for good."""


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `run` to its parser."""
    parser.add_argument("--model", help="MODEL or MODEL@VERSION, as `python -m core models` lists")
    parser.add_argument("--task", action="append", default=[], help="may be given several times")
    parser.add_argument("--limit", type=int, help="items to take, from a seeded shuffle")
    parser.add_argument("--samples", type=int, help="answers for each item")
    parser.add_argument("--seed", type=int, help="of the shuffle and of sampling; 0")
    parser.add_argument(
        "--temperature",
        type=float,
        help=f"instead of the task's; {SAMPLING_TEMPERATURE} for several answers of a greedy one",
    )
    parser.add_argument("--max-tokens", type=int, help="instead of the task's")
    parser.add_argument(
        "--deterministic", action="store_true", help="planned batches of a local model"
    )
    parser.add_argument("--no-cache", action="store_true", help="generate what is cached, too")
    parser.add_argument(
        "--concurrency", type=int, default=REMOTE_REQUESTS, help="requests under way at a server"
    )
    parser.add_argument("--resume", metavar="RUN", help="go on with a run that was left")


def run_command(args: argparse.Namespace, settings: Settings) -> Done:
    """Carry out new runs, or what is left of one; exit code 40 unless all are valid.

    Raises:
        AppError: the arguments contradict each other, or as `plan_run` and `carry_out`.
    """
    if args.concurrency < 1:
        raise InputError(f"--concurrency must be at least 1, got {args.concurrency}")
    with (
        second_for(settings, *_wanted(args, settings)) as helper,
        closing(make_services(settings)) as services,
        _stopping() as stop,
    ):
        bench, bar = Bench.of(services), Bar(sys.stderr)
        folders = [_resumed(bench, args)] if args.resume else _planned(bench, args)
        sys.stderr.write(f"{', '.join(folder.run for folder in folders)}\n")
        try:
            summaries = carry_out(bench, folders, Watch(bar.show, stop, args.concurrency), helper)
        finally:
            bar.close()
    return _done(summaries)


def add_grade_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `grade` to its parser."""
    parser.add_argument("--task", help="task that the predictions answer")
    parser.add_argument("--predictions", type=Path, metavar="FILE", help="answers, as JSONL")
    parser.add_argument("--model", help="what to call who answered; the file's name")
    parser.add_argument("--run", help="grade the answers of this run again instead")


def grade_command(args: argparse.Namespace, settings: Settings) -> Done:
    """Grade a file of answers, or a run again; exit code 40 unless it is valid.

    Raises:
        AppError: the arguments contradict each other, or as `predictions_run` and `grade`.
    """
    if bool(args.run) == bool(args.predictions) or bool(args.task) != bool(args.predictions):
        raise InputError("name what to grade: --task T --predictions FILE, or --run RUN")
    with closing(make_services(settings)) as services:
        bench = Bench.of(services)
        if args.run:
            folder = open_run(bench.home, args.run)
        else:
            folder = predictions_run(bench, args.task, args.predictions, args.model)
        return _done([grade(bench, folder)])


def _planned(bench: Bench, args: argparse.Namespace) -> list[RunFolder]:
    if not (args.model and args.task):
        raise InputError("name --model and --task, or --resume RUN")
    if len(set(args.task)) < len(args.task):
        raise InputError("--task names a task twice; for several answers an item use --samples")
    given = {name: value for name in GIVEN if (value := vars(args)[name]) is not None}
    configs = [
        RunConfig(
            model=args.model,
            task=task,
            is_deterministic=args.deterministic,
            uses_cache=not args.no_cache,
            **given,
        )
        for task in args.task
    ]
    state = availability_of(bench.catalog, args.model)
    if state.is_download:
        sys.stderr.write(f"{args.model!r} is {state.reason}\n")
    return [plan_run(bench, config) for config in configs]


def _wanted(args: argparse.Namespace, settings: Settings) -> tuple[str | None, int]:
    """Return the model, and about how many answers of it are wanted in no planned batches."""
    if args.resume:
        manifest = open_run(settings.home, args.resume).manifest()
        return manifest.model, len(manifest.keys) if manifest.mode == "free" else 0
    if args.deterministic:
        return args.model, 0
    sizes = [len(samples_of(load_task(task, settings.home))) for task in args.task]
    return args.model, sum(min(size, args.limit or size) for size in sizes) * (args.samples or 1)


def _resumed(bench: Bench, args: argparse.Namespace) -> RunFolder:
    """Return the run to go on with; what else was given must be what it is."""
    folder = open_run(bench.home, args.resume)
    manifest = folder.manifest()
    if manifest.mode == "predictions":
        raise InputError(f"{args.resume!r} is of a file of answers; there is nothing to generate")
    planned = min(args.limit or 0, len(samples_of(load_task(manifest.task, bench.home))))
    agreements = {**_agreements(args, manifest), "limit": planned in (0, len(manifest.items))}
    for name, is_same in agreements.items():
        if not is_same:
            raise InputError(
                f"run {args.resume!r} has another {name}; leave out --{name}, or start a new run"
            )
    return folder


def _agreements(args: argparse.Namespace, manifest: Manifest) -> Mapping[str, bool]:
    """Say of each argument whether it is left out, or is what the run has."""
    params = manifest.generation_params
    return {
        "model": args.model in (None, manifest.model),
        "task": args.task in ([], [manifest.task]),
        "samples": args.samples in (None, manifest.repeats),
        "seed": args.seed in (None, manifest.seed),
        "temperature": args.temperature in (None, params.temperature),
        "max-tokens": args.max_tokens in (None, params.max_tokens),
        "deterministic": not args.deterministic or manifest.mode == "deterministic",
        "no-cache": not args.no_cache or not manifest.uses_cache,
    }


def _done(summaries: Sequence[dict[str, Any]]) -> Done:
    for summary in summaries:
        for warning in summary["warnings"]:
            sys.stderr.write(f"understudy: run {summary['run']}: {warning}\n")
        if not is_valid(summary):
            sys.stderr.write(f"understudy: {_complaint(summary)}\n")
    is_all_valid = all(is_valid(summary) for summary in summaries)
    value = summaries[0] if len(summaries) == 1 else {"runs": list(summaries)}
    text = "\n\n".join(summary_text(summary) for summary in summaries)
    return Done(value, text, 0 if is_all_valid else INVALID)


def _complaint(summary: Mapping[str, Any]) -> str:
    """Return in one line why a run has no result, and what to do."""
    counts = ", ".join(f"{count} {why}" for why, count in summary["missing_by"].items())
    said = summary["reason"] or next(iter(summary["errors"]), "")
    run, reason = summary["run"], f": {said}" if said else ""
    text = f"run {run} is {summary['status']}: {summary['missing']} of {summary['n']} answers are "
    advice = f"; go on with --resume {run}" if summary["mode"] != "predictions" else ""
    return f"{text}missing ({counts}){reason}{advice}"


def summary_text(summary: Mapping[str, Any]) -> str:
    """Return a summary for people."""
    head = f"{summary['model']} on {summary['task']}: {summary['status']}"
    lines = [f"{head}, {summary['n'] - summary['missing']} of {summary['n']} answers"]
    if summary["provider"] == "replay":
        lines.append("recorded answers, not a model's own speed or cost")
    if summary["repeats"] > 1:
        temperature = summary["params"]["temperature"]
        lines.append(f"{summary['repeats']} answers for each item at temperature {temperature:g}")
    lines += summary["warnings"]
    for name, found in summary["metrics"].items():
        bounds = (summary["bounds"] or {}).get(name)
        lines.append(f"  {name:24} {_estimate(found)}{_bounds(bounds)}")
        if name in summary["repaired"]:
            lines.append(f"  {'after repair':24} {_estimate(summary['repaired'][name])}")
    if not summary["metrics"]:
        lines.append("  no answer was graded, so there is no score")
    if summary["floor"] is not None:
        lines.append(f"  {'floor':24} {summary['floor']:.3f}")
    failures = ", ".join(f"{label} {count}" for label, count in summary["failures"].items())
    lines += [f"  failures: {failures}"] if failures else []
    return "\n".join([*lines, f"  run {summary['run']}"])


def _estimate(found: Mapping[str, Any]) -> str:
    interval = (
        f" [{found['low']:.3f}, {found['high']:.3f}]"
        if found["low"] is not None
        else " (no interval)"
    )
    return f"{found['value']:.3f}{interval} of {found['n']}"


def _bounds(bounds: Sequence[float] | None) -> str:
    if bounds is None:
        return ""
    return f"; {bounds[0]:.3f} to {bounds[1]:.3f} whatever the missing answers are"


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Yield what the first Ctrl-C or termination sets; the second ends the program at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, former[number])
        sys.stderr.write("\nstopping; once more to end at once\n")

    former = {int(number): signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in former:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
