"""Experiments: made and ended by whoever the caller has checked to be an admin, read by everyone.

The plan is stored before the first item, and there is no way to change it. What came before the
plan, or after the end, is not counted.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from core.catalog import Catalog
from core.errors import ConflictError, InputError
from core.services import Services
from core.store import Store
from core.store.battle_records import Arm
from core.store.experiments import METRICS, Experiment, Metric, Plan, StoredExperiments
from core.store.thumbs import answering_digest
from evals.arena.costs import LocalRate
from evals.arena.draw import arm_of
from evals.arena.panel import Panel, make_panel
from evals.arena.results import Sources, results_of
from evals.arena.shown import Pair
from evals.bench import Bench
from evals.identity import identify
from evals.judge.candidates import Candidate, refuse_candidates
from evals.judge.rubric_files import load_rubric, rubric_folders
from evals.leaderboard_runs import RunIndex
from evals.manifest import Identity
from evals.task_files import load_task, samples_of

NEEDS: Mapping[Metric, tuple[str, ...]] = {
    "votes": (),
    "task": ("task",),
    "thumbs": (),
    "judge": ("task", "judge", "rubric"),
}
"""What a metric needs named besides the arms."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An experiment that somebody wants."""

    name: str
    arm_a: str
    """Catalog id."""
    arm_b: str
    metric: Metric
    plan: Plan
    task: str | None = None
    judge: str | None = None
    rubric: str | None = None


class Experiments:
    """The experiments of one Understudy; safe to share between threads."""

    def __init__(self, bench: Bench, store: Store) -> None:
        self._bench = bench
        self._stored = StoredExperiments(store)
        self._sources = Sources(store, RunIndex(bench.home), bench.home)

    @staticmethod
    def of(services: Services) -> "Experiments":
        """Return the experiments of a running Understudy."""
        return Experiments(Bench.of(services), services.store)

    def make(self, asked: Asked) -> Experiment:
        """Store the plan and begin; weights that are not on this disk are fetched.

        Raises:
            InputError: the name or a value is impossible, both arms are the same weights, the
                judge is an arm, or the task has fewer items than the plan.
            ConflictError: there is an experiment of this name.
            AppError: an arm, the task, the judge or the rubric does not exist or can't be read.
        """
        _check(asked)
        _check_thumbs(self._bench.catalog, asked)
        home = self._bench.home
        arm_a, arm_b = self._arms(asked)
        if asked.task is not None:
            _check_size(asked.task, asked.plan, home)
        if asked.judge is not None and asked.rubric is not None:
            self._check_judge(asked.judge, asked.rubric, (asked.arm_a, asked.arm_b), home)
        new = Experiment(
            name=asked.name,
            arm_a=arm_a,
            arm_b=arm_b,
            metric=asked.metric,
            plan=asked.plan,
            task=asked.task,
            judge=asked.judge,
            rubric=asked.rubric,
            made_at=datetime.now(UTC),
        )
        self._stored.add(new)
        return new

    def end(self, name: str) -> Experiment:
        """End an experiment; its panel is kept as it is now, and nothing changes it any more.

        Raises:
            NotFoundError: there is none of this name.
            ConflictError: it has ended already.
            StorageError: the store or a run can't be read.
        """
        experiment = self._stored.get(name)
        if not experiment.is_running:
            raise ConflictError(f"experiment {name!r} has ended already, and that is final")
        now = datetime.now(UTC)
        return self._stored.end(name, now, self._live(experiment, now).result())

    def list(self) -> tuple[Experiment, ...]:
        """Return all experiments, the newest first."""
        return self._stored.list()

    def get(self, name: str) -> Experiment:
        """Return an experiment.

        Raises:
            NotFoundError: there is none of this name.
        """
        return self._stored.get(name)

    def panel(self, name: str, rates: Mapping[str, LocalRate] | None = None) -> Panel:
        """Return what is known of an experiment; of an ended one, what was known at its end.

        `rates` says what the machines of local arms cost, by arm.

        Raises:
            NotFoundError: there is none of this name.
            InputError: a rate is for what is no arm, or for an arm that runs elsewhere.
            StorageError: the store or a run can't be read.
        """
        experiment = self._stored.get(name)
        if experiment.result is None:
            panel = self._live(experiment, datetime.now(UTC))
        else:
            panel = Panel.of_result(experiment, experiment.result)
        _check_rates(panel, rates or {})
        return panel.with_rates(rates or {})

    def running_pair(self) -> Pair | None:
        """Return the arms of a running experiment that still takes votes; of several one is drawn.

        One with a fixed n takes no more than n.
        """
        running = [each for each in self._stored.running("votes") if self._is_open(each)]
        if not running:
            return None
        one = random.SystemRandom().choice(running)
        return Pair(one.name, (one.arm_a.model, one.arm_b.model))

    def _is_open(self, experiment: Experiment) -> bool:
        n = experiment.plan.n
        return n is None or self._stored.votes(experiment) < n

    def _live(self, experiment: Experiment, now: datetime) -> Panel:
        results = results_of(self._sources, experiment, now)
        return make_panel(self._bench.catalog, experiment, results)

    def _arms(self, asked: Asked) -> tuple[Arm, Arm]:
        """Return both arms by what names them in the results: battles, runs, or answers in Chat.

        Two ids of the same weights and adapter are refused, however they are run.
        """
        gateway = self._bench.gateway
        one, other = (identify(gateway, arm) for arm in (asked.arm_a, asked.arm_b))
        a, b = (arm_of(gateway.traffic, arm) for arm in (asked.arm_a, asked.arm_b))
        weights = one.model_digest, one.adapter_digest
        is_same = weights == (other.model_digest, other.adapter_digest) and weights[0] is not None
        if is_same or one.served == other.served or a.digest == b.digest:
            raise InputError(
                f"{asked.arm_a!r} and {asked.arm_b!r} are the same weights and adapter; choose two "
                "arms that differ"
            )
        if asked.metric == "task":
            return replace(a, digest=one.served), replace(b, digest=other.served)
        if asked.metric == "thumbs":
            return _answering(a, one), _answering(b, other)
        return a, b

    def _check_judge(self, judge: str, rubric: str, arms: tuple[str, str], home: Path) -> None:
        load_rubric(rubric, rubric_folders(home))
        gateway = self._bench.gateway
        found = [identify(gateway, arm) for arm in arms]
        digests = [tuple(d for d in (i.model_digest, i.adapter_digest) if d) for i in found]
        candidates = [Candidate(arm, known) for arm, known in zip(arms, digests, strict=True)]
        refuse_candidates(gateway.traffic, judge, candidates)


