"""`python -m evals battles` and `experiments`: judges' battles in bulk, and planned comparisons.

    battles judge --models A,B --task T --judge J --rubric R [--limit N]
    battles judge --experiment NAME [--limit N]
    experiments list | show NAME | make NAME --arms A,B --metric M (--n N | --delta D) | end NAME

Exit codes of `show` and `end` are the verdict: 0 B is better, 10 no difference that matters, 20 A
is better, 30 not enough data. Of `battles judge`: 40 where the judge fails its anchors, or more
than 1% of the battles have no verdict.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import NamedTuple

from core.command_line import INVALID, Done
from core.errors import InputError
from core.services import make_services
from core.settings import Settings
from core.store.experiments import METRICS, Experiment, Plan
from evals.arena.costs import ArmFigures, LocalRate
from evals.arena.experiments import Asked, Experiments
from evals.arena.judge_battles import JudgePlan, judge_battles
from evals.arena.panel import Panel
from evals.arena.results import words_of
from evals.bench import Bench
from evals.sample import Estimate
from evals.stats.sequential import LookVerdict

EXIT_CODES: Mapping[LookVerdict, int] = {"b": 0, "no_difference": 10, "a": 20, "not_enough": 30}
Work = Callable[[argparse.Namespace, Settings], Done]


class Word(NamedTuple):
    """A word after `battles` or `experiments`."""

    work: Work
    add_arguments: Callable[[argparse.ArgumentParser], None]


def add_battles_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words of `battles`."""
    _add_words(parser, BATTLES)


