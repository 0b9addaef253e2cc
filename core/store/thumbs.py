"""What people thought of the answers of models in Chat, and what those answers took."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select

from core.store.battle_records import Measured
from core.store.database import Store
from core.store.tables import conversations, feedback, messages


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """One answer of a model in Chat, also one that was withdrawn by a retry."""

    visitor: str
    digests: tuple[str | None, str | None]
    """Of the weights and of the adapter that gave it."""
    liked: bool | None
    """The newest thumb; None: there is none, or it was taken back."""
    place: int | None
    """Grows with the time of the first thumb, over all answers; None: there was none."""
    measured: Measured


def rated_answers(store: Store, model: str, since: datetime, until: datetime) -> list[RatedAnswer]:
    """Return a model's answers between two moments, in the order of their first thumbs.

    `model` is `MODEL` or `MODEL@VERSION`. Answers without a thumb come last. Answers from the cache
    have no timings: nothing was generated.
    """
    name, _, version = model.partition("@")
    thumbs = (
        select(
            feedback.c.message_id,
            func.min(feedback.c.id).label("first"),
            func.max(feedback.c.id).label("last"),
        )
        .where(feedback.c.created_at <= until)
        .group_by(feedback.c.message_id)
        .subquery()
    )
    columns = (conversations.c.visitor, messages.c.generation, feedback.c.liked, thumbs.c.first)
    query = (
        select(*columns)
        .select_from(messages.join(conversations))
        .outerjoin(thumbs, thumbs.c.message_id == messages.c.id)
        .outerjoin(feedback, feedback.c.id == thumbs.c.last)
        .where(messages.c.created_at >= since, messages.c.created_at <= until)
        .where(messages.c.generation.is_not(None), *_of(name, version))
        .order_by(thumbs.c.first.is_(None), thumbs.c.first, messages.c.created_at)
    )
    with store.read() as connection:
        rows = connection.execute(query).all()
    return [_answer(model, *row) for row in rows]


def _of(name: str, version: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    adapter = messages.c.generation[("adapter", "id")].as_string()
    is_adapter = adapter == version if version else adapter.is_(None)
    return messages.c.generation[("model", "id")].as_string() == name, is_adapter


def _answer(
    model: str, visitor: str, facts: Mapping[str, Any], liked: bool | None, place: int | None
) -> RatedAnswer:
    adapter = facts["adapter"]
    return RatedAnswer(
        visitor=visitor,
        digests=(facts["model"]["digest"], adapter["digest"] if adapter else None),
        liked=liked,
        place=place,
        measured=_measured(model, facts),
    )


def _measured(model: str, facts: Mapping[str, Any]) -> Measured:
    usage, timings = facts["usage"], facts["timings"]
    is_new = facts["cache"] != "hit"
    saved = facts.get("saved")
    return Measured(
        model=model,
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        cost_usd=facts["cost_usd"] if is_new else saved and saved["cost_usd"],
        queue_s=timings["queue_s"] if is_new else None,
        first_token_s=timings["first_token_s"] if is_new else None,
        total_s=timings["total_s"] if is_new else None,
        tokens_per_s=timings["tokens_per_s"] if is_new else None,
    )
