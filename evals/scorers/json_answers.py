"""Marks for answers that are to be JSON: valid as a document, and valid by a schema."""

from dataclasses import dataclass

from core.errors import ScoringError
from core.json_text import JsonFailure
from core.messages import JsonObject
from evals.sample import Answer, Sample, Score, Scorer
from evals.schema_check import schema_errors
from evals.strict_json import Kind, Reading, check_kind, is_kind, read_json


def json_valid(kind: str = "any") -> Scorer:
    """Return a scorer of JSON validity; `kind` is the document asked for.

    Kinds: any, object, array. Marks: `json_valid` (the whole text is strict JSON) and
    `json_valid_fenced` (that, or what stands in its only code fence is). Repaired: what a lenient
    reader finds.

    Raises:
        InputError: there is no such kind.
    """
    return JsonValid(check_kind(kind))


def schema_valid(kind: str = "any") -> Scorer:
    """Return a scorer that adds `schema_valid` by the schema in the sample's `details.schema`.

    Raises:
        InputError: there is no such kind.
    """
    return SchemaValid(check_kind(kind))


@dataclass(frozen=True, slots=True)
class JsonValid:
    """Is the answer the JSON document that was asked for?"""

    kind: Kind

    def __call__(self, sample: Sample, answer: Answer) -> Score:  # noqa: ARG002  the protocol's
        """Return the marks of JSON validity; never raises."""
        read = read_json(answer.text)
        failure = format_failure(read, self.kind)
        return Score(
            values=validity(read, self.kind),
            repaired={"json_valid": float(failure not in ("not_json", "wrong_kind"))},
            failure=failure,
            notes=reading_notes(read),
        )


@dataclass(frozen=True, slots=True)
class SchemaValid:
    """Does the answer's JSON follow the sample's schema?"""

    kind: Kind

    def __call__(self, sample: Sample, answer: Answer) -> Score:
        """Return the marks.

        Raises:
            ScoringError: the sample has no usable schema.
        """
        if "schema" not in sample.details:
            raise ScoringError(f"sample {sample.id!r} has no schema; put one in details.schema")
        # Checked for unreadable answers too, so that a bad sample fails whatever the model says.
        value = None
        read = read_json(answer.text)
        failure = format_failure(read, self.kind)
        if isinstance(read, Reading):
            value = read.value
        errors = schema_errors(value, sample.details["schema"])
        is_readable = failure not in ("not_json", "wrong_kind")
        is_good = is_readable and not errors
        marks = validity(read, self.kind)
        if is_readable and errors:
            failure = "schema_mismatch"
        return Score(
            values={**marks, "schema_valid": marks["json_valid"] * is_good},
            repaired={"json_valid": float(is_readable), "schema_valid": float(is_good)},
            failure=failure,
            notes={**reading_notes(read), "errors": list(errors) if is_readable else []},
        )


def validity(read: Reading | JsonFailure, kind: Kind) -> dict[str, float]:
    """Return the marks `json_valid` and `json_valid_fenced`."""
    if isinstance(read, JsonFailure) or not is_kind(read.value, kind):
        return {"json_valid": 0.0, "json_valid_fenced": 0.0}
    is_raw = read.level == "raw"
    return {
        "json_valid": float(is_raw),
        "json_valid_fenced": float(is_raw or read.level == "fenced"),
    }


def format_failure(read: Reading | JsonFailure, kind: Kind) -> str | None:
    """Return what is wrong with the answer as a document, None when nothing is.

    `not_json`, `wrong_kind`, or what a lenient reader mends: `json_fenced`, `json_repairable`.
    """
    if isinstance(read, JsonFailure):
        return "not_json"
    if not is_kind(read.value, kind):
        return "wrong_kind"
    return {"raw": None, "fenced": "json_fenced", "repaired": "json_repairable"}[read.level]


def reading_notes(read: Reading | JsonFailure) -> JsonObject:
    """Return how the answer was read, for a person who looks at the item."""
    if isinstance(read, JsonFailure):
        return {"reason": read.reason}
    return {"read": read.level, "repairs": list(read.repairs)}
