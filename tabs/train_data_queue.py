"""The queue of a review: which rows are shown, in which order, and what curating would do."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from training.datasets.findings import DEFECTS
from training.review import ReviewRow, decided

By = Literal["nobody", "rules", "you", "all"]
ROWS = 20
"""Of the queue, on one page."""


@dataclass(frozen=True, slots=True)
class ReviewView:
    """What of the queue is shown."""

    by: By = "nobody"
    defect: str = ""
    """Empty: any."""
    page: int = 1
    row: str = ""
    """Id of the row that is looked at; empty: none."""


def chosen_rows(rows: Sequence[ReviewRow], view: ReviewView) -> list[ReviewRow]:
    """Return the rows that the filters let through."""
    return [
        row
        for row in rows
        if view.by in ("all", row.by)
        if not view.defect or any(f.defect == view.defect for f in row.findings)
    ]


def row_after(rows: Sequence[ReviewRow], name: str) -> str:
    """Return the id of the row after this one, of the first at the end; empty: there is none."""
    ids = [row.id for row in rows]
    if name not in ids:
        return name
    following = [*ids[ids.index(name) + 1 :], *ids[: ids.index(name)]]
    return following[0] if following else name


def defect_choices(rows: Sequence[ReviewRow]) -> list[tuple[str, str]]:
    """Return the findings that rows can be filtered by."""
    found = {finding.defect for row in rows for finding in row.findings}
    return [("any finding", ""), *((d.replace("_", " "), d) for d in DEFECTS if d in found)]


def plan_of(rows: Sequence[ReviewRow]) -> str:
    """Return what curating would do."""
    done = Counter(row.decision.action for row in rows if row.decision)
    left = sum(row.decision is None for row in rows)
    waits = f" {left} that wait stay as they are." if left else ""
    return (
        f"A new version drops **{done['drop']}**, rewrites **{done['rewrite']}** and keeps "
        f"**{done['keep']}** of these rows.{waits}"
    )


def pages_of(chosen: Sequence[ReviewRow]) -> int:
    """Return how many pages these rows fill, at least 1."""
    return max(1, -(-len(chosen) // ROWS))


def who_choices(rows: Sequence[ReviewRow]) -> list[tuple[str, str]]:
    """Return by whom rows are decided, with numbers of rows."""
    counts = decided(rows)
    return [
        (f"wait for you ({counts['nobody']})", "nobody"),
        (f"decided by rules ({counts['rules']})", "rules"),
        (f"decided by you ({counts['you']})", "you"),
        (f"all ({len(rows)})", "all"),
    ]


def queue_of(rows: Sequence[ReviewRow], view: ReviewView) -> dict[str, Any]:
    """Return what `train_review.html` shows: a page of rows, each with its number among all."""
    numbers = {row.id: number for number, row in enumerate(rows)}
    chosen = chosen_rows(rows, view)
    shown = [
        {
            "id": row.id,
            "number": numbers[row.id],
            "decision": row.decision,
            "defects": list(dict.fromkeys(finding.defect for finding in row.findings)),
        }
        for row in chosen[(view.page - 1) * ROWS : view.page * ROWS]
    ]
    pages = pages_of(chosen)
    return {"rows": shown, "chosen": view.row, "page": view.page, "pages": pages}
