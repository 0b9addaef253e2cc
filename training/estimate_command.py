"""`python -m training estimate`: what a run will take on this machine, before it is started."""

import argparse
import sys
from pathlib import Path

from core.command_line import Done
from core.settings import Settings
from training.estimate import Estimate, estimate
from training.job_command import read_config

TOO_LARGE = 20
"""Exit code of a run that does not fit."""


def add_estimate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `estimate` to its parser."""
    parser.add_argument("config", type=Path, metavar="RUN.yaml", help="the run's settings")
    parser.add_argument(
        "--price-per-hour", type=float, help="of this machine, in any currency; for the cost"
    )


def estimate_command(args: argparse.Namespace, settings: Settings) -> Done:
    """Measure ten steps of a run: memory, time and cost; exit with 20 when it does not fit.

    Raises:
        AppError: the settings are wrong, or as `estimate`.
    """
    config = read_config(args.config)
    found = estimate(config, settings, args.price_per_hour, _tell)
    return Done(found.to_dict(), estimate_text(found), 0 if found.fits else TOO_LARGE)


def estimate_text(found: Estimate) -> str:
    """Return an estimate for people."""
    memory = f"memory: {_memory(found)} {found.free_gb:.2f} GB that are free"
    if not found.fits:
        return "\n".join([f"does not fit; {memory}", *(f"  {way}" for way in found.advice)])
    lines = [memory, f"steps: {found.steps}, {found.step_s:.2f} s each"]
    lines.append(f"time: {found.duration_s:,.0f} s, evaluations and saves on top")
    lines.append(f"speed: {found.tokens_per_s:,.0f} tokens/s, {found.tokens:,} tokens in all")
    if found.cost is not None:
        lines.append(f"cost: {found.cost:.4f}")
    return "\n".join(lines)


def _memory(found: Estimate) -> str:
    if found.memory_gb is None:
        return "unknown, more than the"
    return f"{'at least ' if found.is_least else ''}{found.memory_gb:.2f} GB of"


def _tell(progress: str) -> None:
    sys.stderr.write(f"{progress}\n")
