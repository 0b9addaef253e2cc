"""What many battles say together: queries that stay fast with tens of thousands of them."""

from collections import Counter
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, func, select

from core.observe.liveness import has_ended
from core.outcomes import OUTCOMES
from core.store.battle_records import EXCLUSIONS, BattleCounts, Measured, RatedBattle, Source
from core.store.battle_tables import battle_sides, battles, votes

a, b = battle_sides.alias("a"), battle_sides.alias("b")
BOTH = battles.join(a, (a.c.battle_id == battles.c.id) & (a.c.side == "a")).join(
    b, (b.c.battle_id == battles.c.id) & (b.c.side == "b")
)
"""Each battle with both its sides."""


def rated(
    connection: Connection, source: Source, experiment: str | None = None
) -> list[RatedBattle]:
    """Return the counted votes, oldest first."""
    query = (
        select(
            battles.c.id,
            battles.c.prompt,
            a.c.model,
            b.c.model,
            votes.c.outcome,
            a.c.length,
            b.c.length,
            votes.c.voted_at,
            a.c.digest,
            b.c.digest,
        )
        .select_from(BOTH.join(votes, votes.c.battle_id == battles.c.id))
        .where(votes.c.excluded_because.is_(None))
        .order_by(votes.c.voted_at, battles.c.id)
    )
    rows = connection.execute(query.where(*_chosen(source, experiment)))
    return [RatedBattle._make(row) for row in rows]


def measured(
    connection: Connection, source: Source, experiment: str | None = None
) -> list[Measured]:
    """Return what each side of each battle with a vote took.

    Before its vote a battle must not show in any figure: the step in an arm's mean would tell its
    visitor which model was on which side.
    """
    query = (
        select(*[battle_sides.c[name] for name in Measured._fields])
        .join(battles, battles.c.id == battle_sides.c.battle_id)
        .join(votes, votes.c.battle_id == battles.c.id)
    )
    rows = connection.execute(query.where(*_chosen(source, experiment)))
    return [Measured._make(row) for row in rows]


def counts(connection: Connection, source: Source, experiment: str | None = None) -> BattleCounts:
    """Return how many battles and votes there are."""
    by_status = select(battles.c.status, func.count()).group_by(battles.c.status)
    said = (
        select(votes.c.excluded_because, votes.c.outcome, func.count())
        .join(battles, battles.c.id == votes.c.battle_id)
        .group_by(votes.c.excluded_because, votes.c.outcome)
    )
    chosen = _chosen(source, experiment)
    statuses = {row[0]: int(row[1]) for row in connection.execute(by_status.where(*chosen))}
    cut_off = _cut_off(connection, source, experiment)
    outcomes, excluded = Counter[str](), Counter[str]()
    for reason, outcome, number in connection.execute(said.where(*chosen)):
        (outcomes if reason is None else excluded)[reason or outcome] += number
    return BattleCounts(
        begun=statuses.get("begun", 0) - cut_off,
        cut_off=cut_off,
        failed=statuses.get("failed", 0),
        complete=statuses.get("complete", 0),
        counted=outcomes.total(),
        outcomes={outcome: outcomes[outcome] for outcome in OUTCOMES},
        excluded={reason: excluded[reason] for reason in EXCLUSIONS if excluded[reason]},
    )


def met(connection: Connection) -> Counter[frozenset[str]]:
    """Return how many complete battles of people each two models have had."""
    query = (
        select(a.c.model, b.c.model, func.count())
        .select_from(BOTH)
        .where(battles.c.source == "person", battles.c.status == "complete")
        .group_by(a.c.model, b.c.model)
    )
    found = Counter[frozenset[str]]()
    for one, other, number in connection.execute(query):
        found[frozenset((one, other))] += number
    return found


def judged(connection: Connection, voter: str, task: str) -> set[tuple[str, str, str]]:
    """Return item, first and second model of each battle on the task that a judge voted on."""
    query = (
        select(battles.c.item, a.c.model, b.c.model)
        .select_from(BOTH.join(votes, votes.c.battle_id == battles.c.id))
        .where(battles.c.source == "judge", battles.c.voter == voter, battles.c.task == task)
    )
    return {(item, one, other) for item, one, other in connection.execute(query)}


def _chosen(source: Source, experiment: str | None) -> list[ColumnElement[bool]]:
    by_source = battles.c.source == source
    return [by_source] if experiment is None else [by_source, battles.c.experiment == experiment]


def _cut_off(connection: Connection, source: Source, experiment: str | None) -> int:
    """Count battles that were being answered by processes that are gone."""
    query = select(battles.c.process, battles.c.started_at).where(
        battles.c.status == "begun", battles.c.started_at.is_not(None)
    )
    now = datetime.now(UTC)
    rows = connection.execute(query.where(*_chosen(source, experiment)))
    return sum(has_ended(process, now - started) for process, started in rows)
