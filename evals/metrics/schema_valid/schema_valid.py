"""The metric `schema_valid` for Hugging Face's `evaluate`."""

from evals import hf_metric


class SchemaValid(hf_metric.ScorerMetric):
    """Share of answers that are strict JSON and follow their JSON Schema (draft 2020-12)."""

    scorer = "schema_valid"
    metrics = ("schema_valid", "json_valid")
    references = "schema"
