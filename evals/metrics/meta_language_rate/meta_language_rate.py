"""The metric `meta_language_rate` for Hugging Face's `evaluate`."""

from evals import hf_metric


class MetaLanguageRate(hf_metric.ScorerMetric):
    """Share of answers that announce what they will do instead of doing it."""

    scorer = "meta_language"
    metrics = ("meta_language_rate",)
    references = "none"