def _check(asked: Asked) -> None:
    if asked.metric not in METRICS:
        raise InputError(f"metric is {asked.metric!r}; choose one of: {', '.join(METRICS)}")
    if asked.arm_a == asked.arm_b:
        raise InputError(f"both arms are {asked.arm_a[:80]!r}; choose two different ones")
    needs = NEEDS[asked.metric]
    given = {"task": asked.task, "judge": asked.judge, "rubric": asked.rubric}
    for name, value in given.items():
        if name in needs and not value:
            raise InputError(f"an experiment on {asked.metric} needs a {name}")
        if name not in needs and value is not None:
            raise InputError(f"an experiment on {asked.metric} takes no {name}, got {value[:80]!r}")


def _answering(arm: Arm, found: Identity) -> Arm:
    """Return an arm by what its answers in Chat will tell of it."""
    digest = answering_digest(arm.model, found.model_digest, found.adapter_digest)
    return replace(arm, digest=digest)


def _check_size(task: str, plan: Plan, home: Path) -> None:
    """Refuse a number of items that the task has not."""
    size = len(samples_of(load_task(task, home)))
    if plan.n is not None and plan.n > size:
        raise InputError(
            f"task {task!r} has {size} items, and n is {plan.n}; choose n up to {size}"
        )


def _check_rates(panel: Panel, rates: Mapping[str, LocalRate]) -> None:
    """Refuse rates that could say nothing of an arm."""
    arms = {arm.model: arm for arm in panel.arms}
    for name in rates:
        if name not in arms:
            raise InputError(
                f"{name[:80]!r} is no arm of {panel.experiment.name!r}; its arms are: "
                f"{', '.join(arms)}"
            )
        if not arms[name].is_local:
            raise InputError(
                f"{name!r} does not run on this machine, and a rate is what this machine costs; "
                "give rates for local arms only"
            )


def _check_thumbs(catalog: Catalog, asked: Asked) -> None:
    """Refuse thumbs on what answers through other models: the answers are theirs."""
    mixed = [arm for arm in (asked.arm_a, asked.arm_b) if arm in _mixed(catalog)]
    if asked.metric == "thumbs" and mixed:
        raise InputError(
            f"{mixed[0]!r} is a chain or an ensemble, and thumbs are of single models; name one"
        )


def _mixed(catalog: Catalog) -> set[str]:
    return {*catalog.chains, *catalog.ensembles}
