"""Runs: planned, carried out in three stages, taken up again after whatever ended them.

A run is its folder. Nothing is held in memory that the folder does not have, so a kill costs the
answers that were under way and no others.
"""

import re
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from core.availability import availability_of
from core.errors import InputError, UnavailableError
from core.messages import GenerationParams
from evals.bench import Bench
from evals.dataset import dataset_digest
from evals.generate import LOCAL_REQUESTS, Asking, Helper
from evals.graders import grader_version
from evals.health import Health
from evals.identity import check_same, identify, is_local, versions
from evals.manifest import SAMPLING_TEMPERATURE, Manifest, RunConfig
from evals.plan import BATCH, batches, ordered
from evals.progress import Count, Watch
from evals.run_files import RunFolder, create_run
from evals.session import Session
from evals.task import Task
from evals.task_files import load_task, samples_of, task_digest


def plan_run(bench: Bench, config: RunConfig) -> RunFolder:
    """Write the manifest of a new run; no token is generated.

    Raises:
        InputError: model and task, or the config's values, do not go together.
        NotFoundError: there is no such task.
        AppError: the model is not in the catalog, or its weights can't be fetched or read.
    """
    _check_available(bench, config.model)
    task = load_task(config.task, bench.home)
    samples = ordered(samples_of(task), config.seed, config.limit)
    params = _params(task, config)
    _check(bench, config, params)
    now, identity = datetime.now(UTC), identify(bench.gateway, config.model)
    manifest = Manifest(
        run=_name(config, now),
        task=task.name,
        task_digest=task_digest(task),
        data_digest=dataset_digest(task.dataset),
        grader_version="",
        model=config.model,
        provider=identity.provider,
        model_digest=identity.model_digest,
        adapter_digest=identity.adapter_digest,
        served=identity.served,
        params=params.to_dict(),
        repeats=config.samples,
        items=tuple(sample.id for sample in samples),
        seed=config.seed,
        mode="deterministic" if config.is_deterministic else "free",
        plan=batches(samples) if config.is_deterministic else None,
        uses_cache=config.uses_cache,
        created_at=now.isoformat(),
        versions=versions(identity),
        device=identity.device,
        precision=identity.precision,
    )
    manifest = replace(manifest, grader_version=grader_version(bench, task, manifest))
    return create_run(bench.home, manifest)


def carry_out(
    bench: Bench, folders: Sequence[RunFolder], watch: Watch, helper: Helper | None = None
) -> list[dict[str, Any]]:
    """Generate what is missing, grade everything, and return the summaries.

    New runs and old ones are carried out alike: answers that are there stay, missing and failed
    ones are asked for. Several runs of one model share a pool: each run's requests follow the
    last one's without a gap, so that what begins alike stays together. A helper takes part of the
    requests of a local model, unless batches are planned.

    Raises:
        InputError: task, dataset, weights, or for planned batches anything else that answers
            depend on, is not what a run began with; or another process carries it out.
        StorageError: a run's files can't be read or written.
    """
    with ExitStack() as stack:
        count = Count(watch)
        sessions = [stack.enter_context(Session(bench, folder, watch, count)) for folder in folders]
        asking = _asking(bench, sessions, watch)
        for session in sessions:
            session.begin()
        if sessions[0].manifest.plan is None:
            asks = [ask for session in sessions for ask in session.asks()]
            local = is_local(bench.catalog, sessions[0].manifest.model)
            if local and helper is not None:
                asking.shared(asks, LOCAL_REQUESTS, helper)
            else:
                workers = LOCAL_REQUESTS if local else watch.concurrency
                asking.freely(asks, workers, alone_first=not local)
        else:
            asking.in_batches([unit for each in sessions for unit in each.units()], BATCH)
        ending = asking.gave_up or ("stopped" if watch.stop.is_set() else None)
        return [session.finish(ending) for session in sessions]


def grade(bench: Bench, folder: RunFolder) -> dict[str, Any]:
    """Grade the answers that a run has, nothing generated, and return the summary.

    Raises:
        InputError: task or dataset has changed, or another process carries the run out.
        ScoringError: its judge does not agree with the anchors.
        StorageError: the run's files can't be read or written.
    """
    watch, former = Watch(), folder.summary() or {"status": "stopped", "reason": None}
    with Session(bench, folder, watch, Count(watch)) as session:
        is_stopped = former["status"] == "stopped" and session.manifest.mode != "predictions"
        return session.finish("stopped" if is_stopped else former["reason"])


def _asking(bench: Bench, sessions: Sequence[Session], watch: Watch) -> Asking:
    """Check that the runs go together and that their model is what it was."""
    first = sessions[0].manifest
    for other in (session.manifest for session in sessions):
        if (other.model, other.served) != (first.model, first.served) or other.mode != first.mode:
            raise InputError(f"{first.run!r} and {other.run!r} can't share a pool; run them apart")
    identity = identify(bench.gateway, first.model)
    check_same(first, identity)
    by_run = {session.manifest.run: session for session in sessions}
    health = Health(bench.gateway.traffic.breaker, bench.catalog.resolve(first.model))
    return Asking(
        bench.gateway, health, watch.stop, lambda pairs: by_run[pairs[0][0].run].take(pairs)
    )


def _params(task: Task, config: RunConfig) -> GenerationParams:
    """Return the task's parameters with what the config puts in their place."""
    params = task.params
    if config.temperature is not None:
        params = replace(params, temperature=config.temperature)
    elif config.samples > 1 and params.temperature == 0:
        params = replace(params, temperature=SAMPLING_TEMPERATURE)
    if config.max_tokens is not None:
        params = replace(params, max_tokens=config.max_tokens)
    return replace(params, seed=config.seed) if params.temperature > 0 else params


def _check(bench: Bench, config: RunConfig, params: GenerationParams) -> None:
    """Refuse what could only fail later."""
    most = bench.catalog.limits.new_tokens
    if params.max_tokens > most:
        raise InputError(
            f"max_tokens is {params.max_tokens}, and the catalog's limits allow {most}; ask for "
            "fewer, or lay `limits: {new_tokens: ...}` over the catalog"
        )
    if config.samples > 1 and params.temperature == 0:
        raise InputError(
            "repeats of a greedy answer are the same answer; give a temperature above 0"
        )
    names = (*bench.catalog.chains, *bench.catalog.ensembles)
    if config.is_deterministic and (
        config.model in names or not is_local(bench.catalog, config.model)
    ):
        raise InputError(
            f"only a single local model's batches can be planned, and {config.model!r} is none"
        )


def _check_available(bench: Bench, model: str) -> None:
    """Refuse a model that lacks a key or its files; one that can be downloaded will be."""
    state = availability_of(bench.catalog, model)
    if not (state.is_ready or state.is_download):
        raise UnavailableError(f"{model!r} {state.reason}")


def _name(config: RunConfig, now: datetime) -> str:
    """Return a name that sorts by time, tells task and model, and is nobody else's."""
    parts = (now.strftime("%Y%m%d-%H%M%S"), config.task, config.model, secrets.token_hex(3))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(part[:60] for part in parts))
