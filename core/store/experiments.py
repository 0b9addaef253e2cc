"""Experiments in the store: two arms and a plan, written before the first item.

Nothing but the end of an experiment is ever changed, and that only once; and the runs that decide
one on a task are written down once, when they are first used.
"""

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, get_args

from sqlalchemy import RowMapping, and_, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from core.errors import ConflictError, InputError, NotFoundError
from core.messages import JsonObject, JsonValue
from core.store.battle_figures import BOTH
from core.store.battle_figures import a as first
from core.store.battle_figures import b as second
from core.store.battle_records import Arm
from core.store.battle_tables import battles, votes
from core.store.database import Store
from core.store.experiment_tables import experiments

Metric = Literal["votes", "task", "thumbs", "judge"]
METRICS: tuple[Metric, ...] = get_args(Metric)
"""What decides: people's votes in battles, the marks of a task, thumbs in Chat, a judge's votes."""
PlanKind = Literal["fixed_n", "always_valid"]
PLANS: tuple[PlanKind, ...] = get_args(PlanKind)
"""`fixed_n`: one look, at the n-th item. `always_valid`: a look whenever one likes."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
FIXED_ALPHA = 0.05
"""The only alpha of `fixed_n`: all intervals of a fixed size are 95% ones."""
ALPHAS = (0.001, 0.2)
"""Least and largest alpha of `always_valid`."""
SMALLEST_DELTA = 0.01
FEWEST, MOST = 2, 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """When an experiment may be decided."""

    kind: PlanKind
    n: int | None = None
    """Items of `fixed_n`, 2 to 1,000,000."""
    alpha: float = FIXED_ALPHA
    """Probability that equal arms get a winner, 0.001 to 0.2; 0.05 for `fixed_n`."""
    delta: float = 0.0
    """Smallest difference of interest, 0.01 to 1.0: smaller ones are none; `fixed_n` may have 0."""

    def __post_init__(self) -> None:
        """Refuse a plan that can't be carried out."""
        if self.kind not in PLANS:
            raise InputError(f"plan is {self.kind!r}; choose one of: {', '.join(PLANS)}")
        has_delta = SMALLEST_DELTA <= self.delta <= 1.0
        if not has_delta and (self.kind == "always_valid" or self.delta != 0.0):
            raise InputError(
                f"delta, the smallest difference of interest, must be between {SMALLEST_DELTA} and "
                f"1.0, got {self.delta!r}"
            )
        if self.kind == "fixed_n":
            self._check_fixed()
        elif self.n is not None:
            raise InputError("an always_valid plan has no n: it ends when enough is known")
        elif not (math.isfinite(self.alpha) and ALPHAS[0] <= self.alpha <= ALPHAS[1]):
            raise InputError(
                f"alpha must be between {ALPHAS[0]} and {ALPHAS[1]}, got {self.alpha!r}"
            )

    def _check_fixed(self) -> None:
        if type(self.n) is not int or not FEWEST <= self.n <= MOST:
            raise InputError(
                f"a fixed_n plan needs n, the number of items, from {FEWEST} to {MOST}; "
                f"got {self.n!r}"
            )
        if self.alpha != FIXED_ALPHA:
            raise InputError(f"a fixed_n plan has alpha {FIXED_ALPHA}, got {self.alpha!r}")

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the plan as JSON."""
        return {"kind": self.kind, "n": self.n, "alpha": self.alpha, "delta": self.delta}


@dataclass(frozen=True, slots=True)
class Experiment:
    """A planned comparison of two arms."""

    name: str
    arm_a: Arm
    arm_b: Arm
    metric: Metric
    plan: Plan
    task: str | None
    """Whose items decide, for `task` and `judge`."""
    judge: str | None
    """Catalog id of the model that votes, for `judge`."""
    rubric: str | None
    """What it votes by."""
    made_at: datetime
    ended_at: datetime | None = None
    result: JsonObject | None = field(default=None, hash=False)
    """What was known at the end, as `Panel.to_dict` gave it."""
    runs: tuple[str, str] | None = None
    """Of a running one on a task: the runs of arm A and B that decide it, once both are there."""

    @property
    def is_running(self) -> bool:
        """Whether it still takes items."""
        return self.ended_at is None

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the experiment as JSON."""
        return {
            "name": self.name,
            "arm_a": _arm_to_dict(self.arm_a),
            "arm_b": _arm_to_dict(self.arm_b),
            "metric": self.metric,
            "plan": self.plan.to_dict(),
            "task": self.task,
            "judge": self.judge,
            "rubric": self.rubric,
            "made_at": self.made_at.isoformat(),
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
        }


