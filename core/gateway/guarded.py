"""A model's text on its way out: calls taken apart, meta-language cut, JSON held until checked."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from core.errors import GenerationError
from core.gateway.guard.json_output import Structured, read_answer
from core.messages import Delta, GenerationRequest, ToolCall
from core.reports import GuardReport
from core.tool_calls import CallSplitter, CallText, read_calls

if TYPE_CHECKING:
    from core.gateway.guard.meta_language import MetaLanguageFilter


class Guarded:
    """One completion in the making."""

    def __init__(self, request: GenerationRequest) -> None:
        self.content = ""
        """The text that counts as the answer so far, held or given out."""
        self.calls: list[ToolCall] = []
        self._request = request
        self._holds = request.json_mode or request.schema is not None
        self._splitter = CallSplitter() if request.tools else None
        self._filter = _new_filter() if request.filter and not self._holds else None

    def push(self, piece: str) -> Delta | None:
        """Return what a caller may see after this piece; None when there is nothing new."""
        # The filter comes first: it must see the calls, or an announcement before one would be
        # all that it has, and stay.
        kept = self._filter.push(piece) if self._filter else piece
        parts = self._taken(kept)
        shown = "" if self._holds else parts.content
        return Delta(text=shown, call_text=parts.call_text) if shown or parts.call_text else None

    def flush(self) -> str:
        """Return the text that was held back, at the end of the stream."""
        rest = self._taken(self._filter.flush()).content if self._filter else ""
        last = self._splitter.flush() if self._splitter else ""
        self.content += last
        return "" if self._holds else rest + last

    def _taken(self, text: str) -> CallText:
        """Take text apart, and note its content and calls."""
        parts = self._splitter.push(text) if self._splitter else CallText(text, ())
        self.calls += parts.calls
        self.content += parts.content
        return parts

    def structured(self, *, is_cut: bool) -> Structured | None:
        """Return the answer read as JSON; None when none was asked for, or a tool was called.

        What closes a text that was cut at the token limit is a guess, and so an error.
        """
        if not self._holds or self.calls:
            return None
        found = read_answer(self.content, self._request.schema)
        if is_cut and "closed" in found.repairs:
            return replace(found, errors=("the answer was cut at the token limit",))
        return found

    def report(self, structured: Structured | None, *, asked_again: bool) -> GuardReport | None:
        """Return what was changed; None when nothing was."""
        report = GuardReport(
            cuts=tuple(cut.text for cut in self._filter.cuts) if self._filter else (),
            repairs=structured.repairs if structured else (),
            asked_again=asked_again,
            repaired_calls=self._repaired_calls(),
        )
        return None if report == GuardReport() else report

    def _repaired_calls(self) -> tuple[str, ...]:
        """Return the calls that the text holds in another dress than the template's."""
        if not self._request.tools or self.calls:
            return ()
        found = read_calls(self.content, [tool.name for tool in self._request.tools]).repaired
        return tuple(
            f'{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}' for call in found
        )


def _new_filter() -> "MetaLanguageFilter":
    """Return a filter; its patterns take longer to compile than the rest of the gateway to load."""
    from core.gateway.guard.meta_language import MetaLanguageFilter

    return MetaLanguageFilter()


def unfit(target_id: str, structured: Structured) -> GenerationError:
    """Return the error for an answer that is not the JSON that was asked for, twice."""
    reasons = "; ".join(structured.errors[:3])
    error = GenerationError(f"{target_id!r} did not answer with the JSON asked for: {reasons}")
    error.failure = "malformed"
    return error
