"""Formats `messages` (OpenAI, tools included) and `prompt_completion`.

With tools, the answer that counts is the last turn that calls any; an offer that is never taken up
is a sample to abstain from. Without tools it is the assistant's last turn. A group is what the row
names as one, else the row.
"""

from collections.abc import Sequence

from core.errors import InputError
from core.messages import JsonObject, JsonValue
from core.rows.records import Record, id_of, json_cell
from core.rows.turns import calls_of, openai_turn, read_call, turns_of, without_nulls
from evals.importers.items import Row
from evals.importers.recipes import RECORDS, TEXTS, TOOLS
from evals.importers.targets import check_calls, json_object


def from_messages(record: Record) -> Row:
    """Return the sample of a conversation: all before an assistant's turn, and that turn.

    Raises:
        InputError: the messages are not OpenAI's, or the assistant has no turn.
    """
    turns = turns_of(record.value.get("messages"))
    tools = json_cell(record.value.get("tools") or None)
    at = _answer_at(turns)
    row: dict[str, JsonValue] = {**_source(record), "input": [openai_turn(t) for t in turns[:at]]}
    if not tools:
        return _with_text(row, turns[at].get("content"))
    offered = without_nulls(tools)
    calls = [read_call(call) for call in calls_of(turns[at])]
    check_calls(calls, offered)
    return {**row, "tools": offered, "target": {"calls": calls}}, TOOLS


def from_prompt_completion(record: Record) -> Row:
    """Return the sample of a prompt and its completion, as texts or as lists of messages.

    Raises:
        InputError: one of them is missing, or they are of different kinds.
    """
    prompt, completion = record.value.get("prompt"), record.value.get("completion")
    if isinstance(prompt, list) and isinstance(completion, list):
        merged = {**record.value, "messages": [*prompt, *completion]}
        return from_messages(Record(record.place, record.number, merged))
    if not isinstance(prompt, str):
        raise InputError("prompt must be a text, or a list of messages as completion is")
    return _with_text({**_source(record), "input": prompt}, completion)


def _source(record: Record) -> dict[str, JsonValue]:
    """Return id and group."""
    source: dict[str, JsonValue] = {"id": id_of(record)}
    group = record.value.get("group")
    return source if group is None or group == "" else {**source, "group": group}


def _with_text(row: JsonObject, answer: JsonValue) -> Row:
    if not isinstance(answer, str) or not answer.strip():
        raise InputError("the answer must be a text that is not empty")
    record = json_object(answer)
    if record is not None:
        return {**row, "target": record}, RECORDS
    return {**row, "target": answer}, TEXTS


def _answer_at(turns: Sequence[JsonObject]) -> int:
    """Return the index of the turn that counts."""
    own = [index for index, turn in enumerate(turns) if turn.get("role") == "assistant"]
    if not own:
        raise InputError("no message has role 'assistant'; its last one is the target")
    return next((index for index in reversed(own) if calls_of(turns[index])), own[-1])
