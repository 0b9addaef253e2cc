"""The metric `json_valid` for Hugging Face's `evaluate`."""

from evals import hf_metric


class JsonValid(hf_metric.ScorerMetric):
    """Share of answers that are strict JSON, as they stand or in their only code fence."""

    scorer = "json_valid"
    metrics = ("json_valid", "json_valid_fenced")
    references = "none"
