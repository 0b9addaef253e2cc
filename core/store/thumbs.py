"""What people thought of the answers of models in Chat, and what those answers took."""

import hashlib
import json
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
    given_by: str
    """Digest of what gave it, as `answering_digest` returns it."""
    liked: bool | None
    """The first thumb, whatever was made of it later; None: there was none."""
    place: int | None
    """Grows with the time of the first thumb, over all answers; None: there was none."""
    measured: Measured


def answering_digest(model: str, weights: str | None, adapter: str | None) -> str:
    """Return `sha256:...` over what an answer tells of who gave it.

    `model` is `MODEL` or `MODEL@VERSION`; the digests are those of a `Generation`. Of a server's
    model nothing but its id is known.
    """
    known = json.dumps([model, weights, adapter])
    return f"sha256:{hashlib.sha256(known.encode()).hexdigest()}"


def rated_answers(store: Store, model: str, since: datetime, until: datetime) -> list[RatedAnswer]:
    """Return a model's answers between two moments, in the order of their first thumbs.

    `model` is `MODEL` or `MODEL@VERSION`. Answers without a thumb come last. A thumb that was
    changed or taken back counts as it was given first, so what was counted once stays as it was.
    Answers from the cache have no timings: nothing was generated.
    """
    name, _, version = model.partition("@")
    thumbs = (
        select(feedback.c.message_id, func.min(feedback.c.id).label("first"))
        .where(feedback.c.created_at <= until, feedback.c.liked.is_not(None))
        .group_by(feedback.c.message_id)
        .subquery()
    )
    columns = (conversations.c.visitor, messages.c.generation, feedback.c.liked, thumbs.c.first)
    query = (
        select(*columns)
        .select_from(messages.join(conversations))
        .outerjoin(thumbs, thumbs.c.message_id == messages.c.id)
        .outerjoin(feedback, feedback.c.id == thumbs.c.first)
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
        given_by=answering_digest(
            model, facts["model"]["digest"], adapter["digest"] if adapter else None
        ),
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
