"""`python -m core`: models, one question, cache, traces, migrations; `--json` for programs."""

import argparse
import json
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from core.catalog import Catalog, located, starting_model
from core.command_line import Command, Done, run_command_line
from core.errors import GenerationError, InputError
from core.gateway.gateway import Gateway
from core.messages import (
    Delta,
    Generation,
    GenerationParams,
    GenerationRequest,
    JsonValue,
    Message,
    Tool,
)
from core.model_states import ModelState, model_states
from core.providers.replay import RecordingProvider
from core.services import make_services
from core.settings import Settings
from core.tool_json import tools_from_json

DEFAULTS = GenerationParams()


def models(args: argparse.Namespace, settings: Settings) -> Done:
    """Show every model with its effective values, and where each came from."""
    with closing(make_services(settings)) as services:
        if args.revive:
            services.gateway.traffic.revive(services.catalog.resolve(args.revive))
        catalog, states = services.catalog, model_states(services.gateway.traffic)
    rows = {state.id: _model_row(catalog, state) for state in states}
    text = "\n".join(map(_model_line, states))
    return Done({"models": rows, "default_model": catalog.default_model}, text)


def _model_line(state: ModelState) -> str:
    status = state.reason if state.reason else "ready"
    notes = [state.description, state.left_today and f"left: {state.left_today}"]
    notes.append("" if state.price in ("", "unknown") else state.price)
    notes.append(state.engine and f"engine: {state.engine}")
    return f"{state.id:22} {status:44} {'; '.join(note for note in notes if note)}"


def _model_row(catalog: Catalog, state: ModelState) -> dict[str, JsonValue]:
    target = catalog.resolve(state.id)
    sections = {"chain": f"chains.{state.id}.", "ensemble": f"ensembles.{state.id}."}
    prefix = sections.get(state.provider, f"models.{target.model_id}.")
    holders = {"chain": catalog.chains, "ensemble": catalog.ensembles}
    holder: object = holders[state.provider][state.id] if state.provider in holders else None
    values: dict[str, JsonValue] = {}
    for dotted, source in catalog.origins.items():
        if dotted.startswith(prefix) and (key := dotted[len(prefix) :]) != "key":
            value = getattr(holder or target.model, key.split(".")[0])  # checked by the catalog
            values[key] = {
                "value": value if isinstance(value, str | int | float) else str(value),
                "from": source,
            }
    return {
        "status": state.reason or "ready",
        "provider": state.provider,
        "description": state.description,
        "values": values,
        **state.to_dict(),
    }


def cache(args: argparse.Namespace, settings: Settings) -> Done:
    """Show what the answer cache holds and has saved, or empty it."""
    with closing(make_services(settings)) as services:
        answers = services.gateway.traffic.cache
        if args.action == "clear":
            found: dict[str, JsonValue] = {"removed": answers.clear()}
        else:
            found = dict(asdict(answers.stats()))
    return Done(found, json.dumps(found, indent=2))


def chat(args: argparse.Namespace, settings: Settings) -> Done:
    """Answer one prompt, as the Chat tab would with the model's own defaults."""
    with closing(make_services(settings)) as services:
        request = _request(args, services.catalog)
        gateway = services.gateway
        if args.record:
            path = Path(args.record)
            gateway = gateway.with_providers(lambda inner: RecordingProvider(inner, path))
        generation = _printed(gateway, request, quiet=args.json)
    if not args.json:
        print(f"[{_facts(generation)}]", file=sys.stderr)
    calls = [f"{call.name} {call.arguments}" for call in generation.tool_calls]
    return Done(generation.to_dict(), "\n".join(calls))


def _facts(generation: Generation) -> str:
    speed = generation.timings.tokens_per_s
    rate = f"{speed:.0f} tokens/s" if speed else "speed unknown"
    route = f", {generation.route}" if generation.route else ""
    cost = "unknown" if generation.cost_usd is None else f"${generation.cost_usd:.6f}"
    return f"{generation.model.id}, {rate}, cost {cost}, cache {generation.cache}{route}"


