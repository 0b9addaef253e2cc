"""A judge that fails its anchors, or is the candidate, reports nothing."""

from contextlib import closing
from dataclasses import replace

import pytest

from core.digests import folder_digest
from core.errors import InputError, ScoringError
from core.services import make_services
from core.settings import PROJECT
from evals.bench import Bench
from evals.judge.anchors import anchor_pairs, check_marks, check_pairs
from evals.judge.asking import make_judge
from evals.judge.candidates import Candidate, refuse_candidates
from evals.judge.judged import judge_answers
from evals.judge.pointwise import Item
from evals.judge.verdicts import VerdictFile
from tests.evals.judge.conftest import anchor_truth
from tests.evals.judge.judge_server import chance, honest, says

ITEMS = [Item("i", "user: q", "an answer")]


def by_length(asked):
    """A judge that likes what is long."""
    if asked.is_pair:
        first, second = len(asked.blocks["FIRST ANSWER"]), len(asked.blocks["SECOND ANSWER"])
        return says(asked, lambda _: "first" if first > second else "second")
    return says(asked, lambda _: 2 if len(asked.answer) > 150 else 0)


BAD_JUDGES = {
    "constant": lambda asked: says(asked, lambda _: "tie" if asked.is_pair else 2),
    "random": lambda asked: says(
        asked,
        lambda name: (
            ("first", "second")[asked.seed % 2]
            if asked.is_pair
            else int(3 * chance(asked.user, name))
        ),
    ),
    "first position": lambda asked: says(asked, lambda _: "first" if asked.is_pair else 1),
    "length": by_length,
    "broken JSON": lambda asked: '{"reason": "I think that',
    "silent": lambda asked: "",
}


@pytest.mark.parametrize("name", BAD_JUDGES)
def test_a_bad_judge_reports_nothing_and_is_asked_for_nothing_but_anchors(
    open_court, persona, name
):
    court = open_court(persona, BAD_JUDGES[name])
    with pytest.raises(ScoringError, match=r"'judge' agrees with \d+ of the 60 anchor marks"):
        judge_answers(court.judge, ITEMS, court.verdicts)
    assert all(asked.answer != "an answer" for asked in court.server.asked)


@pytest.mark.parametrize("name", ["constant", "random", "first position", "length"])
def test_a_biased_judge_compares_nothing(open_court, persona, name):
    court = open_court(persona, BAD_JUDGES[name])
    with pytest.raises(ScoringError, match=r"'judge' agrees with \d of the 9 anchor pairs"):
        check_pairs(court.judge, court.verdicts)


def test_an_honest_judge_passes_both_gates(open_court, persona):
    court = open_court(persona)
    marks = check_marks(court.judge, court.verdicts)
    assert (marks.agreed, marks.asked, marks.missing) == (60, 60, 0)
    pairs = check_pairs(court.judge, court.verdicts)
    assert (pairs.agreed, pairs.asked) == (9, 9)


def test_the_better_anchor_comes_first_and_second_in_turn(persona):
    better = [pair.better for pair in anchor_pairs(persona)]
    assert abs(better.count("model_a") - better.count("model_b")) <= 1


def test_the_gates_text_has_the_figures(open_court, small):
    truth = anchor_truth(small)
    truth["wrong, kind"] = {"right": 2, "kind": 0}
    truth["half right, cold"] = {"right": 2, "kind": 1}
    court = open_court(small, honest(truth))
    with pytest.raises(ScoringError) as caught:
        judge_answers(court.judge, ITEMS, court.verdicts)
    assert str(caught.value) == (
        "the judge 'judge' agrees with 7 of the 10 anchor marks of rubric 'small', 0.70; 0.80 is "
        "needed. Nothing is reported: choose a stronger judge, or mend the rubric"
    )


def test_a_server_that_refuses_every_call_reports_nothing(open_court, small):
    court = open_court(small)
    court.server.is_down.set()
    with pytest.raises(ScoringError, match=r"agrees with 0 of the 10 .*10 have no verdict"):
        judge_answers(court.judge, ITEMS, court.verdicts)


def test_a_dead_server_reports_nothing(settings, small, write_catalog, tmp_path):
    entry = {"provider": "endpoint", "base_url": "http://127.0.0.1:9/v1", "context": 1000}
    write_catalog(models={"judge": {**entry, "served_model": "m"}}, default_model="judge")
    with closing(make_services(settings)) as services:
        judge = make_judge(Bench.of(services).gateway, "judge", small)
        with pytest.raises(ScoringError, match="10 have no verdict; the first: "):
            judge_answers(judge, ITEMS, VerdictFile(tmp_path / "v.jsonl"))


CHAINS = {
    "chains": {"line": {"models": ["other", "judge"]}},
    "ensembles": {"panel": {"models": ["other", "judge"]}},
}


@pytest.mark.parametrize(
    ("judge", "candidate", "said"),
    [
        ("judge", "judge", "'judge' is the same model"),
        ("judge", "judge@v2", "'judge' is the same model"),
        ("judge", "twin", "'judge' is served from the same place"),
        ("line", "judge", "'judge' is the same model"),
        ("panel", "judge", "'judge' is the same model"),
        ("panel", "twin", "'judge' is served from the same place"),
        ("judge", "line", "'judge' is served from the same place"),
        ("other", "panel", "'other' is served from the same place"),
    ],
)
def test_a_judge_never_judges_itself(open_court, small, judge, candidate, said):
    court = open_court(small, **CHAINS)
    with pytest.raises(InputError, match=said):
        refuse_candidates(court.gateway.traffic, judge, [Candidate(candidate)])


def test_other_models_may_be_judged(open_court, small):
    court = open_court(small, **CHAINS)
    refuse_candidates(court.gateway.traffic, "judge", [Candidate("other"), Candidate("long gone")])


def test_the_same_weights_under_another_name_are_refused(open_court, small):
    traffic = open_court(small).gateway.traffic
    digest = folder_digest(PROJECT / "assets" / "models" / "lead")
    with pytest.raises(InputError, match="'lead' has the same weights"):
        refuse_candidates(traffic, "lead", [Candidate("renamed@v1", (digest,))])
    refuse_candidates(traffic, "lead", [Candidate("renamed@v1", ("sha256:0",))])


@pytest.mark.slow
def test_the_embedded_lead_is_no_judge(settings, small, tmp_path):
    """It was trained for a desk's calls, and the anchors say so."""
    with closing(make_services(settings)) as services:
        few = replace(small, anchors=small.anchors[:3])
        judge = make_judge(Bench.of(services).gateway, "lead", few)
        with pytest.raises(ScoringError, match=r"'lead' agrees with [0-3] of the 6 anchor marks"):
            judge_answers(judge, ITEMS, VerdictFile(tmp_path / "v.jsonl"))
