"""What a hostile answer can do to grading: nothing. Through the pool, as in a run."""

from pathlib import Path

import pytest

from evals.grading import GradingFailure, Limits, ScorerSpec, grade_all
from evals.sample import Answer, Sample

DETAILS = {
    "schema": {"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}},
    "labels": ["lex", "arr"],
    "documents": {"menu": "Soup is served at eight. " * 2_000},
    "instruction_id_list": ["punctuation:no_comma"],
    "kwargs": [{}],
}
TARGETS = {
    "citations": "at eight",
    "exact": "lex",
    "fields": {"a": 1},
    "gsm8k": "12",
    "ifeval": None,
    "json_valid": None,
    "meta_language": None,
    "routing": "lex",
    "schema_valid": None,
    "tool_calls": {"calls": []},
}


def answers(proof: Path) -> list[str]:
    code = f"__import__('pathlib').Path({str(proof)!r}).touch()"
    parts = ["[", "{", '{"a":', "(", "\x00", "9", "```", '"', " ", "<tool_call>", "“", "the ", "1,"]
    floods = [part * (300_000 // len(part)) for part in parts]
    bomb = '{"a": "' + "a" * 5_000 + '!"}'
    marked = "<script>alert(1)</script>" * 1_000
    return [code, f"```python\n{code}\n```", bomb, marked, "\ud800" * 1_000, "9" * 5_000, *floods]


@pytest.mark.parametrize("scorer", TARGETS)
def test_every_answer_gets_its_score_in_time(scorer, tmp_path):
    proof = tmp_path / "executed"
    sample = Sample("a", (), TARGETS[scorer], "a", details=DETAILS)
    pairs = [(text, sample, Answer(text)) for text in answers(proof)]
    failed = {
        text[:20]: outcome
        for text, outcome in grade_all(ScorerSpec(scorer, {}), pairs, 1, Limits(seconds=8))
        if isinstance(outcome, GradingFailure)
    }
    assert failed == {}
    assert not proof.exists()
