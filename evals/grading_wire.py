"""What the grading pool and its workers say to each other: one line of JSON each, no pickle."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from core.messages import JsonObject, Message, Tool, ToolCall
from evals.sample import Answer, Sample, Score

FailureReason = Literal["sample", "timeout", "memory", "crashed", "bug"]
"""`sample`: the scorer says that the sample can't be judged. `bug`: the scorer itself failed."""


@dataclass(frozen=True, slots=True)
class GradingFailure:
    """An answer that could not be graded; it has no score, not even 0."""

    reason: FailureReason
    text: str
    """What happened, for people."""


@dataclass(frozen=True, slots=True)
class ScorerSpec:
    """A scorer by name, so that another process can make it."""

    name: str
    arguments: JsonObject
    """What it is made with."""
    registry: str = "evals.scorers"
    """Module whose `SCORERS` holds the name; never taken from a task's file."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What grading one answer may take."""

    seconds: float = 10.0
    """Wall time of one answer."""
    memory_bytes: int = 2 * 1024**3
    """Address space of one worker."""


def line(value: Mapping[str, Any]) -> bytes:
    """Return a value as one line; half surrogate pairs survive as escapes."""
    return json.dumps(value).encode("ascii") + b"\n"


def request_line(sample: Sample, answer: Answer) -> bytes:
    """Return what a worker is asked."""
    return line({"sample": asdict(sample), "answer": asdict(answer)})


def read_request(text: bytes) -> tuple[Sample, Answer]:
    """Read what `request_line` wrote."""
    value = json.loads(text)
    sample, answer = value["sample"], value["answer"]
    calls = answer["tool_calls"]
    return (
        Sample(
            **{
                **sample,
                "messages": tuple(map(_message, sample["messages"])),
                "tools": tuple(Tool(**tool) for tool in sample["tools"]),
            }
        ),
        Answer(answer["text"], None if calls is None else _calls(calls)),
    )


def score_reply(score: Score) -> bytes:
    """Return a worker's reply with a score.

    Raises:
        ValueError: a mark is outside 0.0 to 1.0, or the score is no JSON.
    """
    for name, mark in (*score.values.items(), *score.repaired.items()):
        if not 0.0 <= mark <= 1.0:
            raise ValueError(f"the mark {name!r} is {mark!r}, not between 0.0 and 1.0")
    return line({"score": asdict(score)})


def failure_reply(failure: GradingFailure) -> bytes:
    """Return a worker's reply without a score."""
    return line({"failure": asdict(failure)})


def read_reply(text: bytes) -> Score | GradingFailure:
    """Read what a worker replied."""
    value = json.loads(text)
    if "score" in value:
        return Score(**value["score"])
    return GradingFailure(**value["failure"])


def _message(value: dict[str, Any]) -> Message:
    return Message(**{**value, "tool_calls": _calls(value["tool_calls"])})


def _calls(values: list[dict[str, str]]) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(**call) for call in values)
