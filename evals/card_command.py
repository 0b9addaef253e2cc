"""`python -m evals card`: a run's results in a model card, shown, in a folder or on the Hub."""

import argparse
from pathlib import Path

import yaml

from core.command_line import Done
from core.errors import InputError
from core.settings import Settings
from evals.card import NEW_CARD, push_card, with_results, write_card
from evals.run_files import open_run


def add_card_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `card` to its parser."""
    parser.add_argument("run", help="a completed run; without a target its results are shown")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--write", type=Path, metavar="FOLDER", help="of the model's README.md")
    target.add_argument("--push", metavar="OWNER/NAME", help="a model on the Hub; needs HF_TOKEN")


def card_command(args: argparse.Namespace, settings: Settings) -> Done:
    """Put a run's results into a model's card, or show what would be put there.

    Raises:
        AppError: there is no such run or folder, no token, or as `write_card` and `push_card`.
    """
    summary = open_run(settings.home, args.run).summary()
    if summary is None:
        raise InputError(f"run {args.run!r} has no results yet; finish it: run --resume {args.run}")
    summaries = [summary]
    if args.push:
        token = settings.environment.get("HF_TOKEN")
        if not token:
            raise InputError("--push needs a token that may write: set HF_TOKEN")
        return _done(args.run, "pushed", push_card(args.push, summaries, token))
    if args.write:
        if not args.write.is_dir():
            raise InputError(f"no folder {str(args.write)!r}; name that of the model")
        path = args.write / "README.md"
        write_card(path, summaries)
        return _done(args.run, "written", str(path))
    index = with_results(NEW_CARD, summaries).data.to_dict()
    return Done({"run": args.run, **index}, yaml.safe_dump(index, sort_keys=False).rstrip())


def _done(run: str, verb: str, target: str) -> Done:
    return Done({"run": run, verb: target}, f"{verb}: {target}")
