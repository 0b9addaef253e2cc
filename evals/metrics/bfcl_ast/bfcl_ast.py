"""The metric `bfcl_ast` for Hugging Face's `evaluate`."""

from evals import hf_metric


class BfclAst(hf_metric.ScorerMetric):
    """Share of tool calls that the Berkeley Function Calling Leaderboard's checker accepts."""

    scorer = "tool_calls"
    metrics = ("bfcl_ast",)
    references = "row"
    citation = "Patil et al. (2025), The Berkeley Function Calling Leaderboard."
