"""What can be wrong with one example by itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from core.errors import InputError
from core.gateway.guard.meta_language import has_meta_language
from core.json_text import JsonRead, canonical, parse_json
from core.messages import JsonValue, Message, Tool, ToolCall
from training.datasets.example import Example
from training.datasets.pii import personal_data
from training.datasets.words import turn_text

Defect = Literal[
    "unrenderable",
    "zero_supervision",
    "truncated",
    "no_end",
    "duplicate",
    "near_duplicate",
    "contradiction",
    "leaked",
    "pii",
    "meta_language",
    "unfit_call",
]
DEFECTS: tuple[Defect, ...] = get_args(Defect)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one example."""

    id: str
    """Of the example."""
    defect: Defect
    detail: str

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the finding as JSON."""
        return {"id": self.id, "defect": self.defect, "detail": self.detail}


def text_findings(example: Example) -> Iterator[Finding]:
    """Yield what is wrong with what an example says, whatever the model."""
    if kinds := personal_kinds(example):
        yield Finding(example.id, "pii", ", ".join(kinds))
    for turn in learnt_turns(example):
        if has_meta_language(turn.text):
            yield Finding(example.id, "meta_language", turn.text.strip()[:120])
            break
    if reason := next(_unfit(example), None):
        yield Finding(example.id, "unfit_call", reason)


def personal_kinds(example: Example) -> list[str]:
    """Return which kinds of personal data the turns hold, sorted."""
    turns = (*example.conversation, *example.rejected)
    return sorted({piece.kind for turn in turns for piece in personal_data(turn_text(turn))})


def learnt_turns(example: Example) -> list[Message]:
    """Return the turns that are supervised."""
    return [example.conversation[index] for index in example.learnt]


def _unfit(example: Example) -> Iterator[str]:
    """Yield why calls that are learnt are none that their tools take."""
    tools = {tool.name: tool for tool in example.tools}
    for turn in learnt_turns(example):
        for call in turn.tool_calls:
            if reason := _misfit(call, tools[call.name]):
                yield f"{call.name}: {reason}"


def _misfit(call: ToolCall, tool: Tool) -> str | None:
    from core.gateway.guard.schemas import validate

    read = parse_json(call.arguments)
    if not isinstance(read, JsonRead) or read.repaired or not isinstance(read.value, dict):
        return "the arguments are no JSON object"
    schema = dict(tool.parameters)
    if not _is_usable(canonical(schema)):
        return None
    try:
        return next(iter(validate(read.value, schema)), None)
    except InputError as error:
        return str(error)


@lru_cache(maxsize=512)
def _is_usable(text: str) -> bool:
    """Say whether a schema can be checked against; datasets bring many that are none."""
    from core.gateway.guard.schemas import check_schema

    read = parse_json(text)
    if not isinstance(read, JsonRead) or not isinstance(read.value, dict):
        return False
    try:
        check_schema(read.value)
    except InputError:
        return False
    return True
