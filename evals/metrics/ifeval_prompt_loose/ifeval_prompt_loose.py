"""The metric `ifeval_prompt_loose` for Hugging Face's `evaluate`."""

from evals import hf_metric


class IfEvalPromptLoose(hf_metric.ScorerMetric):
    """Share of prompts all of whose instructions are followed by the answer or a trimmed form."""

    scorer = "ifeval"
    metrics = ("ifeval_prompt_loose", "ifeval_instruction_loose")
    references = "row"
    citation = "Zhou et al. (2023), Instruction-Following Evaluation for Large Language Models."
