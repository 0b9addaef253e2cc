"""The target as its own answer: what a model that is always right would say.

A grader that does not give it 1.0 is broken, or the sample is; tests hold every task to that.
"""

import json
from collections.abc import Callable, Mapping, Sequence

from core.errors import ScoringError
from core.messages import JsonValue, ToolCall
from evals.sample import Answer, Sample
from evals.task import Task

ABSTENTION = "None of the tools fits this request."


def ideal_answer(sample: Sample, task: Task) -> Answer:
    """Return the sample's target in the form that the task's scorer takes.

    Raises:
        ScoringError: the scorer's samples have no ideal answer (IFEval's, a judge's).
    """
    render = RENDERERS.get(task.scorer)
    if render is None:
        raise ScoringError(
            f"scorer {task.scorer!r} knows no ideal answer; those of {', '.join(RENDERERS)} have"
        )
    return render(sample)


def _text(sample: Sample) -> Answer:
    """Return a target that is a text or a list of accepted ones."""
    target = sample.target
    first = target[0] if isinstance(target, Sequence) and not isinstance(target, str) else target
    return Answer(first if isinstance(first, str) else _dumped(first))


def _json(sample: Sample) -> Answer:
    return Answer(_dumped(sample.target))


def _calls(sample: Sample) -> Answer:
    """Return calls with the first allowed value of every argument; a refusal where none fits."""
    from evals.scorers.call_target import target_calls, target_of

    calls = target_calls(target_of(sample))
    if not calls:
        return Answer(ABSTENTION, ())
    return Answer(
        "",
        tuple(
            ToolCall(f"call_{number}", call.name, _dumped(call.arguments))
            for number, call in enumerate(calls)
        ),
    )


def _cited(sample: Sample) -> Answer:
    """Return the first accepted answer with the words around it as the quote."""
    answer = _text(sample).text
    documents = sample.details.get("documents")
    for name, text in documents.items() if isinstance(documents, Mapping) else ():
        if answer in str(text):
            cited = {"document": name, "quote": whole_words(answer, str(text))}
            return Answer(_dumped({"answer": answer, "citations": [cited]}))
    raise ScoringError(f"the target of sample {sample.id!r} stands in none of its documents")


def whole_words(span: str, text: str) -> str:
    """Return the first place of a span in a text, widened until it cuts no word."""
    start = text.index(span)
    end = start + len(span)
    while start > 0 and text[start - 1].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum():
        end += 1
    return text[start:end]


def _dumped(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False)


RENDERERS: Mapping[str, Callable[[Sample], Answer]] = {
    "tool_calls": _calls,
    "fields": _json,
    "schema_valid": _json,
    "json_valid": _json,
    "constraints": _json,
    "style": _text,
    "routing": _text,
    "gsm8k": _text,
    "citations": _cited,
    "exact": _text,
}
"""Scorer to what makes its ideal answer."""
