"""Tool calls as the template writes them: valid JSON in `<tool_call>` tags; a stream or a whole."""

import json
from dataclasses import dataclass

from core.messages import JsonValue, ToolCall, new_id

OPEN_TAG, CLOSE_TAG = "<tool_call>", "</tool_call>"
MAX_CALL_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class CallText:
    """A completion, or a piece of one, taken apart."""

    content: str
    """The text outside the calls."""
    calls: tuple[ToolCall, ...]
    call_text: str = ""
    """The text of a call in the making, for showing it as it comes."""


class CallSplitter:
    """Takes a stream apart into text and tagged calls; a broken call becomes text again.

    White space around calls becomes one line break between the texts; at the end it is dropped.
    """

    def __init__(self) -> None:
        self._held = ""
        """Text not given out yet: part of a tag, white space, or an open call."""
        self._gap = ""
        """White space before the open call; it goes out only if the call proves broken."""
        self._is_inside = False
        self._is_after_call = False
        self._has_text = False

    def push(self, piece: str) -> CallText:
        """Return what is certain after this piece."""
        self._held += piece
        content, calls, call_text = "", list[ToolCall](), piece
        while (place := self._held.find(CLOSE_TAG if self._is_inside else OPEN_TAG)) >= 0:
            tag = CLOSE_TAG if self._is_inside else OPEN_TAG
            before, self._held = self._held[:place], self._held[place + len(tag) :]
            if not self._is_inside:
                text = before.rstrip()
                content += self._text(text)
                self._gap, call_text = before[len(text) :], self._held
            elif (call := call_of(json_of(before))) is not None:
                calls.append(call)
                self._is_after_call = True
            else:
                content += self._text(f"{self._gap}{OPEN_TAG}{before}{CLOSE_TAG}")
            self._is_inside = not self._is_inside
        if self._is_inside:
            return CallText(content, tuple(calls), call_text)
        keep = _uncertain(self._held)
        content += self._text(self._held[: len(self._held) - keep])
        self._held = self._held[len(self._held) - keep :]
        return CallText(content, tuple(calls))

    def flush(self) -> str:
        """Return the text that was held back, at the end of the stream."""
        rest = (self._gap + OPEN_TAG if self._is_inside else "") + self._held.rstrip()
        self._held, self._is_inside = "", False
        return self._text(rest)

    def _text(self, text: str) -> str:
        """Return the text as it goes out: after a call without its leading white space."""
        if self._is_after_call and (text := text.lstrip()):
            text = "\n" + text if self._has_text else text
            self._is_after_call = False
        self._has_text = self._has_text or bool(text)
        return text


def split_calls(text: str) -> CallText:
    """Return the tagged calls of a whole completion, and the text around them."""
    splitter = CallSplitter()
    parts = splitter.push(text)
    return CallText(parts.content + splitter.flush(), parts.calls)


def _uncertain(text: str) -> int:
    """Return how many characters at the end may be white space before a tag, or part of one."""
    for size in range(min(len(text), len(OPEN_TAG) - 1), 0, -1):
        if text.endswith(OPEN_TAG[:size]):
            text = text[:-size]
            return size + len(text) - len(text.rstrip())
    return len(text) - len(text.rstrip())


def json_of(text: str) -> JsonValue:
    """Return the JSON value of a call's text; None when it is too long or no JSON."""
    if len(text) > MAX_CALL_CHARACTERS:
        return None
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def call_of(value: JsonValue) -> ToolCall | None:
    """Return an object of exactly `name` and `arguments` as a call; None for any other value."""
    if not isinstance(value, dict) or set(value) - {"name", "arguments"}:
        return None
    name, arguments = value.get("name"), value.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        return None
    try:
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except ValueError:  # NaN and Infinity, which Python reads but JSON does not have.
        return None
    return ToolCall(new_id(), name, text)
