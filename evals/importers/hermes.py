"""Format `hermes`: ShareGPT conversations with tools, as hermes-function-calling has them.

The target is the calls of the assistant's first turn. The system turn goes: the tools it lists are
offered as tools, and how to write a call is each model's own template's matter. A row is its own
group.
"""

from core.errors import InputError
from core.messages import JsonValue
from core.rows.hermes import hermes_calls, hermes_tools, hermes_turns
from core.rows.records import Record, id_of
from evals.importers.items import Row
from evals.importers.recipes import TOOLS
from evals.importers.targets import check_calls


def from_hermes(record: Record) -> Row:
    """Return the sample of a conversation.

    Raises:
        InputError: no tools are listed, or the first answer has a call that can't be read or does
            not fit them.
    """
    turns = hermes_turns(record.value.get("conversations"))
    at = next((i for i, turn in enumerate(turns) if turn["role"] == "assistant"), None)
    if at is None:
        raise InputError("the assistant has no turn")
    tools = hermes_tools(record.value, [t["content"] for t in turns[:at] if t["role"] == "system"])
    calls = hermes_calls(turns[at]["content"])
    check_calls(calls, tools)
    row: dict[str, JsonValue] = {
        "id": id_of(record),
        "input": [turn for turn in turns[:at] if turn["role"] != "system"],
        "target": {"calls": calls},
        "tools": tools,
    }
    return row, TOOLS
