"""The metric `ifeval_prompt_strict` for Hugging Face's `evaluate`."""

import inspect
import sys
from pathlib import Path

try:
    from evals import hf_metric
except ImportError:  # `evaluate` runs a copy of this file: its call of `load` knows the original.
    calls = (call.frame.f_locals for call in inspect.stack(0) if call.function == "load")
    original = Path(next(calls)["path"]).resolve().as_posix()
    sys.path.insert(0, original.rpartition("/evals/metrics/")[0])
    from evals import hf_metric


class IfEvalPromptStrict(hf_metric.ScorerMetric):
    """Share of prompts all of whose instructions are followed to the letter."""

    scorer = "ifeval"
    metrics = ("ifeval_prompt_strict", "ifeval_instruction_strict")
    references = "row"
    citation = "Zhou et al. (2023), Instruction-Following Evaluation for Large Language Models."