class StoredExperiments:
    """The experiments in a store; every method raises StorageError when it can't be used."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, new: Experiment) -> None:
        """Store a new experiment.

        Raises:
            InputError: it can't have this name.
            ConflictError: there is one of this name, running or ended.
        """
        if not NAME.fullmatch(new.name):
            raise InputError(
                f"an experiment's name has 1 to 64 lower-case letters, digits, '-' and '_', and "
                f"begins with a letter or digit; got {new.name[:80]!r}"
            )
        try:
            with self._store.write() as connection:
                connection.execute(insert(experiments).values(**_row_of(new)))
        except IntegrityError as error:
            raise ConflictError(
                f"there is an experiment named {new.name!r} already; choose another name"
            ) from error

    def get(self, name: str) -> Experiment:
        """Return an experiment.

        Raises:
            NotFoundError: there is none of this name.
        """
        row = self._row(name) if NAME.fullmatch(name) else None
        if row is None:
            raise NotFoundError(f"no experiment named {name[:80]!r}")
        return _experiment(row)

    def _row(self, name: str) -> RowMapping | None:
        query = select(experiments).where(experiments.c.name == name)
        with self._store.read() as connection:
            return connection.execute(query).mappings().one_or_none()

    def list(self) -> tuple[Experiment, ...]:
        """Return all experiments, the newest first."""
        with self._store.read() as connection:
            query = select(experiments).order_by(experiments.c.made_at.desc(), experiments.c.name)
            return tuple(map(_experiment, connection.execute(query).mappings()))

    def running(self, metric: Metric) -> tuple[Experiment, ...]:
        """Return the experiments on a metric that still take items, the oldest first."""
        query = select(experiments).where(experiments.c.metric == metric)
        query = query.where(experiments.c.ended_at.is_(None))
        with self._store.read() as connection:
            rows = connection.execute(query.order_by(experiments.c.made_at)).mappings().all()
        return tuple(map(_experiment, rows))

    def choose_runs(self, name: str, runs: tuple[str, str]) -> tuple[str, str]:
        """Write down the runs that decide a running experiment; return the ones that do.

        Those are other ones where some were chosen before.

        Raises:
            NotFoundError: there is none of this name.
        """
        query = update(experiments).where(experiments.c.name == name)
        query = query.where(experiments.c.ended_at.is_(None), experiments.c.result.is_(None))
        with self._store.write() as connection:
            connection.execute(query.values(result={"runs": list(runs)}))
        return self.get(name).runs or runs

    def votes(self, experiment: Experiment) -> int:
        """Return how many votes of people count for an experiment: those on its planned weights."""
        planned = experiment.arm_a, experiment.arm_b
        sides = [
            and_(first.c.digest == one.digest, second.c.digest == other.digest)
            for one, other in (planned, planned[::-1])
        ]
        query = (
            select(func.count())
            .select_from(BOTH.join(votes, votes.c.battle_id == battles.c.id))
            .where(battles.c.experiment == experiment.name, battles.c.source == "person")
            .where(votes.c.excluded_because.is_(None), or_(*sides))
        )
        with self._store.read() as connection:
            return int(connection.scalars(query).one())

    def end(self, name: str, at: datetime, result: JsonObject) -> Experiment:
        """End an experiment for good, with what was known then.

        Raises:
            NotFoundError: there is none of this name.
            ConflictError: it has ended already.
        """
        self.get(name)
        query = update(experiments).where(experiments.c.name == name)
        with self._store.write() as connection:
            open_ones = query.where(experiments.c.ended_at.is_(None))
            ended = connection.execute(open_ones.values(ended_at=at, result=result))
        if not ended.rowcount:
            raise ConflictError(f"experiment {name!r} has ended already, and that is final")
        return self.get(name)


def _row_of(new: Experiment) -> dict[str, object]:
    return {
        "name": new.name,
        "model_a": new.arm_a.model,
        "digest_a": new.arm_a.digest,
        "adapter_a": new.arm_a.adapter,
        "model_b": new.arm_b.model,
        "digest_b": new.arm_b.digest,
        "adapter_b": new.arm_b.adapter,
        "metric": new.metric,
        "plan": new.plan.kind,
        "n": new.plan.n,
        "alpha": new.plan.alpha,
        "delta": new.plan.delta,
        "task": new.task,
        "judge": new.judge,
        "rubric": new.rubric,
        "made_at": new.made_at.astimezone(UTC),
    }


def _experiment(row: RowMapping) -> Experiment:
    is_running, kept = row["ended_at"] is None, row["result"]
    one, other = kept["runs"] if is_running and kept else (None, None)
    return Experiment(
        name=row["name"],
        arm_a=Arm(row["model_a"], row["digest_a"], row["adapter_a"]),
        arm_b=Arm(row["model_b"], row["digest_b"], row["adapter_b"]),
        metric=row["metric"],
        plan=Plan(row["plan"], row["n"], row["alpha"], row["delta"]),
        task=row["task"],
        judge=row["judge"],
        rubric=row["rubric"],
        made_at=row["made_at"],
        ended_at=row["ended_at"],
        result=None if is_running else kept,
        runs=(one, other) if one and other else None,
    )


def _arm_to_dict(arm: Arm) -> dict[str, JsonValue]:
    return {"model": arm.model, "digest": arm.digest, "adapter": arm.adapter}
