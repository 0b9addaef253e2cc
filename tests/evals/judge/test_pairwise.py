"""The better of two answers, in both orders."""

import json

from evals.judge.pairwise import Pair, compare_pairs, pair_report
from evals.ratings.battles import read_battles
from tests.evals.judge.judge_server import honest, says

TRUTH = {
    "good": {"right": 2, "kind": 2},
    "fine": {"right": 2, "kind": 2},
    "bad and long": {"right": 0, "kind": 0},
}
PAIRS = [
    Pair("p1", "user: q", "good", "bad and long"),
    Pair("p2", "user: q", "bad and long", "fine"),
    Pair("p3", "user: q", "good", "fine"),
]


def test_an_honest_judge_says_the_same_in_both_orders(open_court, small):
    court = open_court(small, honest(TRUTH))
    battles = compare_pairs(court.judge, PAIRS, court.verdicts)
    assert [battle.outcome for battle in battles] == ["model_a", "model_b", "tie"]
    shown = {(a.blocks["FIRST ANSWER"], a.blocks["SECOND ANSWER"]) for a in court.server.asked}
    assert len(court.server.asked) == len(shown) == 6
    report = pair_report(battles)
    assert report.flips.value == 0.0
    assert report.first.value == 0.5
    assert report.longer.value == 0.0
    assert report.outcomes == {"model_a": 1, "model_b": 1, "tie": 1, "both_bad": 0}


def test_a_verdict_that_follows_the_position_is_a_tie_and_a_flip(open_court, small):
    court = open_court(small, lambda asked: says(asked, lambda _: "first"))
    battles = compare_pairs(court.judge, PAIRS, court.verdicts)
    assert [battle.outcome for battle in battles] == ["tie", "tie", "tie"]
    assert all(battle.is_flip for battle in battles)
    report = pair_report(battles)
    assert (report.flips.value, report.first.value) == (1.0, 1.0)
    assert report.longer is None


def test_a_judge_of_length_is_exposed(open_court, small):
    def longer(asked):
        first, second = len(asked.blocks["FIRST ANSWER"]), len(asked.blocks["SECOND ANSWER"])
        return says(asked, lambda _: "first" if first > second else "second")

    court = open_court(small, longer)
    pairs = [Pair(str(n), "user: q", "x" * (n + 1), "x" * (40 - n)) for n in range(40)]
    report = pair_report(compare_pairs(court.judge, pairs, court.verdicts))
    assert report.flips.value == 0.0
    assert report.longer.value == 1.0
    assert report.longer.low > 0.9


def test_both_bad_is_an_outcome(open_court, small):
    court = open_court(small, lambda asked: says(asked, lambda _: "both_bad"))
    (battle,) = compare_pairs(court.judge, PAIRS[:1], court.verdicts)
    assert (battle.outcome, battle.is_flip) == ("both_bad", False)


def test_a_pair_without_both_verdicts_is_missing(open_court, small):
    def half(asked):
        return "no idea" if asked.blocks["FIRST ANSWER"] == "fine" else says(asked, lambda _: "tie")

    court = open_court(small, half)
    battles = compare_pairs(court.judge, PAIRS, court.verdicts)
    assert [battle.outcome for battle in battles] == ["tie", None, None]
    report = pair_report(battles)
    assert (report.n, report.missing, report.is_valid) == (3, 2, False)


def test_battles_are_what_ratings_read(open_court, small, tmp_path):
    court = open_court(small, honest(TRUTH))
    battles = compare_pairs(court.judge, PAIRS, court.verdicts)
    path = tmp_path / "battles.jsonl"
    rows = [battle.to_row("lead", "understudy", "judge", "small") for battle in battles]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_battles(path)
    assert [(each.prompt_id, each.outcome) for each in read] == [
        ("p1", "model_a"),
        ("p2", "model_b"),
        ("p3", "tie"),
    ]
    assert read[0].lengths == (4, 12)
    assert rows[0]["judge"] == "judge"


def test_no_pair_is_asked_for_twice(open_court, small):
    court = open_court(small, honest(TRUTH))
    first = compare_pairs(court.judge, PAIRS, court.verdicts)
    assert compare_pairs(court.judge, PAIRS, court.verdicts) == first
    assert len(court.server.asked) == 6
