"""The metric `exact_match` for Hugging Face's `evaluate`."""

from evals import hf_metric


class ExactMatch(hf_metric.ScorerMetric):
    """Share of answers that are their target, character by character."""

    scorer = "exact"
    metrics = ("exact_match",)
    references = "text"
