"""The number in an answer, against four systems' graded answers and against hand-read ones."""

import json
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from core.errors import ScoringError
from evals.sample import Answer, Sample, Score
from evals.scorers.numeric import find_number, gsm8k

SYSTEMS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def scored(text: str, target: Any) -> Score:
    """Return the score of a text."""
    return gsm8k()(Sample(id="one", messages=(), target=target, group="one"), Answer(text))


def rows(path: Path) -> list[dict[str, Any]]:
    """Return a file's rows."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_four_systems_are_graded_as_gsm8k_graded_them(public_data: Path) -> None:
    graded = rows(public_data / "gsm8k" / "example_model_solutions.jsonl")
    differing = [
        (row["question"][:40], system)
        for row in graded
        for system in SYSTEMS
        if (scored(row[system]["solution"], row["ground_truth"]).failure is None)
        is not row[system]["is_correct"]
    ]
    assert len(graded) * len(SYSTEMS) == 2400
    assert differing == []


def test_each_target_is_right_as_its_own_answer(public_data: Path) -> None:
    for name in ("test", "train"):
        for row in rows(public_data / "gsm8k" / f"{name}.jsonl"):
            last = row["answer"].rsplit("#### ", 1)[1].replace(",", "")
            for target in (row["answer"], last, float(last)):
                assert scored(row["answer"], target).values == {"gsm8k": 1.0}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#### 18", "18"),
        ("#### 1\nNo, wait.\n#### 2", "2"),
        ("#### **$1,234.50**.", "1234.5"),
        ("#### -1,000.", "-1000"),
        ("#### 1. Count them\nThere are 3.\n#### 2. Add\nThe answer is 7.", "7"),
        ("#### Step 1\nSo 12 in all.", "12"),
        ("A: 26", "26"),
        ("She has 3 left.\nA: $15 * 2 = $<<15*2=30>>30 a day", "30"),
        ("The answer is 5 + 4 = 9 apples in 2 bags.", "9"),
        ("The final answer is: \\boxed{18} dollars for 2 days", "18"),
        ("**Answer:** 42 (of 50)", "42"),
        ("Answer:\n\n7, and then 8", "7"),
        ("A resposta final é 42 euros, 3 por dia.", "42"),
        ("The answer follows.\nIt makes 9 or so: 11", "11"),
        ("about 3.", "3"),
        ("It costs 12,345,678 dollars", "12345678"),
        ("1\u202f000 and 20\u00a0000", "20000"),
        ("-5", "-5"),
        ("\u22127 degrees", "-7"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("R$ 10,000", "10000"),
        ("16-3", "3"),
        ("pages 3-5", "5"),
        ("= -2", "-2"),
        ("50%", "50"),
        ("3.0", "3"),
        ("...5", "5"),
        ("It is .5", "1/2"),
        ("3/4", "3/4"),
        ("2 1/2 cups", "5/2"),
        ("1e3", "1000"),
        ("1,2,3", "3"),
        ("#### 42. He has 3 friends.", "42"),
        ("#### 42. He has 3 friends.\nHope that 1 of them helps!", "42"),
        ("#### 1. She has 1 of 6 left.", "1"),
        ("#### 2. Add them up\nThe answer is 7.", "7"),
        ("\\boxed{1{,}234}", "1234"),
        ("\\boxed{12{,}345{,}678}", "12345678"),
        ("\\boxed{\\frac{3}{4}}", "3/4"),
        ("\\boxed{-\\dfrac34}", "-3/4"),
        ("\\boxed{2\\frac{1}{2}}", "5/2"),
        ("The answer is 20% of 50 which is 10", "10"),
        ("The answer is 6 times 7, which makes 42 in 2 years", "42"),
        ("The answer is 42, which is 3 more than 39", "42"),
        ("The answer is 50% of all", "50"),
    ],
)
def test_numbers_that_people_would_read(text: str, number: str) -> None:
    found = find_number(text)
    assert found is not None
    assert found.value == Fraction(number)


@pytest.mark.parametrize(
    "text", ["", " ", "no number", "####", "A: none", "1/0", "9" * 5000, "####" + "1" * 101]
)
def test_an_answer_without_a_number_is_unparsed(text: str) -> None:
    score = scored(text, 5)
    assert (score.values, score.failure) == ({"gsm8k": 0.0}, "unparsed")


def test_a_wrong_number_is_another_failure() -> None:
    score = scored("#### 17", "#### 18")
    assert (score.values, score.failure) == ({"gsm8k": 0.0}, "wrong_number")
    assert score.notes == {"read": "17"}


def test_numbers_are_compared_exactly() -> None:
    assert scored("0.1", 0.1).failure is None
    assert scored("33.3", "33.33").failure == "wrong_number"
    assert scored("1/2", 0.5).failure is None
    assert scored("90071992547409931", 90071992547409930).failure == "wrong_number"


@pytest.mark.parametrize("target", [None, True, "none", [18], {}, float("nan"), float("inf")])
def test_a_target_without_a_number_is_refused(target: Any) -> None:
    with pytest.raises(ScoringError, match="must be a number"):
        scored("18", target)


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "1,",
        "1,111,",
        "#",
        "#### 1 ",
        "answer ",
        "1/",
        "-",
        "$",
        "<<",
        "<<1",
        "A:\n",
        "\\frac1",
        "#### 1. a\n",
        "is 1 times ",
    ],
)
def test_no_answer_holds_the_reading_up(piece: str) -> None:
    began = time.process_time()
    scored(piece * (1_000_000 // len(piece)), 5)
    assert time.process_time() - began < 10
