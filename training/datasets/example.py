"""An example: one row for a model to learn from, and its line in a dataset's `rows.jsonl`.

    {"id": "7", "messages": [...], "tools": [...], "group": "c3", "source": "log.jsonl, line 7"}

Messages and tools are OpenAI's. An assistant's turn with `"weight": 0` is read, not learnt, as in
OpenAI's own files for fine-tuning. A preference has `chosen` and `rejected` beside its `messages`,
which are the prompt; an unpaired preference has `label`.

A row of which nothing is learnt is an example too: the audit counts it, and no run takes it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from core.errors import InputError
from core.gateway.allow import Limits
from core.messages import JsonValue, Message, Tool
from core.openai_shapes import parse_chat

Kind = Literal["sft", "preference", "unpaired"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KEYS = ("id", "messages", "tools", "group", "source", "chosen", "rejected", "label")
LIMITS = Limits()
MAX_NAME = 200
"""Characters of an id or a group."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a dataset."""

    id: str
    messages: tuple[Message, ...]
    """A conversation, which should end with the assistant; of a preference, the prompt alone."""
    tools: tuple[Tool, ...] = ()
    group: str = ""
    """What must stay on one side of a split: a conversation, a document; "": the id."""
    source: str = ""
    """Where it comes from, for people: file and line, or which feedback."""
    kind: Kind = "sft"
    chosen: tuple[Message, ...] = ()
    """Of a preference: the better answer, assistant's and tools' turns."""
    rejected: tuple[Message, ...] = ()
    """Of a preference: the worse answer."""
    label: bool | None = None
    """Of an unpaired preference: whether the answer is a good one."""
    muted: tuple[int, ...] = ()
    """Indices of assistant's turns in `messages` that are read but not learnt."""

    def __post_init__(self) -> None:
        """Refuse what is no conversation, or has an answer that is none."""
        _check(self)

    @property
    def family(self) -> str:
        """The group, or the id of an example that stands alone."""
        return self.group or self.id

    @property
    def conversation(self) -> tuple[Message, ...]:
        """All turns as the model reads them; of a preference, with the better answer."""
        return self.messages + self.chosen

    @property
    def learnt(self) -> tuple[int, ...]:
        """Indices in `conversation` of the turns that are supervised.

        Of a preference and an unpaired one, those of the answer alone.
        """
        start = 0 if self.kind == "sft" else len(self.prompt)
        return tuple(
            index
            for index, message in enumerate(self.conversation)
            if message.role == "assistant" and index >= start and index not in self.muted
        )

    @property
    def prompt(self) -> tuple[Message, ...]:
        """What comes before the answer."""
        return self.messages if self.kind == "preference" else self.messages[: _end(self.messages)]

    @property
    def answer(self) -> tuple[Message, ...]:
        """The better answer of a preference, else what follows a person's last turn."""
        return self.chosen if self.kind == "preference" else self.messages[_end(self.messages) :]

    @property
    def worse(self) -> "Example":
        """A preference with its answers exchanged: its worse answer is the one that is read."""
        return replace(self, chosen=self.rejected, rejected=self.chosen)

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the row as it stands in `rows.jsonl`."""
        row: dict[str, JsonValue] = {"id": self.id}
        row["messages"] = [
            {**m.to_openai(), **({"weight": 0} if i in self.muted else {})}
            for i, m in enumerate(self.messages)
        ]
        if self.tools:
            row["tools"] = [tool.to_openai() for tool in self.tools]
        row["group"], row["source"] = self.family, self.source
        if self.kind == "preference":
            row["chosen"] = [message.to_openai() for message in self.chosen]
            row["rejected"] = [message.to_openai() for message in self.rejected]
        if self.label is not None:
            row["label"] = self.label
        return row

    def to_line(self) -> str:
        """Return the row as a line of JSON Lines, its line break included."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"


def example_of(row: JsonValue) -> Example:
    """Read a row of `rows.jsonl`.

    Raises:
        InputError: a key is missing or unknown, or a value is not what it must be.
    """
    if not isinstance(row, Mapping):
        raise InputError("a row must be a JSON object")
    unknown = [key for key in row if key not in KEYS]
    if unknown:
        raise InputError(f"unknown key {unknown[0][:60]!r}; choose from: {', '.join(KEYS)}")
    label, chosen = row.get("label"), row.get("chosen")
    if label is not None and not isinstance(label, bool):
        raise InputError(f"label must be true or false, got {str(label)[:40]!r}")
    given = row.get("messages")
    messages, tools = read_messages(given, "messages", row.get("tools"))
    return Example(
        id=name_of(row.get("id"), "id"),
        messages=messages,
        tools=tools,
        group=name_of(row.get("group", row.get("id")), "group"),
        source=str(row.get("source") or ""),
        kind="preference" if chosen is not None else "sft" if label is None else "unpaired",
        chosen=read_messages(chosen, "chosen")[0] if chosen is not None else (),
        rejected=read_messages(row.get("rejected"), "rejected")[0] if chosen is not None else (),
        label=label,
        muted=muted_turns(given),
    )