def _request(args: argparse.Namespace, catalog: Catalog) -> GenerationRequest:
    entry = starting_model(catalog, args.model)
    system = args.system
    if system is None:
        system = located(entry.system).read_text(encoding="utf-8") if entry.system else ""
    first = (Message("system", system),) if system else ()
    return GenerationRequest(
        model=args.model,
        messages=(*first, Message("user", args.prompt)),
        params=GenerationParams(
            temperature=args.temperature, max_tokens=args.max_tokens, seed=args.seed
        ),
        caller="cli",
        tools=_tools(args, entry.tools),
        is_admin=True,
        cache="off" if args.record else args.cache,  # A cached answer would not be recorded.
        filter=args.filter,
    )


def _tools(args: argparse.Namespace, default: str | None) -> tuple[Tool, ...]:
    path = Path(args.tools) if args.tools else located(default) if default else None
    if args.no_tools or path is None:
        return ()
    try:
        return tools_from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"tools file {str(path)!r} can't be read: {error.strerror}") from error


def _printed(gateway: Gateway, request: GenerationRequest, *, quiet: bool) -> Generation:
    generation: Generation | None = None
    for delta in gateway.generate(request):
        generation = delta.generation or generation
        _show(delta, quiet=quiet)
    if generation is None:
        raise GenerationError(f"{request.model!r} ended without an answer")
    if not quiet:
        print()
    return generation


def _show(delta: Delta, *, quiet: bool) -> None:
    if delta.progress:
        print(f"{delta.progress.stage} ... {delta.progress.detail}".rstrip(), file=sys.stderr)
    if delta.restart:
        print(f"\nwithdrawn: {delta.restart}", file=sys.stderr)
    if not quiet:
        print(delta.text, end="", flush=True)


def traces(args: argparse.Namespace, settings: Settings) -> Done:
    """List the newest traces, or show one with its spans."""
    with closing(make_services(settings)) as services:
        if args.action == "show":
            found: JsonValue = services.ledger.show(args.id or "").to_dict()
        else:
            found = {"traces": [trace.to_dict() for trace in services.ledger.list(args.limit)]}
    return Done(found, json.dumps(found, indent=2, ensure_ascii=False))


def migrate(_: argparse.Namespace, settings: Settings) -> Done:
    """Bring the database to this version."""
    with closing(make_services(settings)):
        pass
    return Done({"migrated": True}, "the database is up to date")


def _add_models_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--revive", metavar="MODEL", help="let calls pass again, after its key or account is mended"
    )


def _add_chat_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="MODEL or MODEL@VERSION, as `models` lists them")
    parser.add_argument("prompt")
    parser.add_argument("--system", help="system prompt instead of the model's own")
    parser.add_argument("--tools", help="JSON file with tools instead of the model's own")
    parser.add_argument("--no-tools", action="store_true", help="offer no tools")
    parser.add_argument("--temperature", type=float, default=DEFAULTS.temperature)
    parser.add_argument("--max-tokens", type=int, default=DEFAULTS.max_tokens)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--filter", action="store_true", help="cut meta-language")
    parser.add_argument("--record", metavar="FILE", help="append the answer for a replay model")
    parser.add_argument("--cache", choices=["auto", "on", "off"], default="auto")


def _add_cache_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["stats", "clear"])


def _add_traces_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["list", "show"])
    parser.add_argument("id", nargs="?")
    parser.add_argument("--limit", type=int, default=20)


COMMANDS: Mapping[str, Command] = {
    "models": Command(models, _add_models_arguments),
    "chat": Command(chat, _add_chat_arguments),
    "cache": Command(cache, _add_cache_arguments),
    "traces": Command(traces, _add_traces_arguments),
    "migrate": Command(migrate),
}


def main() -> int:
    """Run one command; return its exit code."""
    return run_command_line("python -m core", __doc__, COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
