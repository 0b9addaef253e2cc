"""The metric `citation_valid` for Hugging Face's `evaluate`."""

from evals import hf_metric


class CitationValid(hf_metric.ScorerMetric):
    """Share of answers all of whose quotes stand in the documents that they cite."""

    scorer = "citations"
    metrics = ("citation_valid", "answer_match", "answer_f1")
    references = "row"