def read_messages(
    given: JsonValue, what: str, tools: JsonValue = None
) -> tuple[tuple[Message, ...], tuple[Tool, ...]]:
    """Return messages and tools, read as the HTTP API reads them.

    Raises:
        InputError: they are not OpenAI's; the text says which one and why.
    """
    if not isinstance(given, list) or not given:
        raise InputError(f"{what} must be a list of at least one message")
    plain = [_without_weight(message) for message in given]
    read = parse_chat({"model": "any", "messages": plain, "tools": tools}, LIMITS)
    return read.messages, read.tools


def muted_turns(given: JsonValue) -> tuple[int, ...]:
    """Return the indices of the messages whose `weight` is 0.

    Raises:
        InputError: a weight is neither 0 nor 1, or stands on no assistant's turn.
    """
    muted = []
    for index, message in enumerate(given if isinstance(given, list) else []):
        weight = message.get("weight") if isinstance(message, Mapping) else None
        if weight is None:
            continue
        if weight not in (0, 1) or message["role"] != "assistant":
            raise InputError(
                f"messages[{index}].weight must be 0 or 1, on a turn of the assistant, "
                f"got {str(weight)[:40]!r}"
            )
        if weight == 0:
            muted.append(index)
    return tuple(muted)


def name_of(value: JsonValue, what: str) -> str:
    """Return an id or a group; whole numbers become text.

    Raises:
        InputError: it is no line of 1 to 200 characters.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    is_name = isinstance(text, str) and text.strip() and text.splitlines() == [text]
    if not isinstance(text, str) or not is_name or len(text) > MAX_NAME:
        raise InputError(
            f"{what} must be a line of 1 to {MAX_NAME} characters or a whole number, "
            f"got {str(value)[:40]!r}"
        )
    return text


def _without_weight(message: JsonValue) -> JsonValue:
    if not isinstance(message, Mapping):
        return message
    return {key: value for key, value in message.items() if key != "weight"}


def _end(messages: Sequence[Message]) -> int:
    """Return the index after the last turn of a person."""
    asked = [index for index, m in enumerate(messages) if m.role in ("user", "system")]
    return asked[-1] + 1 if asked else 0


def _check(example: Example) -> None:
    """Refuse what is no conversation, or has an answer that is none."""
    if not example.messages:
        raise InputError("there are no messages")
    if example.kind == "preference":
        _check_pair(example)
    else:
        if example.answer or example.kind == "unpaired":
            _check_answer(example.answer, "the answer")
        if not any(message.role == "user" for message in example.messages):
            raise InputError("no message has role 'user'; there is nothing to answer")
    if (example.kind == "unpaired") != (example.label is not None):
        raise InputError("a label goes with an unpaired preference, and with nothing else")
    _check_turns((*example.conversation, *example.rejected), {t.name for t in example.tools})


def _check_pair(example: Example) -> None:
    if example.messages[-1].role not in ("user", "tool"):
        raise InputError("the prompt of a preference must end with the user or a tool")
    _check_answer(example.chosen, "chosen")
    _check_answer(example.rejected, "rejected")
    if example.chosen == example.rejected:
        raise InputError("chosen and rejected are the same")


def _check_turns(turns: Sequence[Message], offered: set[str]) -> None:
    for turn in turns:
        if "\0" in turn.text:
            raise InputError("a text holds a NUL character; remove it")
        for call in turn.tool_calls:
            if call.name not in offered:
                raise InputError(f"the assistant calls {call.name[:60]!r}, which is not offered")


def _check_answer(turns: Sequence[Message], what: str) -> None:
    if not turns or turns[-1].role != "assistant":
        raise InputError(f"{what} must end with the assistant")
    empty = [m for m in turns if m.role == "assistant" and not m.text.strip() and not m.tool_calls]
    if empty:
        raise InputError(f"{what} is empty: a turn of the assistant has neither text nor calls")
