"""What an import read and what it refused."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import ScoringError
from core.messages import GenerationParams, JsonValue
from core.rows.refusals import Refusal, Refusals
from evals.dataset import dataset_digest, row_text
from evals.importers.items import Imported, Item, Recipe
from evals.sample import Answer, Scorer
from evals.task import Task
from evals.task_scorer import scorer_of


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import read and what it refused."""

    name: str
    format: str
    task: Path
    dataset: Path
    scorer: str
    read: int
    """Rows that are now in the dataset."""
    refused: int
    groups: int
    """Different sources among the rows; what intervals are clustered by."""
    digest: str
    """`sha256:...` of the dataset."""
    reasons: Mapping[str, int] = field(hash=False)
    """How many rows were refused, by reason; most frequent first."""
    examples: tuple[Refusal, ...]
    """The first refused rows."""
    is_unchanged: bool
    """Whether the same task was there already."""

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the report as JSON."""
        return {
            "name": self.name,
            "format": self.format,
            "task": str(self.task),
            "dataset": str(self.dataset),
            "scorer": self.scorer,
            "read": self.read,
            "refused": self.refused,
            "groups": self.groups,
            "digest": self.digest,
            "reasons": dict(self.reasons),
            "examples": [example.to_dict() for example in self.examples],
            "is_unchanged": self.is_unchanged,
        }


class Tally:
    """Takes rows or refuses them; its memory grows by a number a row, not by the row.

    The first row decides how the task is asked and judged, and each must be one that its scorer
    can judge.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        """Of the dataset to be."""
        self.read = 0
        self.task: Task | None = None
        """None until a row was taken."""
        self.refusals = Refusals()
        self._recipe: Recipe | None = None
        self._score: Scorer | None = None
        self._ids: set[int] = set()
        self._groups: set[int] = set()

    def accepted(self, items: Iterator[Item]) -> Iterator[str]:
        """Yield the rows that are taken, as text."""
        for item in items:
            reason = item.reason if isinstance(item, Refusal) else self._objection(item)
            if reason is not None:
                self.refusals.add(Refusal(item.place, reason))
            elif isinstance(item, Imported):
                self.read += 1
                self._groups.add(_short(item.sample.group))
                yield row_text(item.sample)

    def report(self, format: str, task: Path, *, is_unchanged: bool) -> ImportReport:
        """Return what was counted, once the files are in place."""
        dataset = task.with_suffix(".jsonl")
        return ImportReport(
            name=task.stem,
            format=format,
            task=task,
            dataset=dataset,
            scorer=self.task.scorer if self.task else "",
            read=self.read,
            refused=self.refusals.total,
            groups=len(self._groups),
            digest=dataset_digest(dataset),
            reasons=dict(self.refusals.reasons.most_common()),
            examples=tuple(self.refusals.examples),
            is_unchanged=is_unchanged,
        )

    def _objection(self, item: Imported) -> str | None:
        if self._recipe is not None and item.recipe != self._recipe:
            return f"its answer is of kind {item.recipe.kind!r}, those before {self._recipe.kind!r}"
        task = self.task or task_of(item.recipe, self._path)
        score = self._score or scorer_of(task)
        try:
            score(item.sample, Answer(""))
        except ScoringError as error:
            return str(error)
        before = len(self._ids)
        self._ids.add(_short(item.sample.id))
        if len(self._ids) == before:
            return "its id stands on a row before"
        self._recipe, self.task, self._score = item.recipe, task, score
        return None


def task_of(recipe: Recipe, dataset: Path) -> Task:
    """Return the task that a recipe makes of a dataset."""
    return Task(
        name=dataset.stem,
        description="",
        dataset=dataset,
        system=recipe.system,
        scorer=recipe.scorer,
        arguments=recipe.arguments,
        metrics=recipe.metrics,
        params=GenerationParams(max_tokens=recipe.max_tokens),
        floor=None,
    )


def _short(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
