"""Scorers by name; a run records the name and the arguments, and can make the scorer again."""

from collections.abc import Callable, Mapping

from evals.sample import Scorer
from evals.scorers.citations import citations
from evals.scorers.constraints import constraints
from evals.scorers.exact import exact
from evals.scorers.fields import fields
from evals.scorers.ifeval import ifeval
from evals.scorers.json_answers import json_valid, schema_valid
from evals.scorers.numeric import gsm8k
from evals.scorers.routing import routing
from evals.scorers.style import length_band, meta_language, refusal, style
from evals.scorers.tool_calls import tool_calls


def judge(rubric: str, model: str) -> Scorer:
    """Return what stands for a judge, which the run asks through the gateway."""
    # Imported here: it brings the gateway along, and every grading process starts with this file.
    from evals.judge.grade_stage import judge_scorer

    return judge_scorer(rubric, model)


SCORERS: Mapping[str, Callable[..., Scorer]] = {
    "citations": citations,
    "constraints": constraints,
    "exact": exact,
    "fields": fields,
    "gsm8k": gsm8k,
    "ifeval": ifeval,
    "json_valid": json_valid,
    "judge": judge,
    "length_band": length_band,
    "meta_language": meta_language,
    "refusal": refusal,
    "routing": routing,
    "schema_valid": schema_valid,
    "style": style,
    "tool_calls": tool_calls,
}
