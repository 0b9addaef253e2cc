"""The metric `field_f1` for Hugging Face's `evaluate`."""

from evals import hf_metric


class FieldF1(hf_metric.ScorerMetric):
    """Fields of JSON records, micro-averaged: paths to values that answer and target share."""

    scorer = "fields"
    metrics = ("field_f1", "field_precision", "field_recall", "exact_match")
    references = "text"
