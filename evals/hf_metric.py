"""Our scorers as metrics of Hugging Face's `evaluate`; a module of `evals/metrics/` is one of them.

`evaluate.load("PROJECT/evals/metrics/NAME")` works offline and from any folder and script: a module
finds the project by that path. Predictions are the answers' texts. Answers are graded in processes
with limits, as in a run, so hostile ones can't hang or crash the caller.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import datasets
import evaluate  # type: ignore[import-untyped]  # the package has no types

from core.errors import InputError, ScoringError
from core.messages import JsonObject, JsonValue
from evals.dataset import sample_of
from evals.grading import GradingFailure, ScorerSpec, grade_all
from evals.sample import Answer, Grade, Sample
from evals.totals import estimate_of

References = Literal["none", "text", "schema", "row"]
EXPLAINED: Mapping[References, str] = {
    "none": "There are no references.",
    "text": "References are the targets, as texts.",
    "schema": "References are JSON Schemas, as JSON texts.",
    "row": "References are rows of a dataset without id and input, as JSON texts: "
    '{"target": ..., "tools": [...], "details": {...}}.',
}
MAX_LISTED = 3


class ScorerMetric(evaluate.Metric):  # type: ignore[misc]  # its base has no types
    """One scorer's marks over all samples; each module names its scorer and its metrics."""

    scorer: ClassVar[str]
    """Name in `evals.scorers.SCORERS`."""
    arguments: ClassVar[JsonObject] = {}
    metrics: ClassVar[tuple[str, ...]]
    """What `compute` returns, the module's own metric first."""
    references: ClassVar[References]
    citation: ClassVar[str] = ""

    def _info(self) -> Any:
        columns = {"predictions": datasets.Value("string")}
        if self.references != "none":
            columns["references"] = datasets.Value("string")
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation=self.citation,
            inputs_description=f"Predictions are texts. {EXPLAINED[self.references]}",
            features=datasets.Features(columns),
        )

    def compute(
        self,
        *,
        predictions: Sequence[str] | None = None,
        references: Sequence[str] | None = None,
        **others: Any,
    ) -> dict[str, float] | None:
        """Return the metrics, 0.0 to 1.0, and `n`; see `evaluate.Metric.compute`.

        Raises:
            InputError: a prediction is no text, or a reference is not what the module expects.
            ScoringError: an answer could not be graded; that is no 0, so there is no figure.
        """
        given: dict[str, Any] = {"predictions": _storable("prediction", predictions), **others}
        if self.references != "none":
            if predictions is not None and references is None:
                raise InputError(
                    f"{self.metrics[0]} needs references: {EXPLAINED[self.references]}"
                )
            given["references"] = _storable("reference", references)
        found: dict[str, float] | None = super().compute(**given)
        return found

    def _compute(
        self, predictions: Sequence[str], references: Sequence[str] | None = None
    ) -> dict[str, float]:
        said = [""] * len(predictions) if references is None else references
        samples = [self._sample(str(n), text) for n, text in enumerate(said)]
        pairs = zip(samples, samples, map(Answer, predictions), strict=True)
        grades, failures = list[Grade](), list[str]()
        for sample, score in grade_all(ScorerSpec(self.scorer, self.arguments), pairs):
            if isinstance(score, GradingFailure):
                failures.append(f"number {sample.id}: {score.text}")
            else:
                grades.append(Grade(sample.id, sample.group, score))
        if failures:
            listed = "; ".join(failures[:MAX_LISTED])
            raise ScoringError(f"{len(failures)} answers could not be graded: {listed}")
        found = {name: estimate_of(name, grades) for name in self.metrics}
        if grades and found[self.metrics[0]] is None:
            raise InputError(
                f"no reference has what {self.metrics[0]!r} judges by; give rows of a dataset that "
                "has this metric, such as `python -m evals import` writes"
            )
        return {name: one.value for name, one in found.items() if one} | {"n": len(grades)}

    def _sample(self, name: str, reference: str) -> Sample:
        row: dict[str, JsonValue] = {"id": name, "input": "-", "target": None}
        if self.references == "text":
            row["target"] = reference
        if self.references == "schema":
            row["details"] = {"schema": _json(name, reference)}
        if self.references == "row":
            members = _json(name, reference)
            if not isinstance(members, dict):
                raise InputError(f"reference number {name} is no JSON object")
            row.update(members)
        return sample_of(row)


def _json(name: str, text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"reference number {name} is no JSON: {error}") from error
    return value


def _storable(what: str, texts: Sequence[str] | None) -> list[str] | None:
    """Return texts that Arrow can hold: without halves of surrogate pairs."""
    if texts is None:
        return None
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"{what} number {number} must be a text, got {str(text)[:40]!r}")
    return [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
