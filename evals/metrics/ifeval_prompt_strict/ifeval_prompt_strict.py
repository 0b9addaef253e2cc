"""The metric `ifeval_prompt_strict` for Hugging Face's `evaluate`."""

from evals import hf_metric


class IfEvalPromptStrict(hf_metric.ScorerMetric):
    """Share of prompts all of whose instructions are followed to the letter."""

    scorer = "ifeval"
    metrics = ("ifeval_prompt_strict", "ifeval_instruction_strict")
    references = "row"
    citation = "Zhou et al. (2023), Instruction-Following Evaluation for Large Language Models."
