"""The metric `gsm8k` for Hugging Face's `evaluate`."""

from evals import hf_metric


class Gsm8k(hf_metric.ScorerMetric):
    """Share of answers that give the target's number."""

    scorer = "gsm8k"
    metrics = ("gsm8k",)
    references = "text"
    citation = "Cobbe et al. (2021), Training Verifiers to Solve Math Word Problems."
