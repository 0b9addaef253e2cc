"""Citations: quotes that stand where they are said to, and answers to questions on a text."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ScoringError
from evals.sample import Answer, Sample, Score
from evals.scorers.citations import citations, normal_answer, token_f1

DOCUMENTS = {
    "menu": "The soup is served\nat  eight. It is a complexity of leeks.",
    "list": "Ada sits at table 3.\n\nRui sits at table 4.",
}


def score(answer, target=None, documents=None) -> Score:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    sample = Sample("a", (), target, "a", details={"documents": documents or DOCUMENTS})
    return citations()(sample, Answer(text))


def cited(*pairs: tuple[str, str], answer: str = "At eight.") -> dict:
    listed = [{"document": document, "quote": quote} for document, quote in pairs]
    return {"answer": answer, "citations": listed}


@pytest.mark.parametrize(
    "answer",
    [
        cited(("menu", "served at eight")),
        cited(("menu", "  The soup is\tserved at eight. ")),
        cited(("menu", "eight."), ("list", "table 3. Rui")),
        'At eight: "The soup is served at eight" [menu].',
        "“Ada sits at table 3.” [list] and “Rui sits” [ list ]",
    ],
)
def test_quotes_that_stand_in_their_document(answer):
    found = score(answer)
    assert found.values == {"citation_valid": 1.0}
    assert found.failure is None


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (cited(("menu", "served at nine")), "quote_not_found"),
        (cited(("list", "served at eight")), "quote_not_found"),
        (cited(("menu", "lex")), "quote_not_found"),
        (cited(("menu", "he soup")), "quote_not_found"),
        (cited(("menu", "THE SOUP")), "quote_not_found"),
        (cited(("menu", "eight"), ("menu", "nine")), "quote_not_found"),
        (cited(("wine", "eight")), "unknown_document"),
        (cited(("menu", " .,")), "empty_quote"),
        (cited(("menu", "")), "empty_quote"),
        (cited(("menu", "x" * 20_000)), "quote_too_long"),
        (cited(*[("menu", "soup")] * 101), "too_many_citations"),
        (cited(), "no_citation"),
        ({"answer": "At eight."}, "no_citation"),
        ({"answer": 8, "citations": "menu"}, "no_citation"),
        ({"answer": "x", "citations": [None, 3]}, "unknown_document"),
        ({"answer": "x", "citations": [{"document": ["menu"], "quote": 1}]}, "unknown_document"),
        ("At eight.", "no_citation"),
        ('"eight" [wine]', "unknown_document"),
    ],
)
def test_citations_that_do_not_hold(answer, failure):
    found = score(answer)
    assert found.values == {"citation_valid": 0.0}
    assert found.failure == failure


def test_the_counts_tell_good_citations_from_bad_ones():
    found = score(cited(("menu", "eight"), ("menu", "soup"), ("menu", "nine")))
    assert found.counts == {"citation_hits": 2, "citation_extra": 1}


def test_json_that_only_a_lenient_reader_reads_counts_as_repaired():
    text = f"```json\n{json.dumps(cited(('menu', 'eight')))}\n```"
    found = score(text, "At eight")
    assert found.values == {"citation_valid": 0.0, "answer_match": 0.0, "answer_f1": 0.0}
    assert found.repaired == {"citation_valid": 1.0, "answer_match": 1.0, "answer_f1": 1.0}
    assert found.failure == "json_repairable"


@pytest.mark.parametrize(
    ("answer", "target", "match", "f1"),
    [
        ("at eight", "At eight.", 1, 1.0),
        ("The eight", ["nine", "eight"], 1, 1.0),
        ("at eight o'clock", "eight oclock", 0, 0.8),
        ("seven", ["eight"], 0, 0.0),
        ("", [], 1, 1.0),
        ("eight", [], 0, 0.0),
        ("the", "a", 1, 1.0),
        ("eight eight", "eight", 0, 2 / 3),
    ],
)
def test_answers_against_the_accepted_ones(answer, target, match, f1):
    found = score(cited(("menu", "soup"), answer=answer), target)
    assert found.values["answer_match"] == match
    assert found.values["answer_f1"] == pytest.approx(f1)
    assert found.failure == (None if match else "wrong_answer")


def test_the_answer_in_running_text_is_what_is_not_quoted():
    found = score('Eight. "served at eight" [menu]', "eight")
    assert found.values == {"citation_valid": 1.0, "answer_match": 1.0, "answer_f1": 1.0}


def test_xquad_answers_cited_from_their_paragraph_score_one(public_data):
    path = public_data / "xquad_en" / "xquad.en.part1.json"
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    seen = 0
    for article in articles:
        for number, paragraph in enumerate(article["paragraphs"]):
            documents = {f"p{number}": paragraph["context"]}
            for question in paragraph["qas"]:
                spans = [answer["text"] for answer in question["answers"]]
                answer = cited((f"p{number}", spans[0]), answer=spans[0])
                found = score(answer, spans, documents)
                assert found.values["answer_match"] == 1.0
                seen += found.values["citation_valid"] == 1.0
    assert seen > 500


def test_normal_answers_follow_squad():
    assert normal_answer("The  Quick, (brown) fox's a-b.") == "quick brown foxs ab"
    assert normal_answer("another an theatre") == "another theatre"


@given(st.text(), st.text())
def test_f1_is_symmetric_and_a_share(one, other):
    assert token_f1(one, other) == token_f1(other, one)
    assert 0.0 <= token_f1(one, other) <= 1.0
    assert token_f1(one, one) == 1.0


@pytest.mark.parametrize(
    ("target", "details"),
    [
        (None, {}),
        (None, {"documents": {}}),
        (None, {"documents": {"a": 1}}),
        (None, {"documents": {"": "text"}}),
        (None, {"documents": ["text"]}),
        (3, {"documents": DOCUMENTS}),
        ([1], {"documents": DOCUMENTS}),
    ],
)
def test_a_bad_sample_can_not_be_judged(target, details):
    with pytest.raises(ScoringError):
        citations()(Sample("a", (), target, "a", details=details), Answer('"x" [a]'))


@given(st.text())
def test_any_text_gets_a_mark(text):
    assert score(text, "eight").values["citation_valid"] in (0.0, 1.0)


@pytest.mark.parametrize(
    "part",
    ["[", '"', '" ', '"x" [', '"eight" [menu] ', "“", '{"answer":', "\x00", "\ud800", "the ", "”["],
)
def test_a_flood_takes_linear_time(part):
    began = time.monotonic()
    score(part * (1_000_000 // len(part)), "eight")
    assert time.monotonic() - began < 3
