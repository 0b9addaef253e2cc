"""What the app knows about itself: the ledger of traces."""

from core.observe.ledger import Ledger, SpanHandle, TraceHandle
from core.observe.traces import Span, Trace, TraceSummary

__all__ = ["Ledger", "Span", "SpanHandle", "Trace", "TraceHandle", "TraceSummary"]
