"""How a conversation looks: entries of a `gr.Chatbot`, with every text shown as text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.chats import Frame
from core.messages import FinishReason, Generation, Message, Progress, ToolCall
from core.store import Conversation, StoredMessage
from tabs.escape import as_code, as_text, fenced

Entry = dict[str, Any]
"""One entry of `gr.Chatbot`, in Gradio's shape."""
EMPTY = "*The answer is empty.*"
ELSEWHERE = "This answer is being written in another window"
MISSING = "No answer"
ENDS: Mapping[FinishReason, str] = {
    "length": "cut at the limit",
    "content_filter": "cut by the provider's filter",
    "cancelled": "stopped",
    "abstained": "no answer: the members disagree",
}
"""How an answer ended, where that is worth saying."""


@dataclass(frozen=True, slots=True)
class ChatPage:
    """A conversation laid out: entries, and which stored message each belongs to."""

    entries: tuple[Entry, ...]
    message_ids: tuple[str, ...]
    """As long as `entries`."""
    verdicts: tuple[str | None, ...]
    """One for each answer, which may have several entries: "Like", "Dislike" or None."""


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
            verdicts.append({True: "Like", False: "Dislike", None: None}[stored.liked])
    return ChatPage(tuple(entries), tuple(ids), tuple(verdicts))


def in_the_making(frame: Frame) -> list[Entry]:
    """Return the entries of an answer that is being written; the last says what is waited for."""
    entries: list[Entry] = []
    if frame.text:
        entries.append(_said(as_text(frame.text)))
    if frame.call_text:
        entries.append(_block("Calling a tool", fenced(frame.call_text), "pending"))
    waiting = "writing" if entries else "waiting for the first token"
    return [*entries, status_line(progress_text(frame.progress) if frame.progress else waiting)]


def status_line(text: str, *, is_pending: bool = True) -> Entry:
    """Return the quiet line under an answer, before there are figures."""
    return _block(_quiet(text), "", "pending" if is_pending else "done")


def progress_text(progress: Progress) -> str:
    """Return how far loading is, in words."""
    if progress.detail:
        return f"{progress.stage} for the provider's limit: {progress.detail}"
    if not progress.total:
        return f"{progress.stage} the model"
    done, total = progress.done / 1e9, progress.total / 1e9
    return f"{progress.stage} the model: {done:.2f} of {total:.2f} GB"


def facts_line(generation: Generation) -> str:
    """Return the figures of an answer in one line; what is unknown is said to be unknown."""
    timings, usage = generation.timings, generation.usage
    name = generation.model.id + (f"@{generation.adapter.id}" if generation.adapter else "")
    speed = timings.tokens_per_s
    notes = [ENDS[generation.finish_reason]] if generation.finish_reason in ENDS else []
    notes += gateway_notes(generation)
    if dropped := generation.dropped_messages:
        notes.append(f"{dropped} oldest messages left out")
    return " · ".join(
        [
            *notes,
            name,
            f"first token {seconds(timings.first_token_s)}",
            f"total {seconds(timings.total_s)}",
            "speed unknown" if speed is None else f"{speed:.0f} tokens/s",
            f"{tokens(usage.input_tokens)} in, {tokens(usage.output_tokens)} out",
            f"cost {cost(generation.cost_usd)}",
        ]
    )


def gateway_notes(generation: Generation) -> list[str]:
    """Return what the gateway did besides calling the model, in words."""
    reports, notes = generation.reports, list[str]()
    if generation.cache == "hit":
        saved = reports.saved
        notes.append(f"from the cache, saved {tokens(saved.tokens if saved else None)} tokens")
    notes += [generation.route] if generation.route else []
    if reports.ensemble:
        notes.append(f"agreement {reports.ensemble.agreement:.0%}")
    if generation.attempts > 1:
        notes.append(f"{generation.attempts} calls")
    waited = sum(attempt.waited_s for attempt in reports.tried)
    notes += [f"waited {seconds(waited)} for the limit"] if waited >= 0.1 else []
    if reports.guard and reports.guard.cuts:
        notes.append(f"{len(reports.guard.cuts)} announcements cut")
    return notes


def seconds(value: float | None) -> str:
    """Return a duration for people; "unknown" when it was not measured."""
    return "unknown" if value is None else f"{value:.2f} s"


def tokens(count: int | None) -> str:
    """Return a number of tokens for people; "unknown" when the provider did not tell."""
    return "unknown" if count is None else str(count)


def cost(usd: float | None) -> str:
    """Return an amount for people; "unknown" when no price is known."""
    return "unknown" if usd is None else f"${usd:.6f}"


def answer_text(stored: StoredMessage) -> str:
    """Return the answer as one would edit it: the correction if there is one, calls as tags."""
    return _raw(stored) if stored.correction is None else stored.correction


def answer_entries(message: Message, generation: Generation | None) -> list[Entry]:
    """Return the entries of an answer: text, calls, and its figures where there are any."""
    entries = [_said(as_text(message.text))] if message.text.strip() else []
    entries += [_call_block(call) for call in message.tool_calls]
    return [*(entries or [_said(EMPTY)]), *_facts(generation)]


def _facts(generation: Generation | None) -> list[Entry]:
    if generation is None:
        return []
    facts = json.dumps(generation.facts(), indent=2, ensure_ascii=False)
    return [_block(_quiet(facts_line(generation)), fenced(facts, "json"), "done")]


def _entries(stored: StoredMessage) -> list[Entry]:
    message = stored.message
    if message.role != "assistant":
        return [{"role": "user", "content": as_text(message.text)}]
    if stored.correction is None:
        return answer_entries(message, stored.generation)
    edited = _block("Edited; the original answer", fenced(_raw(stored)), "done")
    return [_said(as_text(stored.correction)), edited, *_facts(stored.generation)]


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
    return _block(f"Tool call {as_code(call.name)}", fenced(arguments, "json"), None)


def _said(content: str) -> Entry:
    return {"role": "assistant", "content": content}


def _quiet(text: str) -> str:
    """Return a title that `assets/style.css` knows by its tag and sets small."""
    return f"<em>{as_text(text)}</em>"


def _block(title: str, content: str, status: str | None) -> Entry:
    metadata: Entry = {"title": title}
    if status:
        metadata["status"] = status
    return {**_said(content), "metadata": metadata}
