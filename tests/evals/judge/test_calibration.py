"""A judge beside labelled answers: its figures against planted truth, and corrected rates."""

import json
import random

import pytest

from core.errors import InputError, ScoringError
from evals.judge.anchors import AnchorCheck
from evals.judge.calibration import calibrate, labelled_pairs, labelled_rate
from evals.judge.judged import Judged, judge_answers
from evals.judge.labelled import Label, Labelled, read_labelled, read_labels
from evals.judge.pointwise import Item, Marked
from tests.evals.judge.conftest import anchor_truth
from tests.evals.judge.judge_server import chance, honest, says

MARKS = {True: 2, False: 0}


def planted(name, number, rate=0.5):
    """Return answers of which a share `rate` is good; the text does not tell which."""
    return [
        Labelled(
            Item(
                f"{name}{n}", f"user: q{n}", f"{name} answer {n} " + "x" * int(99 * chance(name, n))
            ),
            chance("truth", name, n) < rate,
        )
        for n in range(number)
    ]


def erring(factual, rows, *, on_good=0.1, on_bad=0.1):
    """Return a judge that knows the truth, and is wrong about these shares of the answers."""
    truth = {row.item.answer: row.is_good for row in rows}
    anchors = anchor_truth(factual)

    def opinion(asked):
        if asked.is_pair or asked.answer in anchors:
            return honest(anchors)(asked)
        is_good = truth[asked.answer]
        is_wrong = chance("error", asked.answer) < (on_good if is_good else on_bad)
        return says(asked, lambda _: MARKS[is_good != is_wrong])

    return opinion


def true_rate(rows):
    return sum(row.is_good for row in rows) / len(rows)


def test_a_judge_with_known_errors_is_measured(open_court, factual):
    rows = planted("a", 120)
    court = open_court(factual, erring(factual, rows, on_good=0.1, on_bad=0.3))
    found = calibrate(court.judge, rows, court.verdicts)
    wrong = {row.item.id: chance("error", row.item.answer) for row in rows}
    good = [row for row in rows if row.is_good]
    bad = [row for row in rows if not row.is_good]
    assert found.sensitivity == (sum(wrong[row.item.id] >= 0.1 for row in good), len(good))
    assert found.specificity == (sum(wrong[row.item.id] >= 0.3 for row in bad), len(bad))
    # Cohen (1960) by hand, from the four cells.
    hits, rejections = found.sensitivity.hits, found.specificity.hits
    agreed = (hits + rejections) / 120
    passed = (hits + len(bad) - rejections) / 120
    base = len(good) / 120
    by_chance = base * passed + (1 - base) * (1 - passed)
    assert found.kappa.value == pytest.approx((agreed - by_chance) / (1 - by_chance))
    assert found.is_usable
    assert (found.n, found.missing) == (120, 0)
    assert found.own_alpha.value == 1.0
    assert (found.pairs.n, found.pairs.flips.value) == (5, 0.0)
    assert found.length_preference.low < 0 < found.length_preference.high
    assert json.dumps(found.to_dict())


def test_a_corrected_rate_of_another_run_holds_the_truth(open_court, factual):
    rows, others = planted("a", 100), planted("b", 150, rate=0.8)
    court = open_court(factual, erring(factual, [*rows, *others], on_good=0.25, on_bad=0.05))
    found = calibrate(court.judge, rows, court.verdicts)
    judged = judge_answers(court.judge, [row.item for row in others], court.verdicts)
    raw = sum(grade.score.values["judge_pass"] for grade in judged.grades) / len(others)
    corrected = found.corrected_rate(judged)
    truth = true_rate(others)
    assert raw < truth - 0.1
    assert corrected.low <= truth <= corrected.high
    assert abs(corrected.value - truth) < 0.08


def test_labels_of_a_part_correct_the_rate_of_the_whole(open_court, factual):
    rows = planted("c", 240, rate=0.7)
    court = open_court(factual, erring(factual, rows, on_good=0.3, on_bad=0.02))
    judged = judge_answers(court.judge, [row.item for row in rows], court.verdicts)
    raw = sum(grade.score.values["judge_pass"] for grade in judged.grades) / len(rows)
    labels = [Label(row.item.id, row.is_good) for row in rows[:60]]
    rate, truth = labelled_rate(judged, labels), true_rate(rows)
    assert raw < truth - 0.1
    assert rate.low <= truth <= rate.high
    alone = 2 * 1.96 * (0.7 * 0.3 / 60) ** 0.5
    assert rate.high - rate.low < alone, "narrower than the labels by themselves"


def test_missing_verdicts_leave_the_corrected_rate_right(open_court, factual):
    rows = planted("d", 180, rate=0.6)
    known = erring(factual, rows)

    def silent_on_good(asked):
        """Give no verdict on a third of the good answers: missing, and not at random."""
        is_good = any(row.is_good and row.item.answer == asked.answer for row in rows)
        return "" if is_good and chance("gone", asked.answer) < 0.15 else known(asked)

    court = open_court(factual, silent_on_good)
    judged = judge_answers(court.judge, [row.item for row in rows], court.verdicts)
    assert 8 <= len(judged.missing) <= 30
    rate = labelled_rate(judged, [Label(row.item.id, row.is_good) for row in rows[::3]])
    assert rate.low <= true_rate(rows) <= rate.high


