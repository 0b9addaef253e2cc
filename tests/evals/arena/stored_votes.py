"""Votes as the store keeps them, many at once, with no model behind them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert

from core.messages import GenerationParams, Message, new_id
from core.outcomes import Outcome
from core.store import Store
from core.store.battle_records import Arm, NewBattle
from core.store.battle_rows import battle_values, side_values
from core.store.battle_tables import battle_sides, battles, votes
from evals.ratings import Battle

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
PARAMS = GenerationParams()
clock = itertools.count()


@dataclass(frozen=True)
class Cast:
    """One vote."""

    a: str
    b: str
    outcome: Outcome
    prompt: str = "Good evening"
    experiment: str | None = None
    source: str = "person"
    excluded: str | None = None
    at: datetime | None = None
    """None: a second after the one before."""
    lengths: tuple[int, int] = (10, 10)
    digests: tuple[str, str] | None = None
    took: dict[str, Any] | None = None
    """Columns of both sides: tokens, cost, times."""


def fill(store: Store, cast: Sequence[Cast]) -> None:
    """Store complete battles with these votes."""
    rows = [_rows(each) for each in cast]
    with store.write() as connection:
        connection.execute(insert(battles), [row[0] for row in rows])
        connection.execute(insert(battle_sides), [side for row in rows for side in row[1]])
        connection.execute(insert(votes), [row[2] for row in rows])


def _rows(each: Cast) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    at = each.at or BEGAN + timedelta(seconds=next(clock))
    digests = each.digests or (f"sha256:{each.a}", f"sha256:{each.b}")
    arms = [Arm(model, digest) for model, digest in zip((each.a, each.b), digests, strict=True)]
    new = NewBattle(
        voter="nobody",
        messages=(Message("user", each.prompt),),
        params=PARAMS,
        a=arms[0],
        b=arms[1],
        source=each.source,
        experiment=each.experiment,
    )
    name = new_id()
    battle = {"id": name, "created_at": at, "status": "complete", "process": "", "ended_at": at}
    nothing = dict.fromkeys(
        ("input_tokens", "output_tokens", "cost_usd", "first_token_s", "queue_s", "total_s")
    )
    sides = [
        {
            **nothing,
            **side_values(side, arm),
            "battle_id": name,
            "length": size,
            **(each.took or {}),
        }
        for side, arm, size in zip("ab", arms, each.lengths, strict=True)
    ]
    vote = {
        "battle_id": name,
        "outcome": each.outcome,
        "reasons": [],
        "voted_at": at,
        "excluded_because": each.excluded,
    }
    return {**battle, **battle_values(new)}, sides, vote


def planted(
    rng: np.random.Generator, strengths: Sequence[float], many: int, prompts: int, ties: float = 0.2
) -> list[Battle]:
    """Return battles of models `m0`, `m1`... with these logits.

    `ties` is the share between equal models; with them the points expected are still the logits'.
    """
    theta = np.array(strengths)
    first = rng.integers(len(theta), size=many)
    second = (first + rng.integers(1, len(theta), size=many)) % len(theta)
    points = 1 / (1 + np.exp(theta[second] - theta[first]))
    tie = 4 * ties * points * (1 - points)
    drawn = rng.random(many)
    is_won, is_tie = drawn < points - tie / 2, drawn > 1 - tie
    asked = rng.integers(prompts, size=many)
    outcomes = np.where(is_tie, "tie", np.where(is_won, "model_a", "model_b"))
    columns = (asked.tolist(), first.tolist(), second.tolist(), outcomes.tolist())
    return [
        Battle(f"prompt {p}", f"m{a}", f"m{b}", outcome)
        for p, a, b, outcome in zip(*columns, strict=True)
    ]


def casts(found: Sequence[Battle]) -> list[Cast]:
    """Return the battles as votes."""
    return [Cast(each.model_a, each.model_b, each.outcome, each.prompt_id) for each in found]
