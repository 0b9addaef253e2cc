"""`python -m training run` and `jobs`: start a run, follow, stop, resume and restore it."""

import argparse
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from core.catalog_files import load_catalog
from core.command_line import CRASH, Done
from core.errors import InputError
from core.settings import Settings
from core.store import open_store
from training.config import TrainConfig
from training.job_new import NewRun, queue_run
from training.job_restore import restore_job
from training.job_states import ACTIVE
from training.job_view import JobView
from training.jobs import Jobs
from training.launch import EXECUTORS

LOOK_S = 1.0


class _Settings(yaml.SafeLoader):
    """YAML in which `2e-4` is a number, as in YAML 1.2; PyYAML takes it for a text."""


_Settings.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("+-0123456789")
)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `run` to its parser."""
    parser.add_argument("config", type=Path, metavar="RUN.yaml", help="the run's settings")
    parser.add_argument("--name", help="of the run; made of model, purpose and time")
    parser.add_argument("--executor", choices=list(EXECUTORS), default="local")
    parser.add_argument(
        "--processes", type=int, default=1, help="that train together, one for each GPU"
    )


def run_command(args: argparse.Namespace, settings: Settings) -> Done:
    """Queue a run and follow it to its end; Ctrl-C stops the following and not the run.

    Raises:
        AppError: the settings are wrong, or as `queue_run`.
    """
    new = NewRun(read_config(args.config), args.name, args.executor, args.processes)
    catalog = load_catalog(settings)
    with closing(open_store(settings.database_url)) as store:
        jobs = Jobs.of(settings, store)
        name = queue_run(jobs, catalog, new).job.id
        view = follow(jobs, name, lambda line: sys.stderr.write(f"{line}\n"))
    is_lost = view.job.status in ("failed", "interrupted")
    return Done(view.to_dict(), job_text(view), CRASH if is_lost else 0)


def follow(jobs: Jobs, name: str, tell: Callable[[str], Any]) -> JobView:
    """Tell of a job whenever there is news until it has ended, or Ctrl-C."""
    told = ""
    view = jobs.show(name)
    try:
        while True:
            if (line := progress_line(view)) != told:
                tell(line)
                told = line
            if view.job.status not in ACTIVE:
                return view
            time.sleep(LOOK_S)
            view = jobs.show(name)
    except KeyboardInterrupt:
        tell(f"{name} goes on; `jobs show {name}` tells how far it is")
        return jobs.show(name)


def add_jobs_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `jobs` to its parser."""
    parser.add_argument("action", choices=["list", *ACTIONS, "restore"])
    parser.add_argument("id", nargs="?", help="of the job: the run's name")
    parser.add_argument(
        "--mirror", metavar="URL", help="of `restore`: the run's `mirror`, to bring it back from"
    )


def jobs_command(args: argparse.Namespace, settings: Settings) -> Done:
    """List the jobs, show one, stop one, go on with one, or bring one back from its mirror.

    Raises:
        AppError: there is no such job, or it is in no state for this.
    """
    if (args.id is None) != (args.action == "list"):
        wants = "takes no id" if args.action == "list" else "needs the id of a job"
        raise InputError(f"jobs {args.action} {wants}")
    if (args.mirror is None) == (args.action == "restore"):
        wants = "needs" if args.action == "restore" else "takes no"
        raise InputError(f"jobs {args.action} {wants} --mirror URL")
    with closing(open_store(settings.database_url)) as store:
        jobs = Jobs.of(settings, store)
        if args.action == "list":
            views = jobs.list()
            text = "\n".join(progress_line(view) for view in views) or "no jobs yet"
            return Done({"jobs": [view.to_dict() for view in views]}, text)
        if args.action == "restore":
            view = restore_job(jobs, args.mirror, args.id)
        else:
            view = ACTIONS[args.action](jobs, args.id)
    return Done(view.to_dict(), job_text(view))


ACTIONS: Mapping[str, Callable[[Jobs, str], JobView]] = {
    "show": Jobs.show,
    "stop": Jobs.stop,
    "resume": Jobs.resume,
}


def read_config(path: Path) -> TrainConfig:
    """Read a run's settings from YAML.

    Raises:
        InputError: the file can't be read, is no mapping, or a value is wrong.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Settings)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise InputError(f"{str(path)!r} can't be read: {reason}") from error
    if not isinstance(raw, dict):
        raise InputError(f"{str(path)!r} must hold the settings of a run: keys and values")
    return TrainConfig.from_dict(raw)


def progress_line(view: JobView) -> str:
    """Return a job in one line."""
    job, facts = view.job, view.facts
    parts = [f"{job.id}  {job.status}"]
    if view.place is not None:
        parts.append(f"place {view.place} in the queue")
    if facts.total_steps is not None:
        parts.append(f"step {facts.step or 0} of {facts.total_steps}")
    if facts.loss is not None:
        parts.append(f"loss {facts.loss:.4f}")
    if facts.eval_loss is not None:
        parts.append(f"eval loss {facts.eval_loss:.4f}")
    if facts.tokens_per_s is not None and job.status == "running":
        parts.append(f"{facts.tokens_per_s:,.0f} tokens/s")
    if view.eta_s is not None:
        parts.append(f"{view.eta_s:,.0f} s to go")
    if job.error is not None:
        parts.append(job.error)
    return ", ".join(parts)


def job_text(view: JobView) -> str:
    """Return a job for people."""
    commit = "none" if view.facts.committed is None else f"step {view.facts.committed}"
    lines = [
        progress_line(view),
        f"  newest checkpoint: {commit}",
        f"  log: {view.to_dict()['log']}",
    ]
    if view.facts.resumed_from is not None:
        lines.append(f"  went on from: {view.facts.resumed_from}")
    lines += [f"  warning: {warning}" for warning in view.facts.warnings]
    if view.mirror is not None:
        lines.append(f"  mirrored: {view.mirror.text}")
    if view.adapter is not None:
        lines.append(f"  use it as {view.adapter}")
    if view.is_resumable:
        lines.append(f"  go on with: python -m training jobs resume {view.job.id}")
    return "\n".join(lines)
