"""Scorer of tool calls: `tool_call_strict`, on abstention tasks `abstention`, and `bfcl_ast`.

`tool_call_strict` is 1.0 iff the calls are exactly the expected ones (`call_match`), each valid by
its tool's JSON Schema. Where no call is expected, only an answer without anything that looks like
a call is right: a broken call is not.

`bfcl_ast` stands beside it on samples of BFCL (`details.functions` and `details.category`). Its
calls come from the text as BFCL's prompt mode decodes it, or, for calls that came apart and for
strict JSON and tags, as its function-calling mode does.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.messages import JsonValue
from evals.calls import AnswerCalls, Call, read_answer
from evals.sample import Answer, Sample, Score, Scorer
from evals.scorers.bfcl import Entry
from evals.scorers.bfcl_decode import DecodedCall, decode_arguments, decode_prompt
from evals.scorers.call_match import SEVERITY, CallFault, matching
from evals.scorers.call_target import Target, target_of

STRICT, BFCL, ABSTENTION = "tool_call_strict", "bfcl_ast", "abstention"
SHOWN_CALLS, SHOWN_CHARACTERS = 20, 2000
"""What the notes keep of an answer: calls, and characters of each one's arguments."""


@dataclass(frozen=True, slots=True)
class ToolCallScorer:
    """Judges the calls of an answer.

    Failure labels: `abstained` and `malformed`, where calls are expected; `format`, where they
    could be read only after repairs; `extra_call`, where all expected calls are there and others;
    `wrong_count`; `wrong_name`, `missing_argument`, `unexpected_argument`, `wrong_type`,
    `wrong_value`, `invalid_by_schema` of the call that is nearest to right; `called_needlessly`;
    and `bfcl_...`, where only BFCL finds something wrong.
    """

    def __call__(self, sample: Sample, answer: Answer) -> Score:
        """Return the score; the notes hold the calls that were read.

        Raises:
            ScoringError: the target is none of tool calls, or a tool's schema can't be used.
        """
        target = target_of(sample)
        names = [*target.tools, *target.dotted]
        reading = _renamed(read_answer(answer.text, answer.tool_calls or (), names), target)
        fault = _fault(target, reading)
        is_repair = bool(reading.repairs and target.calls)
        values = {STRICT: float(fault is None and not is_repair)}
        repaired = {STRICT: float(fault is None)} if is_repair else {}
        notes = _notes(reading)
        if is_repair:
            notes["repaired_failure"] = fault
        if not target.calls:
            values[ABSTENTION] = values[STRICT]
        failure = "format" if is_repair else fault
        if target.bfcl:
            bfcl_fault, marks = _bfcl(target, target.bfcl, answer, reading)
            values[BFCL] = float(bfcl_fault is None)
            repaired.update(marks)
            notes["bfcl"] = bfcl_fault
            failure = failure or (f"bfcl_{bfcl_fault}" if bfcl_fault else None)
        return Score(values, repaired, failure, notes=notes)


def tool_calls() -> Scorer:
    """Return the scorer of tool calls."""
    return ToolCallScorer()


def _fault(target: Target, reading: AnswerCalls) -> str | None:
    """Return what is wrong with the calls as they were read, after repairs if need be."""
    if not target.calls:
        labels = {"abstained": None, "malformed": "malformed", "called": "called_needlessly"}
        return labels[reading.outcome]
    if reading.outcome != "called":
        return reading.outcome
    return _calls_fault(target, reading.calls)


def _calls_fault(target: Target, calls: Sequence[Call]) -> str | None:
    faults = [[each.fault(call, target.is_valid) for call in calls] for each in target.calls]
    row_of = matching([[fault is None for fault in row] for row in faults])
    missing = [row for row in range(len(target.calls)) if row not in row_of.values()]
    if not missing and len(calls) == len(target.calls):
        return None
    if len(calls) != len(target.calls):
        return "wrong_count" if missing else "extra_call"
    unused = [column for column in range(len(calls)) if column not in row_of]
    return _nearest([faults[missing[0]][column] for column in unused])


def _nearest(faults: Sequence[CallFault | None]) -> CallFault:
    """Return the fault of the call that is nearest to right."""
    return min((fault for fault in faults if fault), key=SEVERITY.index)


def _renamed(reading: AnswerCalls, target: Target) -> AnswerCalls:
    """Return the calls by the names that the tools are offered with."""
    calls = tuple(
        replace(call, name=target.dotted.get(call.name, call.name)) for call in reading.calls
    )
    return replace(reading, calls=calls)


def _bfcl(
    target: Target, entry: Entry, answer: Answer, reading: AnswerCalls
) -> tuple[str | None, dict[str, float]]:
    """Return what BFCL finds wrong, and the mark after repairs where it could read nothing."""
    if answer.tool_calls:
        return entry.fault(_offered(decode_arguments(answer.tool_calls), target)), {}
    decoded = _offered(decode_prompt(answer.text), target)
    calls = tuple(DecodedCall(call.name, call.arguments) for call in reading.calls)
    if decoded is None and reading.form in ("tags", "json"):
        decoded = calls
    repaired = {BFCL: float(entry.fault(calls) is None)} if decoded is None and calls else {}
    return entry.fault(decoded), repaired


def _offered(
    decoded: Sequence[DecodedCall] | None, target: Target
) -> tuple[DecodedCall, ...] | None:
    """Return decoded calls by the names that the tools are offered with."""
    if decoded is None:
        return None
    return tuple(replace(call, name=target.dotted.get(call.name, call.name)) for call in decoded)


def _notes(reading: AnswerCalls) -> dict[str, JsonValue]:
    notes: dict[str, JsonValue] = {"outcome": reading.outcome, "form": reading.form}
    notes["calls"] = [_shown(call) for call in reading.calls[:SHOWN_CALLS]]
    if reading.repairs:
        notes["repairs"] = list(reading.repairs)
    if reading.problem:
        notes["problem"] = reading.problem
    return notes


def _shown(call: Call) -> JsonValue:
    """Return a call with its arguments as JSON text: their numbers may be too long for a reader."""
    text = json.dumps(call.arguments, ensure_ascii=False)
    return {"name": call.name[:SHOWN_CHARACTERS], "arguments": text[:SHOWN_CHARACTERS]}