def add_experiments_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the words of `experiments`."""
    _add_words(parser, EXPERIMENTS)


def battles_command(args: argparse.Namespace, settings: Settings) -> Done:
    """Have a judge decide battles of two models on the items of a task."""
    return BATTLES[args.action].work(args, settings)


def experiments_command(args: argparse.Namespace, settings: Settings) -> Done:
    """Make, show, list and end planned comparisons of two arms."""
    return EXPERIMENTS[args.action].work(args, settings)


def _add_words(parser: argparse.ArgumentParser, words: Mapping[str, Word]) -> None:
    found = parser.add_subparsers(dest="action", required=True)
    for name, (work, add_arguments) in words.items():
        summary = (work.__doc__ or "").splitlines()[0]
        word = found.add_parser(name, help=summary, description=summary)
        add_arguments(word)
        # A word's default would take the place of what was said before it.
        word.add_argument("--json", action="store_true", default=argparse.SUPPRESS)


def _judge_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", type=_two, metavar="A,B", help="whose answers are judged")
    parser.add_argument("--task", help="whose items they answer")
    parser.add_argument("--judge", help="model that decides, as `core models` lists it")
    parser.add_argument("--rubric", help="what it decides by, such as persona")
    parser.add_argument("--experiment", help="take all four from a running experiment on a judge")
    parser.add_argument("--limit", type=int, help="items to take, from a seeded shuffle")


def _judge(args: argparse.Namespace, settings: Settings) -> Done:
    """Generate, judge in both orders, and store what is missing of the battles."""
    with closing(make_services(settings)) as services:
        plan = _judge_plan(args, Experiments.of(services))
        found = judge_battles(Bench.of(services), services.store, plan, _told)
    value = found.to_dict()
    code = 0 if found.report.is_valid else INVALID
    return Done(value, json.dumps(value, indent=2), code)


def _judge_plan(args: argparse.Namespace, experiments: Experiments) -> JudgePlan:
    given = (args.models, args.task, args.judge, args.rubric)
    if args.experiment is None:
        if None in given:
            raise InputError("name --models, --task, --judge and --rubric, or an --experiment")
        return JudgePlan(*given, limit=args.limit)
    if given != (None, None, None, None):
        raise InputError("an --experiment brings its own models, task, judge and rubric")
    one = experiments.get(args.experiment)
    if one.metric != "judge" or not one.is_running:
        state = "running" if one.is_running else "ended"
        raise InputError(f"{one.name!r} is on {one.metric} and {state}; it takes no judge's votes")
    models = one.arm_a.model, one.arm_b.model
    return JudgePlan(
        models=models,
        task=str(one.task),
        judge=str(one.judge),
        rubric=str(one.rubric),
        limit=args.limit,
        experiment=one.name,
    )


def _told(done: int, total: int) -> None:
    sys.stderr.write(f"{done} of {total} battles\n")


def _nothing(_: argparse.ArgumentParser) -> None:
    pass


def _list(_: argparse.Namespace, settings: Settings) -> Done:
    """List all experiments, the newest first."""
    with closing(make_services(settings)) as services:
        found = Experiments.of(services).list()
    lines = [_line(each) for each in found]
    value = {"experiments": [each.to_dict() for each in found]}
    return Done(value, "\n".join(lines) or "no experiments yet")


def _line(each: Experiment) -> str:
    state = "running" if each.is_running else "ended"
    arms = f"{each.arm_a.model} against {each.arm_b.model}"
    return f"{each.name:32} {state:8} {each.metric:7} {arms}"


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument(
        "--usd-per-hour", type=_rate, action="append", default=[], metavar="ARM=USD"
    )
    parser.add_argument("--watts", type=_rate, action="append", default=[], metavar="ARM=WATTS")
    parser.add_argument("--usd-per-kwh", type=float, metavar="USD", help="price of that energy")


def _show(args: argparse.Namespace, settings: Settings) -> Done:
    """Show what an experiment knows; the exit code is its verdict."""
    with closing(make_services(settings)) as services:
        experiments = Experiments.of(services)
        rates = _rates(args, experiments.get(args.name))
        return _shown(experiments.panel(args.name, rates))


def _make_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("--arms", type=_two, required=True, metavar="A,B", help="B minus A counts")
    parser.add_argument("--metric", choices=METRICS, required=True, help="what decides")
    parser.add_argument("--n", type=int, help="decide once, at this many items")
    parser.add_argument("--delta", type=float, default=0.0, help="smallest difference of interest")
    parser.add_argument("--alpha", type=float, default=0.05, help="share of false winners; 0.05")
    parser.add_argument("--task", help="for the metrics task and judge")
    parser.add_argument("--judge", help="for the metric judge")
    parser.add_argument("--rubric", help="for the metric judge")


def _make(args: argparse.Namespace, settings: Settings) -> Done:
    """Fix a plan and begin: one look at --n items, or looks at any time with --delta."""
    kind = "always_valid" if args.n is None else "fixed_n"
    asked = Asked(
        name=args.name,
        arm_a=args.arms[0],
        arm_b=args.arms[1],
        metric=args.metric,
        plan=Plan("always_valid" if args.n is None else "fixed_n", args.n, args.alpha, args.delta),
        task=args.task,
        judge=args.judge,
        rubric=args.rubric,
    )
    with closing(make_services(settings)) as services:
        made = Experiments.of(services).make(asked)
    return Done(made.to_dict(), f"{_line(made)}, {kind}")


def _end_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")


def _end(args: argparse.Namespace, settings: Settings) -> Done:
    """End an experiment for good; the exit code is its verdict."""
    with closing(make_services(settings)) as services:
        experiments = Experiments.of(services)
        experiments.end(args.name)
        return _shown(experiments.panel(args.name))


def _shown(panel: Panel) -> Done:
    return Done(panel.to_dict(), panel_text(panel), EXIT_CODES[panel.verdict])


def panel_text(panel: Panel) -> str:
    """Return the panel for people."""
    counts, one = panel.counts, panel.experiment
    lines = [
        _line(one),
        panel.text,
        f"  A {counts.wins_a}, B {counts.wins_b}, ties {counts.ties}, both bad {counts.both_bad}",
        f"  B minus A {_points(panel.difference)}",
    ]
    if panel.position is not None:
        lines.append(f"  shown first won {_share(panel.position)}")
    lines += [f"  not counted: {n}, {words_of(why)}" for why, n in panel.excluded.items()]
    lines += [_arm_line(arm) for arm in panel.arms]
    return "\n".join(lines + [f"  {note}" for note in panel.notes])


def _arm_line(arm: ArmFigures) -> str:
    cost = "unknown" if arm.usd_per_thousand is None else f"${arm.usd_per_thousand:.4f}"
    said = ", ".join(part for part in (arm.price_source, arm.price_as_of, arm.priced) if part)
    source = f" ({said})" if said else ""
    times = ", ".join(
        f"{name} {'unknown' if value is None else f'{value:.2f} s'}"
        for name, value in (("p50", arm.p50_s), ("p95", arm.p95_s))
    )
    return f"  {arm.model}: {cost} per 1,000{source}, {times}, {arm.requests} requests"


def _points(found: Estimate | None) -> str:
    """Return a difference in points with its interval."""
    if found is None:
        return "unknown"
    if found.low is None or found.high is None:
        return f"{100 * found.value:+.1f} points, no interval yet"
    return f"{100 * found.value:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _share(found: Estimate) -> str:
    interval = f" [{found.low:.0%}, {found.high:.0%}]" if found.low is not None else ""
    return f"{found.value:.0%}{interval}"


def _two(text: str) -> tuple[str, str]:
    parts = tuple(part.strip() for part in text.split(","))
    if len(parts) != 2 or not all(parts):
        raise argparse.ArgumentTypeError(f"{text!r} must be two ids with a comma between them")
    return parts[0], parts[1]


def _rate(text: str) -> tuple[str, float]:
    arm, equals, value = text.rpartition("=")
    try:
        if not equals:
            raise ValueError
        return arm, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be ARM=NUMBER") from None


def _rates(args: argparse.Namespace, one: Experiment) -> dict[str, LocalRate]:
    if args.usd_per_kwh is not None and not args.watts:
        raise InputError(
            "--usd-per-kwh needs the power of a local arm, --watts ARM=WATTS; the arms are: "
            f"{one.arm_a.model}, {one.arm_b.model}"
        )
    hours: dict[str, float] = dict(args.usd_per_hour)
    watts: dict[str, float] = dict(args.watts)
    return {
        arm: LocalRate(hours.get(arm), watts.get(arm), args.usd_per_kwh if arm in watts else None)
        for arm in sorted(hours.keys() | watts.keys())
    }


BATTLES: Mapping[str, Word] = {"judge": Word(_judge, _judge_arguments)}
EXPERIMENTS: Mapping[str, Word] = {
    "list": Word(_list, _nothing),
    "show": Word(_show, _show_arguments),
    "make": Word(_make, _make_arguments),
    "end": Word(_end, _end_arguments),
}
