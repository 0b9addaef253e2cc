"""Formats `xlam` and `hermes`: requests with tools, and the calls that answer them.

xlam gives two tracks from one source: `xlam` (tool call) answers with calls of offered tools,
`xlam_structured` with a JSON record; its prompt shows each tool's whole schema. Rows of
`{prompt, completion}` are of one track already and stay as they are.

Rows of xlam whose calls go to the same tool were generated together, so the first call's tool is
the group.
"""

import json
from collections.abc import Mapping, Sequence

from core.errors import InputError
from core.json_text import JsonRead, parse_json
from core.messages import JsonObject, JsonValue
from core.rows.hermes import CALL, hermes_calls, hermes_tools, hermes_turns
from core.rows.records import Record, id_of, text_of
from core.rows.turns import openai_call
from core.rows.xlam import TAGGED, xlam_calls, xlam_tools
from training.datasets.formats.chats import common

RECORD = (
    "Choose the tools that answer the request. Write one JSON object and nothing else: "
    '{{"calls": [{{"tool_name": "...", "arguments": {{...}}}}]}}\nTools: {tools}\nRequest: {query}'
)
RESPONSE = ("<tool_response>", "</tool_response>")
NAME_LENGTH = 200


def from_xlam(record: Record) -> JsonObject:
    """Return the row of a request that is answered with calls.

    Raises:
        InputError: a part is missing or can't be read.
    """
    if "completion" in record.value:
        return _track(record)
    query, tools, calls = _parts(record)
    if not calls:
        raise InputError("answers is empty; what the assistant says instead is not in the row")
    shaped: list[JsonValue] = [
        openai_call(call["name"], call["arguments"], f"call_{index}")
        for index, call in enumerate(calls)
    ]
    messages: list[JsonValue] = [
        {"role": "user", "content": query},
        {"role": "assistant", "content": None, "tool_calls": shaped},
    ]
    return {**_named(record, calls), "messages": messages, "tools": tools}


def from_xlam_structured(record: Record) -> JsonObject:
    """Return the row of a request that is answered with a JSON record of the calls.

    Raises:
        InputError: a part is missing or can't be read.
    """
    if "completion" in record.value:
        return _track(record)
    query, tools, calls = _parts(record)
    offered = [tool["function"] for tool in tools]
    prompt = RECORD.format(tools=json.dumps(offered, ensure_ascii=False), query=query)
    answer = {
        "calls": [{"tool_name": call["name"], "arguments": call["arguments"]} for call in calls]
    }
    messages = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": json.dumps(answer, ensure_ascii=False)},
    ]
    return {**_named(record, calls), "messages": messages}


def from_hermes(record: Record) -> JsonObject:
    """Return the row of a conversation; the system turn that lists the tools goes.

    How a call is written is each model's own template's matter.

    Raises:
        InputError: no tools are listed, or a call can't be read.
    """
    turns = hermes_turns(record.value.get("conversations"))
    system = [turn["content"] for turn in turns if turn["role"] == "system"]
    row = {**common(record), "tools": hermes_tools(record.value, system)}
    row["messages"] = [_hermes_turn(turn) for turn in turns if turn["role"] != "system"]
    return row


def _parts(record: Record) -> tuple[str, list[JsonObject], list[JsonObject]]:
    given = record.value
    query = text_of(given, "query")
    return query, xlam_tools(given.get("tools")), xlam_calls(given.get("answers"))


def _named(record: Record, calls: Sequence[JsonObject]) -> dict[str, JsonValue]:
    row: dict[str, JsonValue] = {"id": id_of(record)}
    if calls:
        row["group"] = str(calls[0]["name"])[:NAME_LENGTH]
    return row


def _track(record: Record) -> JsonObject:
    """Return a row of either track's file, as it stands."""
    prompt, completion = text_of(record.value, "prompt"), text_of(record.value, "completion")
    row: dict[str, JsonValue] = {"id": id_of(record)}
    if match := TAGGED.fullmatch(completion):
        row["group"] = match[1]
    elif name := _tool_name(completion):
        row["group"] = name[:NAME_LENGTH]
    else:
        raise InputError(
            'the completion must be a JSON object with tool_name, or <tool_call name="...">{...}'
        )
    row["messages"] = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": completion},
    ]
    return row


def _tool_name(completion: str) -> str | None:
    read = parse_json(completion)
    if not isinstance(read, JsonRead) or read.repaired or not isinstance(read.value, Mapping):
        return None
    name = read.value.get("tool_name")
    return name if isinstance(name, str) and name.strip() else None


def _hermes_turn(turn: Mapping[str, str]) -> JsonObject:
    role, text = turn["role"], turn["content"]
    if role == "tool":
        said = text.strip().removeprefix(RESPONSE[0]).removesuffix(RESPONSE[1]).strip()
        return {"role": "tool", "content": said, "tool_call_id": "call_0"}
    if role != "assistant":
        return {"role": role, "content": text}
    calls = [
        openai_call(call["name"], call["arguments"], f"call_{index}")
        for index, call in enumerate(hermes_calls(text))
    ]
    said = CALL.sub("", text).strip() if calls else text
    return {"role": role, "content": said or None, **({"tool_calls": calls} if calls else {})}
