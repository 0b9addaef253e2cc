"""A model's text on its way out: calls taken apart, meta-language cut, JSON held until checked."""

from core.errors import GenerationError
from core.gateway.guard.json_output import Structured, read_answer
from core.gateway.guard.meta_language import MetaLanguageFilter
from core.messages import Delta, GenerationRequest, ToolCall
from core.reports import GuardReport
from core.tool_calls import CallSplitter, CallText


class Guarded:
    """One completion in the making."""

    def __init__(self, request: GenerationRequest) -> None:
        self.content = ""
        """The text that counts as the answer so far, held or given out."""
        self.calls: list[ToolCall] = []
        self._request = request
        self._holds = request.json_mode or request.schema is not None
        self._splitter = CallSplitter() if request.tools else None
        self._filter = MetaLanguageFilter() if request.filter and not self._holds else None

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

    def structured(self) -> Structured | None:
        """Return the answer read as JSON; None when none was asked for, or a tool was called."""
        if not self._holds or self.calls:
            return None
        return read_answer(self.content, self._request.schema)

    def report(self) -> GuardReport | None:
        """Return what was changed; None when nothing was."""
        cuts = tuple(cut.text for cut in self._filter.cuts) if self._filter else ()
        return GuardReport(cuts) if cuts else None


def unfit(target_id: str, structured: Structured) -> GenerationError:
    """Return the error for an answer that is not the JSON that was asked for, twice."""
    reasons = "; ".join(structured.errors[:3])
    error = GenerationError(f"{target_id!r} did not answer with the JSON asked for: {reasons}")
    error.failure = "malformed"
    return error
