"""Formats `prompt_completion`, `alpaca` and `gsm8k`: what is asked and what should be answered.

    {"prompt": "...", "completion": "..."}
    {"instruction": "...", "input": "...", "output": "...", "history": [["...", "..."]]}
    {"question": "...", "answer": "..."}

Alpaca's input follows its instruction on a new line, as LLaMA-Factory writes it.
"""

from collections.abc import Sequence

from core.errors import InputError
from core.messages import JsonObject, JsonValue
from core.rows.records import Record, json_cell, text_of
from core.rows.turns import openai_turn, turns_of
from training.datasets.formats.chats import common


def from_prompt_completion(record: Record) -> JsonObject:
    """Return the row of a prompt and its completion, as texts or as lists of messages.

    Raises:
        InputError: one of them is missing or empty, or they are of different kinds.
    """
    given = record.value
    if isinstance(given.get("label"), bool):
        raise InputError("label says whether the completion is a good one; name the other format")
    row = common(record)
    row["messages"] = [*asked(given), *answered(given.get("completion"), "completion")]
    return row


def from_alpaca(record: Record) -> JsonObject:
    """Return the row of an instruction with its input, output, system text and history.

    Raises:
        InputError: instruction or output is missing or empty, or the history is no list of pairs.
    """
    given = record.value
    text, more = text_of(given, "instruction"), given.get("input")
    if isinstance(more, str) and more.strip():
        text = f"{text}\n{more}"
    system = given.get("system")
    turns = [_said("system", system)] if system else []
    turns += [turn for pair in _history(given.get("history")) for turn in pair]
    row = common(record)
    row["messages"] = [*turns, _said("user", text), _said("assistant", text_of(given, "output"))]
    return row


def from_gsm8k(record: Record) -> JsonObject:
    """Return the row of a question and its worked answer.

    Raises:
        InputError: one of them is missing or empty.
    """
    row = common(record)
    question, answer = text_of(record.value, "question"), text_of(record.value, "answer")
    row["messages"] = [_said("user", question), _said("assistant", answer)]
    return row


def asked(given: JsonObject) -> list[JsonObject]:
    """Return the turns of a prompt, which is a text or a list of messages.

    Raises:
        InputError: it is missing or empty, or no messages.
    """
    prompt = given.get("prompt")
    if isinstance(prompt, list):
        return [openai_turn(turn) for turn in turns_of(prompt)]
    return [_said("user", text_of(given, "prompt"))]


def answered(answer: JsonValue, what: str) -> list[JsonObject]:
    """Return the turns of an answer, which is a text or a list of messages.

    Raises:
        InputError: it is missing or empty, or no messages.
    """
    if isinstance(answer, list):
        return [openai_turn(turn) for turn in turns_of(answer)]
    if not isinstance(answer, str) or not answer.strip():
        raise InputError(f"{what} must be a text that is not empty")
    return [_said("assistant", answer)]


def _history(given: JsonValue) -> list[Sequence[JsonObject]]:
    pairs = json_cell(given or None)
    if pairs is None:
        return []
    if not isinstance(pairs, list):
        raise InputError("history must be a list of pairs of texts")
    return [_pair(pair) for pair in pairs]


def _pair(pair: JsonValue) -> tuple[JsonObject, JsonObject]:
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(p, str) for p in pair):
        raise InputError("history must be a list of pairs of texts")
    return _said("user", pair[0]), _said("assistant", pair[1])


def _said(role: str, text: JsonValue) -> JsonObject:
    return {"role": role, "content": text}
