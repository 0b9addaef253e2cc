"""Tool calls in a completion's text, raw and repaired kept apart.

`split_calls` and `CallSplitter` read calls as the template writes them; `read_calls` also reads
what was dressed otherwise and says what it repaired; `find_calls` finds what looks like a call
anywhere, for measuring.
"""

from core.tool_calls.dresses import ReadCalls, read_calls
from core.tool_calls.find import find_calls, same_call
from core.tool_calls.split import CallSplitter, CallText, split_calls

__all__ = [
    "CallSplitter",
    "CallText",
    "ReadCalls",
    "find_calls",
    "read_calls",
    "same_call",
    "split_calls",
]
