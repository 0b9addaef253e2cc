"""`python -m evals ratings`: the votes in the store, or a file of battles, as ratings."""

import argparse
from contextlib import closing
from pathlib import Path

from core.command_line import Done
from core.errors import InputError
from core.settings import Settings
from core.store import open_store
from core.store.battle_records import Source
from core.store.battles import Battles
from evals.arena.results import words_of
from evals.arena.standings import Standing, standing
from evals.ratings import Ratings, ratings_from_file


def add_ratings_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ratings` to its parser."""
    parser.add_argument(
        "--battles", type=Path, metavar="FILE", help="JSONL; without it, the votes in the store"
    )
    parser.add_argument("--judge", action="store_true", help="judges' votes instead of people's")
    parser.add_argument("--length", action="store_true", help="take out what a longer answer is")
    parser.add_argument("--position", action="store_true", help="and what being shown first is")


def ratings_command(args: argparse.Namespace, settings: Settings) -> Done:
    """Rate models by the votes in the store, or by a file of battles.

    Raises:
        AppError: the file or the store can't be read, or --judge goes with a file or --position.
    """
    if args.battles is not None:
        if args.judge:
            raise InputError("--judge is for the store; a file is rated as it is")
        found = ratings_from_file(args.battles, length=args.length, position=args.position)
        return Done(found.to_dict(), _ratings_text(found))
    if args.judge and args.position:
        raise InputError("--position is of people's votes: a judge is asked in both orders")
    source: Source = "judge" if args.judge else "person"
    with closing(open_store(settings.database_url)) as store:
        battles = Battles(store)
        rated, counts = battles.rated(source), battles.counts(source)
    of_store = standing(source, rated, counts, length=args.length, position=args.position)
    return Done(of_store.to_dict(), _standing_text(of_store))


def _standing_text(found: Standing) -> str:
    whose = "people's votes" if found.source == "person" else "judges' votes"
    if not found.votes and not found.excluded:
        return f"no {whose} yet"
    left_out = [f"not counted: {n}, {words_of(reason)}" for reason, n in found.excluded.items()]
    given = found.votes + sum(found.excluded.values())
    lines = [f"{found.votes} of {given} {whose} count", *left_out, _ratings_text(found.ratings)]
    return "\n".join(lines)


def _ratings_text(found: Ratings) -> str:
    lines = [
        f"{'' if one.rank is None else one.rank:>4} {one.id:32} {_points(one.rating):>7} "
        f"[{_points(one.low)}, {_points(one.high)}] of {one.n}"
        f"{'' if one.tie_group is None else f', tie group {one.tie_group}'}"
        f"{', provisional' if one.is_provisional else ''}"
        for one in found.models
    ]
    lines.append(", ".join(f"{outcome} {count}" for outcome, count in found.outcomes.items()))
    return "\n".join(lines + ([found.note] if found.note else []))


def _points(value: float | None) -> str:
    return "none" if value is None else f"{value:.0f}"