def test_the_corrected_rate_covers_the_truth_when_good_answers_lose_their_marks(factual):
    """400 runs of 200 answers, 60 labelled; a fifth of the good ones has no mark."""
    rng = random.Random(5)
    covered, raw_errors = 0, []
    for _ in range(400):
        truth = [rng.random() < 0.7 for _ in range(200)]
        marked = []
        for n, is_good in enumerate(truth):
            found = is_good != (rng.random() < 0.15)
            mark = None if is_good and rng.random() < 0.2 else float(found)
            marked.append(Marked(Item(str(n), "user: q", "a"), {}, mark, {}, ()))
        judged = Judged(factual, AnchorCheck(1, 1, 0, 0.5), tuple(marked))
        rate = labelled_rate(judged, [Label(str(n), truth[n]) for n in range(60)])
        covered += rate.low <= 0.7 <= rate.high
        told = [each.mark for each in marked if each.mark is not None]
        raw_errors.append(sum(told) / len(told) - 0.7)
    assert 0.92 <= covered / 400 <= 0.99
    assert abs(sum(raw_errors) / 400) > 0.08, "what the judge alone says is far off"


def test_a_judge_of_length_is_exposed_and_corrects_nothing(open_court, factual):
    rows = planted("e", 100)
    anchors = anchor_truth(factual)

    def by_length(asked):
        if asked.is_pair:
            return says(asked, lambda _: "first")
        if asked.answer in anchors:
            return honest(anchors)(asked)
        return says(asked, lambda _: MARKS[len(asked.answer) > 60])

    court = open_court(factual, by_length)
    found = calibrate(court.judge, rows, court.verdicts)
    assert found.length_preference.low > 0.5
    assert (found.pairs.n, found.pairs.flips.value, found.pairs.first.value) == (5, 1.0, 1.0)
    assert not found.is_usable
    assert "is not shown to be better than chance" in found.reason
    judged = judge_answers(court.judge, [row.item for row in rows], court.verdicts)
    with pytest.raises(ScoringError, match="nothing can be corrected by it"):
        found.corrected_rate(judged)


def test_labels_that_can_tell_nothing_are_refused(open_court, factual):
    rows = planted("f", 4, rate=1.1)
    court = open_court(factual, erring(factual, rows))
    with pytest.raises(InputError, match="good and such that are not"):
        calibrate(court.judge, rows, court.verdicts)
    judged = judge_answers(court.judge, [row.item for row in rows], court.verdicts)
    with pytest.raises(InputError, match="'nobody' is of no answer"):
        labelled_rate(judged, [Label("nobody", True)])
    with pytest.raises(InputError, match="every answer is labelled"):
        labelled_rate(judged, [Label(row.item.id, True) for row in rows])


def test_halueval_is_read_as_labelled_answers(public_data):
    rows = read_labelled(public_data / "halueval" / "general_data.jsonl")
    assert len(rows) == 2000
    first, second = rows[:2]
    assert first.item.conversation.startswith("user: Produce a list of common words")
    assert (first.is_good, second.is_good) == (True, False)
    raw = (public_data / "halueval" / "general_data.jsonl").read_text(encoding="utf-8")
    assert sum(not row.is_good for row in rows) == raw.count('"hallucination": "yes"')


def test_a_judge_of_halueval_is_calibrated_and_corrects_the_rest(open_court, factual, public_data):
    """Labels of 100 real answers, and a judge with planted errors on them and on 140 more."""
    rows = read_labelled(public_data / "halueval" / "general_data.jsonl")[:240]
    court = open_court(factual, erring(factual, rows, on_good=0.2, on_bad=0.1))
    found = calibrate(court.judge, rows[:100], court.verdicts)
    assert found.is_usable
    judged = judge_answers(court.judge, [row.item for row in rows], court.verdicts)
    truth = true_rate(rows)
    rate = labelled_rate(judged, [Label(row.item.id, row.is_good) for row in rows[:100]])
    assert rate.low <= truth <= rate.high
    corrected = found.corrected_rate(judged)
    assert corrected.low <= truth <= corrected.high


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "1", "question": "q", "answer": "a", "labl": true}', "unknown key 'labl'"),
        ('{"id": "1", "question": "q", "answer": "a", "label": "yes"}', "must be true or false"),
        ('{"id": "1", "question": "q", "label": true}', "answer must be a text"),
        ('{"ID": "1", "user_query": "q", "chatgpt_response": "a"}', "'yes' or 'no'"),
        ("[1]", "must be a JSON object"),
        ("{", "not JSON"),
    ],
)
def test_a_wrong_labelled_row_is_refused_with_its_line(tmp_path, line, said):
    path = tmp_path / "labels.jsonl"
    whole = '{"id": "0", "question": "q", "answer": "a", "label": 1}'
    path.write_text(f"{whole}\n\n{line}\n")
    with pytest.raises(InputError, match=r"labels.jsonl, line 3: ") as caught:
        read_labelled(path)
    assert said in str(caught.value)


def test_good_and_bad_answers_to_one_question_are_paired():
    rows = [
        Labelled(Item("1", "user: q", "a"), True),
        Labelled(Item("2", "user: q", "b"), False),
        Labelled(Item("3", "user: q", "c"), False),
        Labelled(Item("4", "user: r", "d"), False),
        Labelled(Item("5", "user: r", "e"), True),
        Labelled(Item("6", "user: s", "f"), True),
    ]
    pairs = labelled_pairs(rows)
    assert [(pair.id, pair.answer_a, pair.answer_b) for pair in pairs] == [
        ("2|1", "b", "a"),
        ("5|4", "e", "d"),
    ]


def test_labels_of_a_run_are_read(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text('{"id": 7, "label": true}\n{"id": "7", "label": 0, "repeat": 1}\n')
    assert read_labels(path) == [Label("7", True), Label("7", False, 1)]
    path.write_text('{"id": "7", "label": true}\n{"id": "7", "label": false}\n')
    with pytest.raises(InputError, match="line 2: the answer '7' comes twice"):
        read_labels(path)
