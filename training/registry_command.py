"""`python -m training adapters`: the registered versions, and their export."""

import argparse
import json
from contextlib import closing
from pathlib import Path

from core.catalog_files import load_catalog
from core.command_line import Done
from core.engines.gguf_files import QUANTISATIONS
from core.errors import InputError
from core.messages import JsonValue
from core.settings import Settings
from core.store import open_store
from training.export import KINDS, export, find_source, push
from training.export_card import read_results
from training.jobs import Jobs
from training.registry import Registry, adapter_to_dict


def add_adapters_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `adapters` to its parser."""
    parser.add_argument("action", choices=["list", "show", "export"])
    parser.add_argument("name", nargs="?", help="of the version, alone or as MODEL@VERSION")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="new folder for an export")
    parser.add_argument("--kind", choices=list(KINDS), default="adapter", help="of export")
    parser.add_argument(
        "--quantisation", choices=QUANTISATIONS, default="F16", help="of a gguf's matrices"
    )
    parser.add_argument(
        "--results",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="for the model card: what `python -m evals run --json` printed",
    )
    parser.add_argument(
        "--push", metavar="OWNER/NAME", help="put the export on the Hub, privately; needs HF_TOKEN"
    )


def adapters_command(args: argparse.Namespace, settings: Settings) -> Done:
    """List the adapter versions, show one, or export one.

    Raises:
        AppError: there is no such version, or as `find_source`, `export` and `push`.
    """
    if (args.name is None) != (args.action == "list"):
        wants = "takes no name" if args.action == "list" else "needs the name of a version"
        raise InputError(f"adapters {args.action} {wants}")
    if (args.to is None) == (args.action == "export"):
        raise InputError("--to names the new folder of an export, which needs one")
    with closing(open_store(settings.database_url)) as store:
        # A run that ended while nobody looked has an adapter too.
        Jobs.of(settings, store).look_after()
        registry = Registry(store, settings.home)
        if args.action == "list":
            return _listed(registry)
        if args.action == "show":
            found = adapter_to_dict(registry.get(args.name), registry.folder)
            return Done(found, json.dumps(found, indent=2))
        return _exported(args, settings, registry)


def _listed(registry: Registry) -> Done:
    rows = [adapter_to_dict(stored, registry.folder) for stored in registry.list()]
    lines = [f"{row['id']:48} {row['dataset']}, run {row['run']}" for row in rows]
    return Done({"adapters": rows}, "\n".join(lines) or "no adapters yet")


def _exported(args: argparse.Namespace, settings: Settings, registry: Registry) -> Done:
    results = [one for path in args.results for one in read_results(path)]
    source = find_source(registry, load_catalog(settings), args.name, results)
    done: dict[str, JsonValue] = export(source, args.kind, args.to, args.quantisation)
    if args.push:
        done["pushed"] = push(args.to, args.push, settings.environment.get("HF_TOKEN"))
    return Done(done, json.dumps(done, indent=2))
