"""The metric `routing_accuracy` for Hugging Face's `evaluate`."""

from evals import hf_metric


class RoutingAccuracy(hf_metric.ScorerMetric):
    """Share of answers that choose the right label."""

    scorer = "routing"
    metrics = ("routing_accuracy", "out_of_scope_recall", "out_of_scope_precision")
    references = "row"
