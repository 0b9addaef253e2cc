"""Routes: which label an answer chose, and what a run of them shows."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError, ScoringError
from evals.routing_report import NO_LABEL, calibration, routing_report
from evals.sample import Answer, Grade, Sample, Score
from evals.scorers.routing import routing

LABELS = ("book_table", "transfer", "transfer_money", "lex", "out of scope")


def sample(target: str = "book_table", labels=LABELS, other="out of scope") -> Sample:
    return Sample("a", (), target, "a", details={"labels": list(labels), "out_of_scope": other})


def score(answer: str, target: str = "book_table") -> Score:
    return routing()(sample(target), Answer(answer))


@pytest.mark.parametrize(
    "answer",
    [
        "book_table",
        "Book Table",
        "BOOK-TABLE.",
        ' "book_table"\n',
        "`book_table`",
        "**book table**",
        '{"route": "book_table"}',
        '{"intent": "Book table", "confidence": 0.5}',
        '{"label": "book-table", "reason": "a table"}',
    ],
)
def test_a_label_is_read(answer):
    found = score(answer)
    assert found.values == {"routing_accuracy": 1.0}
    assert found.failure is None
    assert found.notes["predicted"] == "book_table"


@pytest.mark.parametrize(
    ("answer", "target", "repaired", "failure"),
    [
        ("transfer", "book_table", 0, "wrong_label"),
        ("The route is book_table", "book_table", 1, "wordy_label"),
        ("I would transfer money for you", "transfer_money", 1, "wordy_label"),
        ("I would transfer money for you", "transfer", 0, "wordy_wrong_label"),
        ('```json\n{"route": "book_table"}\n```', "book_table", 1, "wordy_label"),
        ("{'route': 'book_table'}", "book_table", 1, "wordy_label"),
        ("book_table or transfer", "book_table", 0, "unknown_label"),
        ("complexity", "lex", 0, "unknown_label"),
        ("lexicon", "lex", 0, "unknown_label"),
        ("a lex_icon", "lex", 1, "wordy_label"),
        ("out of scope", "book_table", 0, "out_of_scope_invented"),
        ("book_table", "out of scope", 0, "out_of_scope_missed"),
        ('{"route": "garden"}', "book_table", 0, "unknown_label"),
        ('{"route": "book_table", "intent": "lex"}', "book_table", 0, "no_label"),
        ('{"route": ["book_table"]}', "book_table", 0, "no_label"),
        ('{"answer": "book_table"}', "book_table", 0, "no_label"),
        ("", "book_table", 0, "no_label"),
    ],
)
def test_what_is_no_right_label(answer, target, repaired, failure):
    found = score(answer, target)
    assert found.values == {"routing_accuracy": 0.0}
    assert found.repaired == {"routing_accuracy": repaired}
    assert found.failure == failure


@pytest.mark.parametrize(
    ("confidence", "counted"),
    [(0.7, 0.7), (1, 1.0), (0, 0.0), (70, None), (-0.1, None), (True, None), ("0.7", None)],
)
def test_a_confidence_counts_when_it_is_a_share(confidence, counted):
    found = score(json.dumps({"route": "lex", "confidence": confidence}))
    assert found.counts.get("confidence") == counted


@pytest.mark.parametrize(
    ("details", "target"),
    [
        ({}, "a"),
        ({"labels": []}, "a"),
        ({"labels": ["a b", "A_B"]}, "a b"),
        ({"labels": ["a", "  "]}, "a"),
        ({"labels": ["a"]}, "b"),
        ({"labels": ["a"], "out_of_scope": "b"}, "a"),
        ({"labels": ["a"]}, None),
    ],
)
def test_a_bad_sample_can_not_be_judged(details, target):
    with pytest.raises(ScoringError):
        routing()(Sample("a", (), target, "a", details=details), Answer("a"))


@given(st.text())
def test_any_text_gets_a_mark(text):
    assert score(text).values["routing_accuracy"] in (0.0, 1.0)


@pytest.mark.parametrize(
    "part", ["[", '{"route":', "book_", "book table ", "\x00", "\ud800", "a'", "`", '"', "_"]
)
def test_a_flood_takes_linear_time(part):
    began = time.monotonic()
    score(part * (1_000_000 // len(part)))
    assert time.monotonic() - began < 2


def graded(pairs: list[tuple[str, str]]) -> list[Grade]:
    scorer = routing()
    return [
        Grade(str(n), str(n), scorer(sample(target), Answer(answer)))
        for n, (target, answer) in enumerate(pairs)
    ]


PAIRS = [
    ("lex", "lex"),
    ("lex", "transfer"),
    ("transfer", "transfer"),
    ("transfer", "transfer"),
    ("transfer", "what?"),
    ("out of scope", "out of scope"),
    ("out of scope", "lex"),
    ("out of scope", "lex"),
    ("book_table", "out of scope"),
    ("book_table", "book_table"),
]


def test_the_report_worked_by_hand():
    report = routing_report(graded(PAIRS))
    assert (report.n, report.accuracy) == (10, 0.5)
    assert report.confusion == {
        "book_table": {"book_table": 1, "out of scope": 1},
        "lex": {"lex": 1, "transfer": 1},
        "out of scope": {"lex": 2, "out of scope": 1},
        "transfer": {NO_LABEL: 1, "transfer": 2},
    }
    figures = {one.label: one for one in report.labels}
    assert (figures["lex"].precision, figures["lex"].recall) == (1 / 3, 1 / 2)
    assert figures["lex"].f1 == pytest.approx(0.4)
    assert figures["transfer"].f1 == pytest.approx(2 / 3)
    assert report.macro_f1 == pytest.approx((2 / 3 + 0.4 + 2 / 3 + 0.4) / 4)
    assert report.out_of_scope is not None
    assert (report.out_of_scope.recall, report.out_of_scope.precision) == (1 / 3, 1 / 2)
    assert report.calibration is None
    json.dumps(report.to_dict(), allow_nan=False)


def test_the_counts_of_the_marks_give_the_same_out_of_scope_figures():
    counts = [grade.score.counts for grade in graded(PAIRS)]
    hits, missing, extra = (
        sum(one[f"oos_{name}"] for one in counts) for name in ("hits", "missing", "extra")
    )
    report = routing_report(graded(PAIRS))
    assert report.out_of_scope is not None
    assert hits / (hits + missing) == report.out_of_scope.recall
    assert hits / (hits + extra) == report.out_of_scope.precision


def test_clinc150_labels_answered_right_give_a_diagonal(public_data):
    path = public_data / "clinc150" / "data_train_val.json"
    listed = json.loads(path.read_text(encoding="utf-8"))
    rows = listed["val"][::20] + listed["oos_val"]
    labels = sorted({label for _, label in rows})
    scorer = routing()
    grades = [
        Grade(str(n), str(n), scorer(sample(label, labels, "oos"), Answer(label.replace("_", " "))))
        for n, (_, label) in enumerate(rows)
    ]
    report = routing_report(grades)
    assert (report.accuracy, report.macro_f1) == (1.0, 1.0)
    assert report.out_of_scope is not None
    assert (report.out_of_scope.recall, report.out_of_scope.support) == (1.0, 100)
    assert len(report.confusion) == len(labels)


def test_labels_hidden_in_clinc150_sentences_are_never_exact(public_data):
    """A prompt repeated as the answer mentions words of labels, and chooses none."""
    path = public_data / "clinc150" / "data_train_val.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["val"][::10]
    labels = sorted({label for _, label in rows})
    scores = [routing()(sample(label, labels, None), Answer(text)) for text, label in rows]
    assert sum(one.values["routing_accuracy"] for one in scores) == 0


def test_calibration_worked_by_hand():
    found = calibration([(0.95, True), (0.95, False), (0.15, False), (1.0, True), (0.0, True)])
    assert found is not None
    assert [(one.low, one.n) for one in found.bins] == [(0.0, 1), (0.1, 1), (0.9, 3)]
    high = abs(2 / 3 - (0.95 + 0.95 + 1.0) / 3)
    assert found.error == pytest.approx(3 / 5 * high + 1 / 5 * 0.15 + 1 / 5 * 1.0)
    assert found.n == 5


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_calibration_agrees_with_numpy(answers):
    """The same by numpy's histogram, whose last bin holds 1.0 too."""
    import numpy as np

    sure = np.array([confidence for confidence, _ in answers])
    right = np.array([is_right for _, is_right in answers], dtype=float)
    place = np.minimum((sure * 10).astype(int), 9)
    counts = np.bincount(place, minlength=10)
    gaps = np.bincount(place, right - sure, minlength=10)
    found = calibration(answers)
    assert found is not None
    assert found.error == pytest.approx(np.abs(gaps).sum() / counts.sum(), abs=1e-9)
    assert 0.0 <= found.error <= 1.0


def test_a_wrong_label_with_confidence_is_in_the_calibration_and_a_missing_one_is_not():
    pairs = [
        ("lex", '{"route": "lex", "confidence": 0.9}'),
        ("lex", '{"route": "transfer", "confidence": 0.9}'),
        ("lex", '{"route": "garden", "confidence": 0.9}'),
        ("lex", "lex"),
    ]
    report = routing_report(graded(pairs))
    assert report.calibration is not None
    assert report.calibration.n == 2
    assert report.calibration.error == pytest.approx(0.4)


def test_a_report_needs_grades_of_its_own_scorer():
    with pytest.raises(InputError, match="at least one"):
        routing_report([])
    with pytest.raises(InputError, match="routing scorer"):
        routing_report([Grade("a", "a", Score({"json_valid": 1.0}))])
