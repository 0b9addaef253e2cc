"""How a conversation looks: entries of a `gr.Chatbot`, with every text shown as text."""

import json
import re
from dataclasses import dataclass
from typing import Any

from core.chats import Frame
from core.messages import Generation, Progress, ToolCall
from core.store import Conversation, StoredMessage

Entry = dict[str, Any]
"""One entry of `gr.Chatbot`, in Gradio's shape."""

CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ChatPage:
    """A conversation laid out: entries, and which stored message each belongs to."""

    entries: tuple[Entry, ...]
    message_ids: tuple[str, ...]
    """As long as `entries`."""
    verdicts: tuple[str | None, ...]
    """Per assistant entry: "Like", "Dislike" or None."""


def as_text(text: str) -> str:
    """Return Markdown in which HTML is shown as text and no image is fetched; code is left alone."""
    parts = CODE.split(text)
    for index in range(0, len(parts), 2):
        escaped = parts[index].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        # Quotes keep their mark: "> " at the start of a line means a quotation.
        escaped = re.sub(r"(?m)^&gt; ", "> ", escaped)
        parts[index] = escaped.replace("![", "!&#91;")
    return "".join(parts)


def lay_out(conversation: Conversation) -> ChatPage:
    """Return the entries of a stored conversation."""
    entries: list[Entry] = []
    ids: list[str] = []
    verdicts: list[str | None] = []
    for stored in conversation.messages:
        made = _entries(stored)
        entries += made
        ids += [stored.id] * len(made)
        if stored.message.role == "assistant":
            verdict = {True: "Like", False: "Dislike", None: None}[stored.liked]
            verdicts += [verdict] * len(made)
    return ChatPage(tuple(entries), tuple(ids), tuple(verdicts))


def in_the_making(frame: Frame) -> list[Entry]:
    """Return the entries of an answer that is being written."""
    entries: list[Entry] = []
    if frame.progress:
        entries.append(_block(progress_text(frame.progress), "", "pending"))
    if frame.text:
        entries.append({"role": "assistant", "content": as_text(frame.text)})
    if frame.call_text:
        entries.append(_block("Calling a tool", _fenced(frame.call_text), "pending"))
    return entries or [_block("Waiting for the first token", "", "pending")]


def progress_text(progress: Progress) -> str:
    """Return how far loading is, in words."""
    if not progress.total:
        return f"{progress.stage.capitalize()} the model"
    done, total = progress.done / 1e9, progress.total / 1e9
    return f"{progress.stage.capitalize()} the model: {done:.2f} of {total:.2f} GB"


def facts_line(generation: Generation) -> str:
    """Return the figures of an answer in one line; what is unknown is said to be unknown."""
    timings, usage = generation.timings, generation.usage
    name = generation.model.id + (f"@{generation.adapter.id}" if generation.adapter else "")
    cost = "unknown" if generation.cost_usd is None else f"${generation.cost_usd:.6f}"
    parts = [
        name,
        f"first token {seconds(timings.first_token_s)}",
        f"total {seconds(timings.total_s)}",
        "speed unknown" if timings.tokens_per_s is None else f"{timings.tokens_per_s:.0f} tokens/s",
        f"{usage.input_tokens} in, {usage.output_tokens} out",
        f"cost {cost}",
    ]
    ends = {"length": "cut at the limit", "cancelled": "stopped"}
    if generation.finish_reason in ends:
        parts.append(ends[generation.finish_reason])
    return " · ".join(parts)


def seconds(value: float | None) -> str:
    """Return a duration for people; "unknown" when it was not measured."""
    return "unknown" if value is None else f"{value:.2f} s"


def _entries(stored: StoredMessage) -> list[Entry]:
    message = stored.message
    if message.role != "assistant":
        return [{"role": "user", "content": as_text(message.text)}]
    entries: list[Entry] = []
    if stored.correction is not None:
        entries.append({"role": "assistant", "content": as_text(stored.correction)})
        entries.append(_block("Edited; the original answer", _fenced(_raw(stored)), "done"))
    else:
        if message.text:
            entries.append({"role": "assistant", "content": as_text(message.text)})
        entries += [_call_block(call) for call in message.tool_calls]
    if stored.generation:
        line = facts_line(stored.generation)
        entries.append(_block(line, _details(stored.generation), "done"))
    return entries or [{"role": "assistant", "content": "*The answer is empty.*"}]


def answer_text(stored: StoredMessage) -> str:
    """Return the answer as one would edit it: the correction if there is one, calls as tags."""
    return _raw(stored) if stored.correction is None else stored.correction


def _raw(stored: StoredMessage) -> str:
    calls = [
        f'<tool_call>{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}</tool_call>'
        for call in stored.message.tool_calls
    ]
    return "\n".join(part for part in (stored.message.text, *calls) if part)


def _call_block(call: ToolCall) -> Entry:
    try:
        arguments = json.dumps(json.loads(call.arguments), indent=2, ensure_ascii=False)
    except ValueError:
        arguments = call.arguments
    return _block(f"Tool call: {as_text(call.name)}", _fenced(arguments, "json"), None)


def _details(generation: Generation) -> str:
    notes = ""
    if generation.dropped_messages:
        count = generation.dropped_messages
        notes = f"The {count} oldest messages were left out: the context holds no more.\n\n"
    facts = json.dumps(generation.facts(), indent=2, ensure_ascii=False)
    return notes + _fenced(facts, "json")


def _block(title: str, content: str, status: str | None) -> Entry:
    metadata: Entry = {"title": title}
    if status:
        metadata["status"] = status
    return {"role": "assistant", "content": content, "metadata": metadata}


def _fenced(text: str, language: str = "") -> str:
    """Return the text as a code block that nothing within it can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
