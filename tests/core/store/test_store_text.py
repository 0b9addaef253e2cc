"""Titles, and text that any database takes."""

from hypothesis import given
from hypothesis import strategies as st

from core.store.text import clean_json, clean_text, title_of

anything = st.text(st.characters(codec=None, exclude_categories=[]))


@given(anything)
def test_clean_text_can_be_encoded_and_is_stable(text: str) -> None:
    cleaned = clean_text(text)
    assert b"\x00" not in cleaned.encode()
    assert clean_text(cleaned) == cleaned


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
def test_clean_text_leaves_good_text_alone(text: str) -> None:
    assert clean_text(text) == text


@given(anything)
def test_a_title_is_one_short_line(text: str) -> None:
    title = title_of(text)
    assert 1 <= len(title) <= 80
    assert title.splitlines() == [title]
    assert title_of(title) == title


def test_title_of_known_texts() -> None:
    assert title_of("  Seat\n Ada ") == "Seat Ada"
    assert title_of(" \x00") == "New conversation"
    assert title_of("x" * 81) == "x" * 79 + "…"
    assert title_of("x" * 80) == "x" * 80


def test_clean_json_keeps_what_json_has() -> None:
    value = {"a\x00": ["x\x00", 1, 2.5, True, None, float("nan")], "b": ({"c": float("inf")},)}
    assert clean_json(value) == {"a": ["x", 1, 2.5, True, None, None], "b": [{"c": None}]}
