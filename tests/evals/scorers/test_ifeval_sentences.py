"""Sentences and words, against hand-counted texts and against NLTK's own code."""

import json
from pathlib import Path
from typing import Any

import pytest

from evals.scorers.ifeval_sentences import (
    ABBREVIATIONS,
    STARTERS,
    TITLES,
    count_sentences,
    words_of,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" \n\t", 0),
        ("no mark at all", 1),
        ("One. Two. Three.", 3),
        ("One\n\nTwo\n- three", 1),  # as Punkt: a line break ends nothing
        ("What?! Really... yes. OK!", 3),
        ("Mr. Smith met Dr. Jones at 3.50 p.m. yesterday.", 1),
        ("We left at 5 p.m. The train was late.", 2),
        ("It works in the U.S. and in the U.K. as well.", 1),
        ("J. S. Bach wrote it. Nobody else did.", 2),
        ('He said "no." She said "yes!" (They left.) Fine.', 4),
        ("1. Boil the water. 2. Add the rice.", 4),  # as Punkt: a number's dot ends a sentence
        ("Version 2.5.1 is out. get it", 2),
        ("etc. and so on", 1),
        ("Is it **bold.** Yes.", 2),
        ("Hmm... The end.", 2),
        ("Hmm... the end.", 1),
    ],
)
def test_sentences_counted_by_hand(text: str, count: int) -> None:
    assert count_sentences(text) == count


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I can't GO.", ["I", "ca", "n't", "GO", "."]),
        ("IT'S 'TIS (OK)!", ["IT", "'S", "'T", "IS", "(", "OK", ")", "!"]),
        ("a--b, c: d", ["a", "--", "b", ",", "c", ":", "d"]),
        ("", []),
    ],
)
def test_words_by_hand(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.fixture(scope="module")
def texts(public_data: Path) -> list[str]:
    """Return prompts, problems and answers that people and models wrote."""

    def column(path: str, name: str) -> list[str]:
        lines = (public_data / path).read_text(encoding="utf-8").splitlines()
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [row[name] for row in rows]

    return [
        *column("ifeval/input_data.jsonl", "prompt"),
        *column("gsm8k/test.jsonl", "question"),
        *column("halueval/general_data.jsonl", "chatgpt_response"),
    ]


def test_words_are_those_of_nltk(texts: list[str]) -> None:
    tokenize = pytest.importorskip("nltk.tokenize")
    words = tokenize.NLTKWordTokenizer()
    assert [text for text in texts if words_of(text) != words.tokenize(text)] == []


def test_sentences_are_nearly_those_of_punkt_with_our_lists(texts: list[str]) -> None:
    punkt = pytest.importorskip("nltk.tokenize.punkt")
    parameters = punkt.PunktParameters()
    parameters.abbrev_types = set(TITLES | ABBREVIATIONS)
    for word in STARTERS:
        parameters.ortho_context[word] = punkt._ORTHO_MID_LC | punkt._ORTHO_BEG_UC
    tokenizer = punkt.PunktSentenceTokenizer(parameters)
    off = [abs(count_sentences(text) - len(tokenizer.tokenize(text))) for text in texts]
    assert len(texts) == 2870
    assert sum(each == 0 for each in off) / len(off) > 0.985
    assert sum(each <= 1 for each in off) / len(off) > 0.997
