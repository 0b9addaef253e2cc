"""The metric `tool_call_strict` for Hugging Face's `evaluate`."""

from evals import hf_metric


class ToolCallStrict(hf_metric.ScorerMetric):
    """Share of tool calls that are right as they stand: names, schema and values."""

    scorer = "tool_calls"
    metrics = ("tool_call_strict",)
    references = "row"
