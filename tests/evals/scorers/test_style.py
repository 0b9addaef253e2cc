"""Style: announcements, length, topic and refusals, each alone and together."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError, ScoringError
from core.messages import JsonObject, Message
from evals.sample import Answer, Sample, Score, Scorer
from evals.scorers.style import length_band, meta_language, refusal, style

LABELLED = Path(__file__).resolve().parents[2] / "data" / "meta_language.jsonl"


def scored(scorer: Scorer, text: str, details: JsonObject | None = None) -> Score:
    """Return the score of a text."""
    sample = Sample(id="one", messages=(), target=None, group="one", details=details or {})
    return scorer(sample, Answer(text))


@pytest.mark.parametrize("language", ["en", "pt"])
def test_announcements_are_found_as_people_labelled_them(language: str) -> None:
    rows = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    chosen = [row for row in rows if row["language"] == language]
    scorer = meta_language()
    marks = [scored(scorer, row["text"]).values["meta_language_rate"] for row in chosen]
    right = sum(mark == row["has_meta"] for mark, row in zip(marks, chosen, strict=True))
    assert len(chosen) > 100
    assert right / len(chosen) > 0.9


def test_an_announcement_is_a_failure_and_an_answer_is_none() -> None:
    announced = scored(meta_language(), "Vou começar por ver a ementa. Há sopa de abóbora.")
    assert (announced.values, announced.failure) == ({"meta_language_rate": 1.0}, "meta_language")
    plain = scored(meta_language(), "Há sopa de abóbora.")
    assert (plain.values, plain.failure) == ({"meta_language_rate": 0.0}, None)


@pytest.mark.parametrize(
    ("text", "low", "high", "failure"),
    [
        ("12345", 5, 5, None),
        ("1234", 5, None, "too_short"),
        ("123456", None, 5, "too_long"),
        ("  12345 \n\n", 5, 5, None),
        ("", 0, 5, None),
        ("", 1, None, "too_short"),
        ("çãéñ😀", 5, 5, None),
    ],
)
def test_the_length_band_includes_its_bounds(
    text: str, low: int | None, high: int | None, failure: str | None
) -> None:
    score = scored(length_band(low, high), text)
    assert score.failure == failure
    assert score.values == {"length_in_band": float(failure is None)}


@pytest.mark.parametrize(
    ("low", "high"), [(None, None), (5, 4), (-1, None), (None, True), (2.5, None), ("5", None)]
)
def test_bands_that_are_none_are_refused(low: Any, high: Any) -> None:
    with pytest.raises(InputError):
        length_band(low, high)


@pytest.mark.parametrize(
    ("text", "is_on"),
    [
        ("The dining ROOM is on the left.", True),
        ("The Dining-room is closed.", True),
        ("Our rooms have a dining corner.", False),
        ("We serve scones.", False),
        ("A cone, please.", True),
        ("GROSSE STRASSE", True),
        ("", False),
    ],
)
def test_a_topic_is_found_as_whole_words_in_any_case(text: str, is_on: bool) -> None:
    details = {"topic": ["dining  room", "cone", "große Straße"]}
    score = scored(style(on_topic=True), text, details)
    assert score.values["on_topic"] == float(is_on)
    assert score.failure == (None if is_on else "off_topic")


@pytest.mark.parametrize(
    ("text", "is_on"),
    [
        ("Is the dining room open now?", False),
        ("You ask: is the dining room open now? I will look into it.", False),
        ("The dining room is open", False),
        ("The dining room is open until ten.", True),
        ("Is the dining room open now? The dining room is.", False),
        ("Is the dining room open now? The dining room is shut.", True),
    ],
)
def test_a_question_that_is_only_repeated_is_no_answer(text: str, is_on: bool) -> None:
    question = (Message("system", "Be kind."), Message("user", "Is the dining room open now?"))
    sample = Sample("one", question, None, "one", details={"topic": ["dining room"]})
    assert style(on_topic=True)(sample, Answer(text)).values["on_topic"] == float(is_on)


@pytest.mark.parametrize("topic", [None, [], "tea", ["tea", 5], ["tea", "..."], [""]])
def test_samples_without_a_topic_are_refused(topic: Any) -> None:
    with pytest.raises(ScoringError, match=r"needs details\.topic"):
        scored(style(on_topic=True), "tea", {"topic": topic})


def test_one_scorer_gives_several_marks_and_the_first_failure() -> None:
    persona = style(low=20, high=60, on_topic=True)
    details = {"topic": ["tea"]}
    good = scored(persona, "The tea is served at five in the garden.", details)
    assert good.failure is None
    assert good.values == {"meta_language_rate": 0.0, "length_in_band": 1.0, "on_topic": 1.0}
    bad = scored(persona, "I'll first analyze the list. Coffee is served. " * 3, details)
    assert bad.failure == "meta_language"
    assert bad.values == {"meta_language_rate": 1.0, "length_in_band": 0.0, "on_topic": 0.0}
    assert scored(persona, "Coffee.", details).failure == "too_short"
    assert scored(persona, "Coffee is served at five.", details).failure == "off_topic"


def test_only_what_was_asked_for_is_marked() -> None:
    assert scored(style(), "Tea at five.").values.keys() == {"meta_language_rate"}
    assert "on_topic" not in scored(style(low=1), "Tea at five.").values


@pytest.mark.parametrize("piece", ["[", "I'll first ", "! ", '"', "\0", "\ud800", "tea ", "`", "{"])
def test_no_answer_holds_the_marks_up(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    began = time.process_time()
    scored(style(low=1, high=400, on_topic=True), text, {"topic": ["tea"]})
    scored(refusal(), text)
    assert time.process_time() - began < 10
