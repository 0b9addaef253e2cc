"""Exact match: each declared form, alone and together, and against lm-eval's."""

import time
from typing import Any

import pytest

from core.errors import InputError, ScoringError
from evals.sample import Answer, Sample, Score
from evals.scorers.exact import FORMS, exact

SQUAD = ["case", "punctuation", "articles", "whitespace"]


def scored(text: str, target: Any, *forms: str) -> Score:
    """Return the score of a text under these forms."""
    return exact(forms)(Sample(id="one", messages=(), target=target, group="one"), Answer(text))


@pytest.mark.parametrize(
    ("form", "text", "target"),
    [
        ("case", "STRASSE", "straße"),
        ("whitespace", " a \n b\t", "a b"),
        ("punctuation", "(a), b!", "a b"),
        ("punctuation", "«a» – b…", "a  b"),
        ("articles", "The cat", "A cat"),
        ("unicode", "“ﬁne” — it’s", '"fine" - it\'s'),
        ("number", "1,000.50 and 007", "1000.5 and 7"),
        ("number", "-0.0", "0"),
    ],
)
def test_each_form_forgives_its_own_difference_and_no_other(
    form: str, text: str, target: str
) -> None:
    assert scored(text, target, form).values == {"exact_match": 1.0}
    assert scored(text, target).failure == "different"
    others = [name for name in FORMS if name != form]
    assert scored(text + " x", target, *others).values == {"exact_match": 0.0}


def test_without_forms_every_character_counts() -> None:
    assert scored("a", "a").values == {"exact_match": 1.0}
    assert scored("a\n", "a").failure == "different"
    assert scored("", "").values == {"exact_match": 1.0}


def test_any_accepted_text_will_do() -> None:
    assert scored("Paris!", ["Lyon", "paris"], *SQUAD).failure is None
    assert scored("Nice", ["Lyon", "paris"], *SQUAD).failure == "different"


def test_a_blank_answer_is_told_apart() -> None:
    assert scored(" \n", "Paris", *SQUAD).failure == "empty"


def test_numbers_keep_their_signs_where_both_forms_are_declared() -> None:
    forms = ["number", "punctuation", "whitespace"]
    assert scored("It is -3.50.", "It is: -3.5", *forms).failure is None
    assert scored("It is 3.5", "It is 35", *forms).failure == "different"
    assert scored("It is 3.5", "It is 35", "punctuation").failure is None
    assert scored("1,2,3 in v1.2.3", "123 in v123", *forms).failure is None


def test_the_order_in_which_forms_are_listed_is_of_no_account() -> None:
    for forms in (SQUAD, SQUAD[::-1]):
        assert scored("  THE cat.", "a Cat", *forms).failure is None


def test_case_and_punctuation_are_those_of_lm_eval() -> None:
    metrics = pytest.importorskip("lm_eval.api.metrics")
    texts = ["Paris", "paris.", "PARIS!", "Pa-ris", " Paris", "Paris France", "$5.00", "5 00", ""]
    for text in texts:
        for target in texts:
            theirs = metrics.exact_match_hf_evaluate(
                [text], [target], ignore_case=True, ignore_punctuation=True
            )
            ours = scored(text, target, "case", "punctuation").values["exact_match"]
            assert ours == theirs["exact_match"], (text, target)


@pytest.mark.parametrize("forms", [["lower"], "case sensitive", ["case", ""]])
def test_a_form_that_is_none_is_refused(forms: Any) -> None:
    with pytest.raises(InputError, match="choose from: unicode, case"):
        exact(forms)


@pytest.mark.parametrize("target", [None, 5, [], ["a", 5], {"a": 1}])
def test_a_target_that_is_no_text_is_refused(target: Any) -> None:
    with pytest.raises(ScoringError, match="must be a text or a list of texts"):
        scored("a", target)


@pytest.mark.parametrize(
    "piece", ["1,111", ",111", "1", "1.", "-", "a ", "ﷺ", "\ud800", "\0", "<b>"]
)
def test_no_answer_holds_the_comparison_up(piece: str) -> None:
    began = time.process_time()
    assert scored(piece * (200_000 // len(piece)) + "x", "a", *FORMS).failure == "different"
    assert time.process_time() - began < 10
