"""`python -m training data`: the command line of `data_command`."""

import argparse
import json
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import get_args

from core.command_line import Done
from core.messages import JsonValue
from core.settings import Settings
from training.data_command import (
    data_audit,
    data_curate,
    data_diff,
    data_from_logs,
    data_import,
    data_list,
    data_preview,
    data_split,
)
from training.datasets.example import Kind
from training.datasets.formats import FORMATS
from training.datasets.from_votes import Voices
from training.datasets.leakage import read_items

Work = Callable[[argparse.Namespace, Settings], dict[str, JsonValue]]


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words of `data`, each with its own arguments."""
    words = parser.add_subparsers(dest="action", required=True)
    for name, (add, work) in ACTIONS.items():
        summary = (work.__doc__ or "").splitlines()[0]
        word = words.add_parser(name, help=summary, description=summary)
        # A word's default would take the place of what was said before it.
        word.add_argument(
            "--json",
            action="store_true",
            default=argparse.SUPPRESS,
            help="print one JSON object on stdout",
        )
        add(word)


def data_line(args: argparse.Namespace, settings: Settings) -> Done:
    """Carry out one action on datasets.

    Raises:
        AppError: as the function of `data_command` that is called.
    """
    found = ACTIONS[args.action][1](args, settings)
    return Done(found, json.dumps(found, indent=2, ensure_ascii=False))


def _list(_: argparse.Namespace, settings: Settings) -> dict[str, JsonValue]:
    """List the dataset versions."""
    return data_list(settings)


def _preview(args: argparse.Namespace, _: Settings) -> dict[str, JsonValue]:
    """Show what the first rows of a file would become."""
    return data_preview(args.path, args.format, args.rows)


def _import(args: argparse.Namespace, settings: Settings) -> dict[str, JsonValue]:
    """Import a file as a dataset version."""
    return data_import(settings, args.path, args.name, args.format)


def _from_logs(args: argparse.Namespace, settings: Settings) -> dict[str, JsonValue]:
    """Make a dataset version of liked and corrected answers, or of votes in blind battles."""
    return data_from_logs(settings, args.name, args.kind, args.votes, args.with_items)


def _audit(args: argparse.Namespace, settings: Settings) -> dict[str, JsonValue]:
    """Audit a dataset for a model: what it would teach, and what would spoil it."""
    items = chain.from_iterable(read_items(path) for path in args.against)
    return data_audit(settings, args.dataset, args.model, args.max_length, items)


def _curate(args: argparse.Namespace, settings: Settings) -> dict[str, JsonValue]:
    """Make a new version by what an audit found and a person decided."""
    return data_curate(settings, args.dataset, args.audit, args.decisions)


def _split(args: argparse.Namespace, settings: Settings) -> dict[str, JsonValue]:
    """Split a version by group into train and eval, once and for all."""
    return data_split(settings, args.dataset, args.eval_share, args.seed)


def _diff(args: argparse.Namespace, settings: Settings) -> dict[str, JsonValue]:
    """Tell what changed from one version to another."""
    return data_diff(settings, args.before, args.after)


def _add_nothing(_: argparse.ArgumentParser) -> None:
    pass


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", type=Path, metavar="FILE", help="JSONL, CSV or Parquet")
    known = ", ".join(FORMATS)
    parser.add_argument("--format", help=f"told from the rows without it; one of: {known}")


def _add_preview(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    parser.add_argument("--rows", type=int, default=5)


def _add_import(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    parser.add_argument("--name", required=True, help="of the dataset")


def _add_from_logs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", required=True, help="of the dataset")
    parser.add_argument(
        "--kind", choices=get_args(Kind), help="sft, or preference with --votes, without it"
    )
    parser.add_argument(
        "--votes",
        nargs="?",
        choices=get_args(Voices),
        const="people",
        help="of blind battles instead of chats; a judge's only where asked for",
    )
    parser.add_argument(
        "--with-items",
        action="store_true",
        help="votes on items of evaluation tasks too, as all judges' are; those tasks can't judge "
        "what learns them",
    )


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="NAME, NAME@VERSION or a file")
    parser.add_argument("--model", required=True, help="whose tokenizer and template read it")
    parser.add_argument("--max-length", type=int, required=True, help="tokens that are read")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="TASK|FILE",
        help="evaluation whose items must not be in it; may be given several times",
    )


def _add_curate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="NAME or NAME@VERSION")
    parser.add_argument("--audit", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--decisions", type=Path, metavar="FILE", help="JSONL of id, action, reason, answer"
    )


def _add_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="NAME or NAME@VERSION")
    parser.add_argument("--eval-share", type=float, default=0.1, help="0.0 to 1.0")
    parser.add_argument("--seed", type=int, default=1)


def _add_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", help="NAME@VERSION")
    parser.add_argument("after", help="NAME@VERSION")


ACTIONS: Mapping[str, tuple[Callable[[argparse.ArgumentParser], None], Work]] = {
    "list": (_add_nothing, _list),
    "preview": (_add_preview, _preview),
    "import": (_add_import, _import),
    "from-logs": (_add_from_logs, _from_logs),
    "audit": (_add_audit, _audit),
    "curate": (_add_curate, _curate),
    "split": (_add_split, _split),
    "diff": (_add_diff, _diff),
}
