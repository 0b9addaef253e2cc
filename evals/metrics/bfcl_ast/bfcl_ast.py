"""The metric `bfcl_ast` for Hugging Face's `evaluate`."""

import inspect
import sys
from pathlib import Path

try:
    from evals import hf_metric
except ImportError:  # `evaluate` runs a copy of this file: its call of `load` knows the original.
    calls = (call.frame.f_locals for call in inspect.stack(0) if call.function == "load")
    original = Path(next(calls)["path"]).resolve().as_posix()
    sys.path.insert(0, original.rpartition("/evals/metrics/")[0])
    from evals import hf_metric


class BfclAst(hf_metric.ScorerMetric):
    """Share of tool calls that the Berkeley Function Calling Leaderboard's checker accepts."""

    scorer = "tool_calls"
    metrics = ("bfcl_ast",)
    references = "row"
    citation = "Patil et al. (2025), The Berkeley Function Calling Leaderboard."
