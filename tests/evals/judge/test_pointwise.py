"""Marks for single answers, asked of a judge on loopback."""

import json

from evals.judge.judged import judge_answers, report_of
from evals.judge.pointwise import Item, mark_items
from tests.evals.judge.conftest import anchor_truth
from tests.evals.judge.judge_server import honest, says

GOOD = {"right": 2, "kind": 2}
COLD = {"right": 2, "kind": 1}


def items_of(*answers):
    return [Item(f"i{number}", "user: why?", answer) for number, answer in enumerate(answers)]


def test_each_answer_is_asked_for_twice_in_two_orders_and_with_two_seeds(open_court, small):
    court = open_court(small, honest({"yes": COLD}))
    (marked,) = mark_items(court.judge, items_of("yes"), court.verdicts)
    assert marked.marks == COLD
    assert marked.mark == 0.75
    assert {(asked.wanted, asked.seed) for asked in court.server.asked} == {
        (("right", "kind"), 1),
        (("kind", "right"), 2),
    }
    rows = [json.loads(line) for line in court.path.read_text().splitlines()]
    assert {(tuple(row["order"]), row["params"]["seed"], row["call"]) for row in rows} == {
        (("right", "kind"), 1, 0),
        (("kind", "right"), 2, 1),
    }
    assert all(row["params"]["temperature"] == 0.3 and row["model"] == "judge" for row in rows)


def test_a_third_call_settles_what_two_disagree_on_and_asks_for_nothing_else(open_court, small):
    court = open_court(
        small,
        lambda asked: says(asked, lambda name: 2 if name == "right" else (1, 0, 1)[asked.seed - 1]),
    )
    (marked,) = mark_items(court.judge, items_of("yes"), court.verdicts)
    assert marked.marks == COLD
    assert [asked.wanted for asked in court.server.asked][2:] == [("kind",)]


def test_three_opinions_are_no_mark(open_court, small):
    court = open_court(
        small, lambda asked: says(asked, lambda name: 2 if name == "right" else asked.seed - 1)
    )
    (marked,) = mark_items(court.judge, items_of("yes"), court.verdicts)
    assert marked.marks == {"right": 2}
    assert marked.mark is None


def test_a_reply_that_is_no_verdict_is_missing_and_bounds_the_report(open_court, small):
    truth = {**anchor_truth(small), "a": GOOD, "b": GOOD, "c": {"right": 0, "kind": 0}}

    def opinion(asked):
        if asked.answer == "b":
            return "I'd say it deserves full marks: right 2, kind 2"
        return honest(truth)(asked)

    court = open_court(small, opinion)
    judged = judge_answers(court.judge, items_of("a", "b", "c"), court.verdicts)
    assert judged.missing == [("i1", 0)]
    report = report_of(judged)
    assert (report.n, report.missing, report.is_valid) == (3, 1, False)
    assert report.metrics["judge"].value == 0.5
    assert report.bounds["judge"] == (1 / 3, 2 / 3)
    assert report.failed_calls == 2, "a third call could not settle it"
    assert [grade.id for grade in judged.grades] == ["i0", "i2"]
    assert judged.grades[0].score.values == {
        "judge": 1.0,
        "judge_pass": 1.0,
        "judge_right": 1.0,
        "judge_kind": 1.0,
    }
    assert judged.grades[1].score.failure == "low_right"


def test_marks_outside_the_schema_are_no_verdict(open_court, small):
    replies = ('{"reason": "", "right": 3, "kind": 2}', '{"reason": "", "right": 2}', '{"right": 2')
    for reply in replies:
        court = open_court(small, lambda _, reply=reply: reply)
        (marked,) = mark_items(court.judge, items_of(reply), court.verdicts)
        assert marked.marks == {}
        assert {verdict.status for verdict in marked.verdicts} == {"unparsed"}


def test_an_empty_answer_is_zero_without_a_call(open_court, small):
    court = open_court(small)
    (marked,) = mark_items(court.judge, items_of(" ...\n"), court.verdicts)
    assert marked.mark == 0.0
    assert marked.zeroed == {"right": "empty", "kind": "empty"}
    assert court.server.asked == []


def test_a_dimension_marked_by_rule_is_not_asked_for(open_court, persona):
    short = "Yes."
    rest = dict.fromkeys(("personality", "factual_accuracy", "coherence", "meta_language"), 2)
    court = open_court(persona, honest({short: rest}))
    (marked,) = mark_items(court.judge, items_of(short), court.verdicts)
    assert marked.marks == {**rest, "length": 0}
    assert marked.mark == 0.8
    assert all("length" not in asked.wanted for asked in court.server.asked)


def test_nothing_is_asked_twice(open_court, small):
    truth = {**anchor_truth(small), "a": GOOD, "b": COLD}
    court = open_court(small, honest(truth))
    first = judge_answers(court.judge, items_of("a", "b"), court.verdicts)
    calls = len(court.server.asked)
    assert calls == 2 * (len(small.anchors) + 2)
    again = judge_answers(court.judge, items_of("a", "b"), court.verdicts)
    assert len(court.server.asked) == calls
    assert again.grades == first.grades
    judge_answers(court.judge, items_of("a", "a"), court.verdicts)
    assert len(court.server.asked) == calls + 2, "only the answer that changed"


def test_a_judge_that_is_lost_leaves_missing_marks_and_the_rest_is_asked_later(open_court, small):
    answers = [f"answer {number}" for number in range(100)]
    truth = {**anchor_truth(small), **dict.fromkeys(answers, GOOD)}
    court = open_court(small, honest(truth))
    court.server.dies_after = 60
    judged = judge_answers(court.judge, items_of(*answers), court.verdicts)
    report = report_of(judged)
    assert not report.is_valid
    assert 70 <= report.missing < 100
    assert report.metrics["judge"].value == 1.0
    assert report.bounds["judge"] == ((100 - report.missing) / 100, 1.0)

    with court.path.open("ab") as handle:
        handle.write(b'{"key": "torn')
    court.server.dies_after = None
    court.server.is_down.clear()
    court.gateway.traffic.revive(court.gateway.traffic.catalog.resolve("judge"))
    later = report_of(judge_answers(court.judge, items_of(*answers), court.verdicts))
    assert (later.missing, later.is_valid) == (0, True)
    assert len(court.server.asked) == 2 * (100 + len(small.anchors))
    assert len({json.dumps(r["key"]) for r in map(json.loads, whole_lines(court.path))}) >= 200


def whole_lines(path):
    return [line for line in path.read_text().splitlines() if line.endswith("}")]


def test_an_answer_that_is_too_long_to_ask_about_is_missing(open_court, small):
    court = open_court(small, lambda asked: says(asked, lambda _: 2))
    found = mark_items(court.judge, items_of("word " * 10_000, "short"), court.verdicts)
    assert [marked.mark for marked in found] == [None, 1.0]
    assert {verdict.status for verdict in found[0].verdicts} == {"refused"}
